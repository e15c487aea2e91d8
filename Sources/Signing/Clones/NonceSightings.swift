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

    private var seen: [Bytes32: Seen] = [:]
    /// The transcripts, the oldest first.
    private var order: [Bytes32] = []
    private var transcripts: [Key: Bytes32] = [:]
    package private(set) var heldByteCount = 0
    private let countMax: Int

    package init(countMax: Int = Self.countMax) { self.countMax = countMax }

    package var count: Int { self.order.count }

    /// Remembers a use of a signer's nonces.
    ///
    /// - Returns: another use of one of the same nonces, under another transcript. The same transcript once more is nothing.
    package mutating func note(_ use: NonceUse) -> NonceUse? {
        for nonce in use.items {
            guard let other = self.transcripts[Key(signer: use.signer, nonce: nonce)], other != use.transcript else { continue }
            // The first one stays: what comes later is compared with it, however much comes.
            return self.use(of: use.signer, under: other)
        }
        guard self.seen[use.transcript]?.words[use.signer] == nil else { return nil }
        if self.seen[use.transcript] == nil {
            let byteCount = use.nonces.reduce(Self.overhead) { $0 + $1.contributionByteCount }
            self.seen[use.transcript] = Seen(plan: use.plan, attempt: use.attempt, nonces: use.nonces, byteCount: byteCount)
            self.order.append(use.transcript)
            self.heldByteCount += byteCount
        }
        let byteCount = use.statement.contributionByteCount + use.items.count * Self.overhead
        self.seen[use.transcript]?.words[use.signer] = use.statement
        self.seen[use.transcript]?.byteCount += byteCount
        self.heldByteCount += byteCount
        for nonce in use.items { self.transcripts[Key(signer: use.signer, nonce: nonce)] = use.transcript }
        while self.order.count > self.countMax { self.forget { _ in 1 } }
        while self.heldByteCount > Self.byteCountMax, self.order.count > 1 { self.forget(by: \.byteCount) }
        return nil
    }

    /// The use of a signer's nonce, where one was seen.
    package func use(of signer: PublicKey, nonce: [UInt8]) -> NonceUse? {
        self.transcripts[Key(signer: signer, nonce: nonce)].flatMap { self.use(of: signer, under: $0) }
    }

    func holds(_ transcript: Bytes32, of signer: PublicKey) -> Bool { self.seen[transcript]?.words[signer] != nil }

    private func use(of signer: PublicKey, under transcript: Bytes32) -> NonceUse? {
        guard let seen = self.seen[transcript], let statement = seen.words[signer] else { return nil }
        return NonceUse(plan: seen.plan, attempt: seen.attempt, nonces: seen.nonces, statement: statement)
    }

    /// Forgets one attempt. It counts for as much as the signer in it has that has the least, and the oldest of those goes that count for most.
    private mutating func forget(by size: (Seen) -> Int) {
        var shares: [PublicKey: Int] = [:]
        for seen in self.seen.values { for signer in seen.words.keys { shares[signer, default: 0] += size(seen) } }
        var (place, most) = (0, -1)
        for (index, transcript) in self.order.enumerated() {
            let share = self.seen[transcript]?.words.keys.compactMap { shares[$0] }.min() ?? .max
            if share > most { (place, most) = (index, share) }
        }
        let transcript = self.order.remove(at: place)
        guard let seen = self.seen.removeValue(forKey: transcript) else { return }
        self.heldByteCount -= seen.byteCount
        for statement in seen.nonces where seen.words[statement.sender] != nil {
            for nonce in statement.namedNonces?.items ?? [] {
                let key = Key(signer: statement.sender, nonce: nonce)
                if self.transcripts[key] == transcript { self.transcripts[key] = nil }
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
