/// A relay's signed word that it serves a peer (circuit relay v2, "Reservation Vouchers"). Relays ask nobody for it so far.
public struct RelayVoucher: Hashable, Sendable {
    public static let domain = "libp2p-relay-rsvp"
    /// `libp2p-relay-rsvp` (multiformats/multicodec), as the deployed peers write it: two bytes, not a varint.
    public static let payloadType: [UInt8] = [0x03, 0x02]

    public let relay: PeerID
    public let peer: PeerID
    /// Unix seconds.
    public let expiration: UInt64

    public init(relay: PeerID, peer: PeerID, expiration: UInt64) {
        self.relay = relay
        self.peer = peer
        self.expiration = expiration
    }

    /// Verifies an envelope and reads the voucher in it. Only the relay that it names may have signed it.
    public init(opening envelope: SignedEnvelope) throws(SignedEnvelopeError) {
        let payload = try envelope.open(type: Self.payloadType, domain: Self.domain)
        var (relay, peer, expiration) = ([UInt8](), [UInt8](), UInt64?.none)
        do throws(ProtobufError) {
            var reader = ProtobufReader(payload[...])
            while let field = try reader.next() {
                switch field.number {
                case 1: relay = Array(try field.bytes())
                case 2: peer = Array(try field.bytes())
                case 3: expiration = try field.unsigned()
                default: break
                }
            }
            if expiration == nil { throw .missing(field: 3) }
        } catch {
            throw .protobuf(error)
        }
        do throws(PeerIDError) {
            (self.relay, self.peer) = (try PeerID(parsing: relay), try PeerID(parsing: peer))
        } catch {
            throw .peerID(error)
        }
        self.expiration = expiration ?? 0
        let signer = PeerID(of: envelope.publicKey)
        guard signer == self.relay else { throw .signedByAnother(signer: signer) }
    }

    /// The voucher in an envelope. The identity must be the relay's.
    public func sealed(by identity: PeerIdentity) -> SignedEnvelope {
        precondition(identity.id == self.relay, "a relay vouches for itself")
        let payload = ProtobufWriter.message { message in
            message.bytes(self.relay.bytes, field: 1)
            message.bytes(self.peer.bytes, field: 2)
            message.unsigned(self.expiration, field: 3)
        }
        return SignedEnvelope(sealing: payload, type: Self.payloadType, domain: Self.domain, by: identity)
    }
}
