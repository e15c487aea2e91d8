internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
package import Secp256k1

/// Which nonces of others were seen to serve which transcript, the newest attempts of them: so that one that serves two is found.
///
/// A value that remembers and compares, and decides nothing. It grows with what others sign, so it has a bound on attempts and on bytes;
/// what is forgotten is the oldest attempt, of those whose signers all have the most of what is remembered: partial signatures are not verified
/// before they are compared, so one signer can make up any number of its own, and those must not take the others' places.
package struct NonceSightings: Sendable {
    /// Most attempts that are remembered.
    package static let countMax = 256
    /// Bytes of all their nonces and partial signatures, about. One attempt may have more: of those only one is remembered.
    package static let byteCountMax = 4 << 20

    /// What is known of one transcript. The statements are shared with whoever else holds them.
    private struct Seen {
        let transcript: Bytes32
        let plan: SigningPlan
        let attempt: UInt32
        let nonces: [Statement]
        var words: [PublicKey: Statement] = [:]
        var byteCount: Int
    }

    private struct Key: Hashable {
        let signer: PublicKey
        let nonce: [UInt8]
    }

    /// The oldest first. Few enough to be looked through, and so in one place.
    private var seen: [Seen] = []
    private var transcripts: [Key: Bytes32] = [:]
    /// What is remembered of each signer: attempts, and bytes.
    private var shares: [PublicKey: Share] = [:]

    private struct Share {
        var count = 0
        var byteCount = 0
    }

    package private(set) var heldByteCount = 0
    private let countMax: Int

    package init(countMax: Int = Self.countMax) { self.countMax = countMax }

    package var count: Int { self.seen.count }

    /// Remembers a use of a signer's nonces.
    ///
    /// - Returns: another use of one of the same nonces, under another transcript. The same transcript once more is nothing.
    package mutating func note(_ use: NonceUse) -> NonceUse? {
        for nonce in use.items {
            guard let other = self.transcripts[Key(signer: use.signer, nonce: nonce)], other != use.transcript else { continue }
            // The first one stays: what comes later is compared with it, however much comes.
            return self.use(of: use.signer, under: other)
        }
        let place = self.place(of: use)
        guard self.seen[place].words[use.signer] == nil else { return nil }
        let byteCount = use.statement.contributionByteCount + use.items.count * Self.overhead
        // Its signers so far share it with one more, and what it holds has grown for all of them.
        for signer in self.seen[place].words.keys { self.shares[signer]?.byteCount += byteCount }
        self.seen[place].words[use.signer] = use.statement
        self.seen[place].byteCount += byteCount
        self.shares[use.signer, default: Share()].count += 1
        self.shares[use.signer]?.byteCount += self.seen[place].byteCount
        self.heldByteCount += byteCount
        for nonce in use.items { self.transcripts[Key(signer: use.signer, nonce: nonce)] = use.transcript }
        while self.seen.count > self.countMax { self.forget(by: \.count) }
        while self.heldByteCount > Self.byteCountMax, self.seen.count > 1 { self.forget(by: \.byteCount) }
        return nil
    }

    /// Where its transcript is, which is made room for.
    private mutating func place(of use: NonceUse) -> Int {
        if let place = self.place(of: use.transcript) { return place }
        let byteCount = use.nonces.reduce(Self.overhead) { $0 + $1.contributionByteCount }
        self.seen.append(
            Seen(transcript: use.transcript, plan: use.plan, attempt: use.attempt, nonces: use.nonces, byteCount: byteCount))
        self.heldByteCount += byteCount
        return self.seen.count - 1
    }

    /// The newest are asked for most.
    private func place(of transcript: Bytes32) -> Int? { self.seen.indices.last { self.seen[$0].transcript == transcript } }

    /// The use of a signer's nonce, where one was seen.
    package func use(of signer: PublicKey, nonce: [UInt8]) -> NonceUse? {
        self.transcripts[Key(signer: signer, nonce: nonce)].flatMap { self.use(of: signer, under: $0) }
    }

    func holds(_ transcript: Bytes32, of signer: PublicKey) -> Bool {
        self.place(of: transcript).map { self.seen[$0].words[signer] != nil } ?? false
    }

    private func use(of signer: PublicKey, under transcript: Bytes32) -> NonceUse? {
        guard let place = self.place(of: transcript), let statement = self.seen[place].words[signer] else { return nil }
        let seen = self.seen[place]
        return NonceUse(plan: seen.plan, attempt: seen.attempt, nonces: seen.nonces, statement: statement)
    }

    /// Forgets one attempt. It counts for as much as the signer in it has that has the least, and the oldest of those goes that count for most.
    private mutating func forget(by size: (Share) -> Int) {
        var (place, most) = (0, -1)
        for index in self.seen.indices {
            var least = Int.max
            for signer in self.seen[index].words.keys { least = min(least, self.shares[signer].map(size) ?? 0) }
            if least > most { (place, most) = (index, least) }
        }
        let seen = self.seen.remove(at: place)
        self.heldByteCount -= seen.byteCount
        for signer in seen.words.keys {
            self.shares[signer]?.count -= 1
            self.shares[signer]?.byteCount -= seen.byteCount
            if self.shares[signer]?.count == 0 { self.shares[signer] = nil }
        }
        for statement in seen.nonces where seen.words[statement.sender] != nil {
            for nonce in statement.namedNonces?.items ?? [] {
                let key = Key(signer: statement.sender, nonce: nonce)
                if self.transcripts[key] == seen.transcript { self.transcripts[key] = nil }
            }
        }
    }

    /// Bytes that an attempt, or one nonce in the index, takes beside its own, about.
    private static let overhead = 200
}

extension Statement {
    /// Bytes of its nonces or partial signatures, and of the rest of it, about.
    var contributionByteCount: Int {
        let items =
            if case .partialSignatures(_, let items) = self.body { items } else { self.namedNonces?.items ?? [] }
        return items.reduce(400) { $0 + $1.count }
    }
}
