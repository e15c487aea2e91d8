/// Where a peer says that it can be reached (libp2p RFC 0003), signed by itself.
public struct PeerRecord: Hashable, Sendable {
    /// The purpose that is signed. RFC 0003 names another; this is what the deployed peers use.
    public static let domain = "libp2p-peer-record"
    /// `libp2p-peer-record` (multiformats/multicodec), as the deployed peers write it: two bytes, not a varint.
    public static let payloadType: [UInt8] = [0x03, 0x01]
    /// Most addresses that are read from one record.
    public static let addressCountMax = 64

    public let peerID: PeerID
    /// The higher one of two records counts. Others take the time for it; nothing may rest on that.
    public let sequence: UInt64
    public let addresses: [Multiaddr]

    public init(peerID: PeerID, sequence: UInt64, addresses: [Multiaddr]) {
        self.peerID = peerID
        self.sequence = sequence
        self.addresses = addresses
    }

    /// Verifies an envelope and reads the record in it.
    ///
    /// Addresses that cannot be read are left out: newer peers use protocols that this one does not know.
    ///
    /// - Throws: also when another peer than the record's own signed it.
    public init(opening envelope: SignedEnvelope) throws(SignedEnvelopeError) {
        let payload = try envelope.open(type: Self.payloadType, domain: Self.domain)
        var (peerBytes, sequence, addresses): (ArraySlice<UInt8>?, UInt64, [Multiaddr]) = (nil, 0, [])
        do throws(ProtobufError) {
            var (reader, addressCount) = (ProtobufReader(payload[...]), 0)
            while let field = try reader.next() {
                switch field.number {
                case 1: peerBytes = try field.bytes()
                case 2: sequence = try field.unsigned()
                case 3:
                    addressCount += 1
                    guard addressCount <= Self.addressCountMax else {
                        throw .tooManyFields(field: 3, maximum: Self.addressCountMax)
                    }
                    if let address = try Self.address(in: field) { addresses.append(address) }
                default: break
                }
            }
            if peerBytes == nil { throw .missing(field: 1) }
        } catch {
            throw .protobuf(error)
        }
        do throws(PeerIDError) {
            self.peerID = try PeerID(parsing: peerBytes ?? [])
        } catch {
            throw .peerID(error)
        }
        let signer = PeerID(of: envelope.publicKey)
        guard self.peerID == signer else { throw .signedByAnother(signer: signer) }
        self.sequence = sequence
        self.addresses = addresses
    }

    private static func address(in field: ProtobufField) throws(ProtobufError) -> Multiaddr? {
        var (reader, address) = (try field.message(), Multiaddr?.none)
        while let inner = try reader.next() {
            if inner.number == 1 { address = try? Multiaddr(parsing: inner.bytes()) }
        }
        return address
    }

    /// The record in an envelope. The identity must be the one that the record names.
    public func sealed(by identity: PeerIdentity) -> SignedEnvelope {
        precondition(identity.id == self.peerID, "a peer signs records of its own")
        let payload = ProtobufWriter.message { message in
            message.bytes(self.peerID.bytes, field: 1)
            message.unsigned(self.sequence, field: 2)
            for address in self.addresses {
                message.message(field: 3) { $0.bytes(address.bytes, field: 1) }
            }
        }
        return SignedEnvelope(sealing: payload, type: Self.payloadType, domain: Self.domain, by: identity)
    }
}
