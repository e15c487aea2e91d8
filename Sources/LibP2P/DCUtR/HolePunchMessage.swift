/// Why bytes are no message of DCUtR.
public enum HolePunchMessageError: Error, Equatable, Sendable, CustomStringConvertible {
    case protobuf(ProtobufError)
    case unknownType(UInt64)

    public var description: String {
        switch self {
        case .protobuf(let error): "hole punch message: \(error)"
        case .unknownType(let type): "hole punch message: type \(type) does not exist"
        }
    }
}

/// The protobuf message `HolePunch` (DCUtR, "RPC messages").
struct HolePunchMessage: Equatable, Sendable {
    enum Kind: UInt64, Sendable {
        case connect = 100
        case sync = 300
    }

    /// Most bytes of a message, its length not counted (DCUtR, "RPC messages").
    static let byteCountMax = 4_096
    /// Most addresses that are read or sent: each costs a dial. (py-libp2p sends 20 at most.)
    static let addressCountMax = 20

    var kind: Kind
    var addresses: [Multiaddr] = []

    init(_ kind: Kind, addresses: [Multiaddr] = []) {
        self.kind = kind
        self.addresses = addresses
    }

    /// Addresses that cannot be read, and those behind the most that are read, are left out.
    init(parsing bytes: [UInt8]) throws(HolePunchMessageError) {
        var (type, addresses) = (UInt64?.none, [Multiaddr]())
        do throws(ProtobufError) {
            var reader = try ProtobufReader(bytes, byteCountMax: Self.byteCountMax)
            while let field = try reader.next() {
                switch field.number {
                case 1: type = try field.unsigned()
                case 2:
                    let address = try field.bytes()
                    guard addresses.count < Self.addressCountMax else { continue }
                    if let address = try? Multiaddr(parsing: address) { addresses.append(address) }
                default: break
                }
            }
            if type == nil { throw .missing(field: 1) }
        } catch {
            throw .protobuf(error)
        }
        guard let kind = Kind(rawValue: type ?? 0) else { throw .unknownType(type ?? 0) }
        self.kind = kind
        self.addresses = addresses
    }

    /// The protobuf message, with as many of the addresses as fit.
    var bytes: [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(self.kind.rawValue, field: 1)
            for address in self.addresses.prefix(Self.addressCountMax).map(\.bytes)
            where message.bytes.count + address.count + 4 <= Self.byteCountMax {
                message.bytes(address, field: 2)
            }
        }
    }
}
