/// The tables, step by step. A step that was ever released is never changed: a new one is added behind it.
enum Schema {
    static let migrations: [StaticString] = [
        Self.journal, Self.requests, Self.contacts, Self.mailbox, Self.approvals, Self.shares, Self.standings,
    ]

    /// 1: decisions to sign, and the nonces that served in them.
    private static let journal: StaticString = """
        CREATE TABLE burn (
            request BLOB NOT NULL CHECK (length(request) = 32),
            attempt INTEGER NOT NULL,
            signer BLOB NOT NULL CHECK (length(signer) = 33),
            record BLOB NOT NULL,
            row_check BLOB NOT NULL,
            PRIMARY KEY (request, attempt, signer)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE nonce (
            digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32)
        ) STRICT, WITHOUT ROWID;
        """

    /// 2: requests, their proposals and transcripts; and the count of what is kept for whom.
    private static let requests: StaticString = """
        CREATE TABLE request (
            number INTEGER PRIMARY KEY,
            id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
            source TEXT,
            created INTEGER NOT NULL,
            expiry INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            decision INTEGER NOT NULL,
            decision_serial INTEGER NOT NULL,
            state INTEGER NOT NULL,
            reason TEXT NOT NULL,
            entry_count INTEGER NOT NULL,
            entry_hash BLOB NOT NULL CHECK (length(entry_hash) = 32),
            byte_count INTEGER NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT;
        CREATE INDEX request_by_state ON request (state, id);
        CREATE INDEX request_by_age ON request (state, updated);
        CREATE TABLE proposal (
            request INTEGER PRIMARY KEY REFERENCES request (number) ON DELETE CASCADE,
            bytes BLOB NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT;
        CREATE TABLE transcript_entry (
            request INTEGER NOT NULL REFERENCES request (number) ON DELETE CASCADE,
            sequence INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            hash BLOB NOT NULL CHECK (length(hash) = 32),
            bytes BLOB NOT NULL,
            UNIQUE (request, sequence)
        ) STRICT;
        CREATE TABLE usage (
            scope INTEGER NOT NULL,
            name BLOB NOT NULL,
            item_count INTEGER NOT NULL,
            byte_count INTEGER NOT NULL,
            PRIMARY KEY (scope, name)
        ) STRICT, WITHOUT ROWID;
        """

    /// 3: contacts and groups.
    private static let contacts: StaticString = """
        CREATE TABLE contact (
            signer BLOB NOT NULL PRIMARY KEY CHECK (length(signer) = 33),
            label TEXT NOT NULL,
            enrolment BLOB,
            addresses TEXT NOT NULL,
            is_verified INTEGER NOT NULL,
            blocked_until INTEGER NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE signing_group (
            policy_digest BLOB NOT NULL PRIMARY KEY CHECK (length(policy_digest) = 32),
            name TEXT NOT NULL UNIQUE,
            policy BLOB NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE group_member (
            policy_digest BLOB NOT NULL REFERENCES signing_group (policy_digest) ON DELETE CASCADE,
            signer BLOB NOT NULL CHECK (length(signer) = 33),
            version INTEGER NOT NULL,
            enrolment BLOB NOT NULL,
            PRIMARY KEY (policy_digest, signer)
        ) STRICT, WITHOUT ROWID;
        """

    /// 4: the mailbox. Cursors never come again, whatever is removed.
    private static let mailbox: StaticString = """
        CREATE TABLE sealed_message (
            cursor INTEGER PRIMARY KEY AUTOINCREMENT,
            recipient BLOB NOT NULL CHECK (length(recipient) = 32),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            source TEXT NOT NULL,
            received INTEGER NOT NULL,
            expiry INTEGER NOT NULL,
            byte_count INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            UNIQUE (recipient, digest)
        ) STRICT;
        CREATE INDEX sealed_message_by_recipient ON sealed_message (recipient, cursor);
        CREATE INDEX sealed_message_by_expiry ON sealed_message (expiry);
        """

    /// 5: what each group's signer may approve by itself, and what it approved.
    private static let approvals: StaticString = """
        CREATE TABLE approval (
            policy_digest BLOB NOT NULL PRIMARY KEY REFERENCES signing_group (policy_digest) ON DELETE CASCADE,
            policy BLOB NOT NULL,
            history BLOB NOT NULL,
            halt TEXT NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        """

    /// 6: who each entry of a transcript counts for; up to now, whoever proposed its request. Requests that ended and may still complete
    /// (state 8) take no place any more.
    private static let shares: StaticString = """
        ALTER TABLE transcript_entry ADD COLUMN source TEXT;
        UPDATE transcript_entry SET source = (SELECT source FROM request WHERE request.number = transcript_entry.request);
        DELETE FROM usage WHERE scope = 1;
        INSERT INTO usage (scope, name, item_count, byte_count)
            SELECT 1, x'', open, 0 FROM (SELECT count(*) AS open FROM request WHERE state IN (0, 1, 2)) WHERE open > 0;
        DELETE FROM usage WHERE scope = 2;
        INSERT INTO usage (scope, name, item_count, byte_count)
            SELECT 2, CAST(source AS BLOB), sum(state IN (0, 1, 2)), sum(byte_count) FROM request WHERE source IS NOT NULL GROUP BY source;
        """

    /// 7: which peers are not listened to, and which were blocked for a while.
    private static let standings: StaticString = """
        CREATE TABLE peer_standing (
            peer BLOB NOT NULL PRIMARY KEY CHECK (length(peer) BETWEEN 1 AND 64),
            block INTEGER NOT NULL,
            since INTEGER NOT NULL,
            note TEXT NOT NULL,
            temporary_blocks BLOB NOT NULL,
            row_check BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        """
}
