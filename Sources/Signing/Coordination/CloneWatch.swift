internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

/// What one request's machine keeps to find out that a signer's nonce has served two transcripts: see Coordination+Clones.
struct CloneWatch: Sendable {
    /// An attempt as its coordinator began it: which nonces it takes, whoever signs it.
    struct Begun: Sendable {
        let transcript: Bytes32
        let attempt: UInt32
        let coordinator: PublicKey
        let approvals: [Statement]
        /// Known where it was worked out that the transcript is the one over these nonces.
        var plan: SigningPlan?
        let byteCount: Int

        /// The first nonce of a signer. Where a machine was copied, all of a set are the same.
        func firstNonce(of signer: PublicKey) -> [UInt8]? {
            self.approvals.first { $0.sender == signer }?.namedNonces?.items.first
        }
    }

    /// Most begun attempts of one coordinator that are remembered, and bytes of all.
    static let begunCountPerCoordinatorMax = 8
    static let begunByteCountMax = 4 << 20
    /// Attempts whose signatures are remembered for one request.
    static let sightingCountMax = 64
    /// Most uses that one member is told of, and is heard on; and most alarms that it is heard on. Each costs verifications.
    static let useCountPerMemberMax = 8
    static let alarmCountPerMemberMax = 4

    var sightings = NonceSightings(countMax: CloneWatch.sightingCountMax)
    /// The newest last.
    private(set) var begun: [Begun] = []
    /// Each names another signer. Those that were found here are told to everybody.
    var alarms: [(alarm: CloneAlarm, isFoundHere: Bool)] = []
    var heard: [PublicKey: (uses: Int, alarms: Int)] = [:]
    /// Which uses each member was told of.
    private var told: [PublicKey: Set<Told>] = [:]

    private struct Told: Hashable {
        let signer: PublicKey
        let transcript: Bytes32
    }

    /// - Returns: whether it is new.
    mutating func note(_ new: Begun) -> Bool {
        guard !self.begun.contains(where: { $0.transcript == new.transcript && $0.coordinator == new.coordinator }) else { return false }
        self.begun.append(new)
        let own = self.begun.indices.filter { self.begun[$0].coordinator == new.coordinator }
        if own.count > Self.begunCountPerCoordinatorMax { self.begun.remove(at: own[0]) }
        var byteCount = self.begun.reduce(0) { $0 + $1.byteCount }
        while byteCount > Self.begunByteCountMax, self.begun.count > 1 { byteCount -= self.begun.remove(at: self.placeToForget).byteCount }
        return true
    }

    /// Where the oldest attempt is of the coordinator whose attempts have most bytes: no other loses a place to those.
    private var placeToForget: Int {
        var byteCounts: [PublicKey: Int] = [:]
        for begun in self.begun { byteCounts[begun.coordinator, default: 0] += begun.byteCount }
        let most = byteCounts.values.max()
        return self.begun.firstIndex { byteCounts[$0.coordinator] == most } ?? 0
    }

    /// The attempt with this transcript, its plan worked out: `nil` where none is known, or the transcript is not what it rests on.
    mutating func begun(_ transcript: Bytes32, attempt: UInt32, plan make: ([PublicKey]) -> SigningPlan?) -> Begun? {
        while let place = self.begun.firstIndex(where: { $0.transcript == transcript && $0.attempt == attempt }) {
            if self.begun[place].plan != nil { return self.begun[place] }
            let begun = self.begun[place]
            if let plan = make(begun.approvals.map(\.sender)), plan.signers == begun.approvals.map(\.sender),
                plan.transcript(attempt: attempt, of: begun.approvals) == transcript
            {
                self.begun[place].plan = plan
                return self.begun[place]
            }
            // It never comes out, and is not worked out each time that somebody names it.
            self.begun.remove(at: place)
        }
        return nil
    }

    /// It was worked out that an attempt's transcript is the one over these nonces.
    mutating func note(_ plan: SigningPlan, of transcript: Bytes32, attempt: UInt32, over approvals: [Statement]) {
        for (place, begun) in self.begun.enumerated()
        where begun.transcript == transcript && begun.attempt == attempt && begun.approvals == approvals { self.begun[place].plan = plan }
    }

    /// Whether a member is to be told of a use: once, and of few in all.
    mutating func mayTell(_ member: PublicKey, of use: NonceUse) -> Int? {
        let told = self.told[member] ?? []
        guard told.count < Self.useCountPerMemberMax else { return nil }
        guard self.told[member, default: []].insert(Told(signer: use.signer, transcript: use.transcript)).inserted else { return nil }
        return told.count
    }
}
