public import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// A group's members and the identity that speaks for each: who may say something about a request, and how it is known.
///
/// Of a signer's enrolments the highest version counts, so that an identity can be replaced or taken back.
public struct Roster: Sendable {
    /// All signers, in the policy's order; a member's place in it names it in messages.
    public let members: [PublicKey]
    public let network: Network
    /// What members sign in place of a request's T0 when they give each other nonces ahead: tagged hash `chorale/nonce-pool` of the network's name
    /// and all keys, in their order.
    package let poolDigest: Bytes32
    private let places: [PublicKey: Int]
    private var enrolments: [PublicKey: Enrolment] = [:]
    private var signers: [Ed25519.PublicKey: PublicKey] = [:]

    public init(members: [PublicKey], network: Network, enrolments: [Enrolment] = []) {
        self.members = members
        self.network = network
        var hash = Self.poolTag
        hash.update(Array(network.rawValue.utf8))
        for member in members { hash.update(member.bytes) }
        self.poolDigest = hash.finalize()
        self.places = Dictionary(members.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        for enrolment in enrolments { _ = self.learn(enrolment) }
    }

    private static let poolTag = SHA256.tagged("chorale/nonce-pool")

    /// What became of an enrolment that came along.
    public enum Learned: Hashable, Sendable {
        /// It counts from now on.
        case taken
        case known
        /// A higher version counts already.
        case outdated
        /// Of a signer that is no member, on another network, or an identity that speaks for another member.
        case foreign
        /// Another identity under the version that counts: its signer signed two, and the first one stays.
        case contradictory
    }

    public mutating func learn(_ enrolment: Enrolment) -> Learned {
        guard self.places[enrolment.signer] != nil, enrolment.network == self.network else { return .foreign }
        if let other = self.signers[enrolment.identity], other != enrolment.signer { return .foreign }
        if let standing = self.enrolments[enrolment.signer] {
            if enrolment == standing { return .known }
            if enrolment.version < standing.version { return .outdated }
            if enrolment.version == standing.version { return .contradictory }
            self.signers[standing.identity] = nil
        }
        self.enrolments[enrolment.signer] = enrolment
        self.signers[enrolment.identity] = enrolment.signer
        return .taken
    }

    public func enrolment(of signer: PublicKey) -> Enrolment? { self.enrolments[signer] }

    /// The member for which an identity speaks.
    public func signer(speakingThrough identity: Ed25519.PublicKey) -> PublicKey? { self.signers[identity] }

    public func place(of signer: PublicKey) -> Int? { self.places[signer] }

    func member(at place: Int) -> PublicKey? { self.members.indices.contains(place) ? self.members[place] : nil }
}
