internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing

/// A member's machine: a process that may die, and a disk that outlives it.
final class SigningHost {
    let place: Int
    let signer: PublicKey
    let identityKey: Ed25519.PublicKey
    let enrolment: Enrolment
    let key: SecretKey
    let identity: Ed25519.SecretKey
    let cheat: SigningCheat?
    /// By which its clock of the day is wrong, in seconds.
    let skew: Int

    /// The process; `nil` while it is down or has not heard of the request.
    var coordination: Coordination?
    var isUp = true
    /// Lives of the process so far.
    var life = 0
    /// When `step` was last asked for, so that an old timer is known.
    var timer: Duration?

    // The disk
    var request: (request: SigningRequest, proposal: Statement)?
    var decision: (serial: UInt32, approves: Bool)?
    var journal: [BurnRecord] = []
    /// What was said and heard of attempts, for the next life.
    var said: [[UInt8]] = []
    /// Durable steps so far, in all lives.
    var stepCount = 0
    /// Writes that have not returned yet.
    var pending: [BurnRecord] = []

    // What was seen of it
    var transaction: Transaction?
    /// The name of its machine's state, to know the transitions.
    var lastState = "new"
    var sentCount = 0
    var sentByteCount = 0
    var heardFromCheats = 0
    var refusedCount = 0
    var broadcasts = 0
    /// Whether its request ended without a signature, and not by time alone.
    var hasAborted: Bool {
        switch self.coordination?.state {
        case .aborted, .endedMayStillComplete(.aborted): true
        case .proposed, .approved, .signing, .complete, .rejected, .withdrawn, .expired, .endedMayStillComplete, nil: false
        }
    }

    /// How it speaks, if it cheats.
    var speaker: CheatingSpeaker?

    init(place: Int, seed: UInt64, network: Network, cheat: SigningCheat?, skew: Int) throws {
        self.place = place
        self.cheat = cheat
        self.skew = skew
        self.key = try SecretKey(parsing: try Self.secret("signer", seed, place))
        self.identity = try Ed25519.SecretKey(seed: try Self.secret("identity", seed, place))
        self.signer = self.key.publicKey
        self.identityKey = self.identity.publicKey
        self.enrolment = try Enrolment(network: network, signer: self.key, identity: self.identity)
    }

    private static func secret(_ what: String, _ seed: UInt64, _ place: Int) throws -> SecretBytes {
        let digest = SHA256.hash(Array("simulated \(what) \(seed) \(place)".utf8))
        return try SecretBytes(count: 32) { $0.copyBytes(from: digest.bytes) }
    }

    /// Its transcript, as far as the next life has a use for it.
    func transcribe(_ message: [UInt8]) {
        guard Coordination.isWorthRecalling(message) else { return }
        self.said.append(message)
        if self.said.count > 256 { self.said.removeFirst() }
    }

    /// The incarnation of the current life: different for each.
    func incarnation(seed: UInt64) -> Incarnation {
        Incarnation(known: Array(SHA256.hash(Array("incarnation \(seed) \(self.place) \(self.life)".utf8)).bytes.prefix(16)))
    }
}
