public import Bitcoin
internal import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// What one signer signs with on one device: the key, and the identity that speaks for it and is its node's peer id.
///
/// One object for a process. The secrets stay in guarded memory, and whoever needs one is lent it.
public final class SignerKeys: Sendable {
    let key: SecretKey
    public let identity: PeerIdentity
    /// Joins the two, signed by both.
    public let enrolment: Enrolment

    /// - Parameters:
    ///   - version: of the enrolment; a higher one takes the place of a lower one at everybody who hears of it.
    ///   - expiry: seconds since 1970 after which the enrolment counts no more; 0 for never.
    public init(
        key: consuming SecretKey, identity: PeerIdentity, network: Network, version: UInt32 = 1, expiry: UInt64 = 0
    ) throws(SecretKeyError) {
        self.enrolment = try Self.enrolment(key, identity, network, version, expiry)
        self.key = key
        self.identity = identity
    }

    private static func enrolment(
        _ key: borrowing SecretKey, _ identity: PeerIdentity, _ network: Network, _ version: UInt32, _ expiry: UInt64
    ) throws(SecretKeyError) -> Enrolment {
        try identity.withSecretKey { (secret) throws(SecretKeyError) in
            try Enrolment(network: network, signer: key, identity: secret, version: version, expiry: expiry)
        }
    }

    public var signer: PublicKey { self.enrolment.signer }

    /// Goes on with a request's machine.
    func step(_ coordination: inout Coordination, at moment: Moment) -> [CoordinationAction] {
        self.identity.withSecretKey { identity in coordination.step(now: moment, key: self.key, identity: identity) }
    }

    func propose(_ request: SigningRequest, _ terms: RequestTerms) -> Statement {
        self.identity.withSecretKey { Coordination.propose(request, terms: terms, enrolment: self.enrolment, identity: $0) }
    }
}
