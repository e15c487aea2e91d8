/// Why a text or bytes are no address.
public enum MultiaddrError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooLong(byteCount: Int, maximum: Int)
    case tooManyComponents(maximum: Int)
    /// The text does not begin with `/`.
    case noLeadingSlash
    /// A protocol that is not known here. (In the binary form nothing after it can be read: its length is not known either.)
    case unknownProtocol(String)
    /// The protocol needs a value, and the address ends.
    case missingValue(of: MultiaddrProtocol)
    /// The value is none of this protocol.
    case invalidValue(of: MultiaddrProtocol)
    case varint(VarintError)

    public var description: String {
        switch self {
        case .empty: "an empty address leads nowhere"
        case .tooLong(let count, let maximum): "the address has \(count) bytes, and at most \(maximum) are allowed"
        case .tooManyComponents(let maximum): "the address names more than \(maximum) protocols"
        case .noLeadingSlash: "an address begins with '/', as in /ip4/192.0.2.1/tcp/4001"
        case .unknownProtocol(let name): "the protocol '\(name)' is not known here"
        case .missingValue(let code): "after /\(code.name) a value is missing"
        case .invalidValue(let code): "what follows /\(code.name) is no value for it"
        case .varint(let error): "address: \(error)"
        }
    }
}

/// Where a peer can be reached, protocol by protocol (multiformats/multiaddr).
///
///     /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA
public struct Multiaddr: Hashable, Sendable {
    /// Most bytes of the binary form: the longest in use (relayed WebTransport with two certificate hashes) take about 250.
    public static let byteCountMax = 1_024
    /// Most UTF-8 code units of the text form.
    public static let characterCountMax = 2_048
    /// Most protocols in one address that is read.
    public static let componentCountMax = 24

    public let components: [Component]

    public init(_ components: [Component]) { self.components = components }

    /// The same address with more behind it: `address.appending(.p2p(peer))`.
    public func appending(_ components: Component...) -> Multiaddr { Multiaddr(self.components + components) }

    /// The peer at the end, if the address names one.
    public var peerID: PeerID? {
        guard case .p2p(let peer) = self.components.last else { return nil }
        return peer
    }

    /// The address without the peer at its end.
    public var withoutPeerID: Multiaddr { self.peerID == nil ? self : Multiaddr(self.components.dropLast()) }

    /// What names the machine: the first component, or the one behind the interface of a link-local address.
    public var host: Component? {
        if case .ip6zone? = self.components.first { self.components.dropFirst().first } else { self.components.first }
    }

    /// Whether a relay stands between.
    public var isRelayed: Bool { self.components.contains(.p2pCircuit) }

    // MARK: Text

    /// Reads the text form. An unknown protocol is refused: whether a value follows it cannot be known.
    public init(text: some StringProtocol) throws(MultiaddrError) {
        let count = text.utf8.count
        guard count <= Self.characterCountMax else { throw .tooLong(byteCount: count, maximum: Self.characterCountMax) }
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.first == 0x2f else { throw .noLeadingSlash }
        // By code units: to `Character` a slash with an accent on it is another letter.
        var parts = String(text).utf8.split(separator: 0x2f, omittingEmptySubsequences: false).map { Substring($0) }.dropFirst()
        var components: [Component] = []
        while let name = parts.popFirst() {
            guard components.count < Self.componentCountMax else { throw .tooManyComponents(maximum: Self.componentCountMax) }
            guard let code = MultiaddrProtocol(name: name) else { throw .unknownProtocol(String(name)) }
            if case .none = code.valueLength {
                // No value to get wrong: the binary form of none reads always.
                if let component = Component(code, bytes: []) { components.append(component) }
                continue
            }
            guard let first = parts.popFirst() else { throw .missingValue(of: code) }
            // A path goes on to the end.
            let value = code == .unix ? ([first] + parts).joined(separator: "/") : String(first)
            if code == .unix { parts = [] }
            guard let component = Component(code, text: value) else { throw .invalidValue(of: code) }
            components.append(component)
        }
        self.init(components)
        let byteCount = self.bytes.count
        guard byteCount <= Self.byteCountMax else { throw .tooLong(byteCount: byteCount, maximum: Self.byteCountMax) }
    }

    // MARK: Binary

    /// Reads the binary form. An unknown protocol is refused: how long its value is cannot be known.
    public init(parsing bytes: some Collection<UInt8>) throws(MultiaddrError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLong(byteCount: bytes.count, maximum: Self.byteCountMax) }
        var rest = Array(bytes)[...]
        guard !rest.isEmpty else { throw .empty }
        var components: [Component] = []
        while !rest.isEmpty {
            // In text a path goes on to the end, so nothing can stand behind it.
            guard components.last?.protocolCode != .unix else { throw .invalidValue(of: .unix) }
            guard components.count < Self.componentCountMax else { throw .tooManyComponents(maximum: Self.componentCountMax) }
            let number = try Self.varint(&rest)
            guard let code = MultiaddrProtocol(rawValue: number) else { throw .unknownProtocol("code \(number)") }
            let count: UInt64 =
                switch code.valueLength {
                case .none: 0
                case .fixed(let count): UInt64(count)
                case .prefixed: try Self.varint(&rest)
                }
            guard count <= UInt64(rest.count) else { throw .missingValue(of: code) }
            guard let component = Component(code, bytes: rest.prefix(Int(count))) else { throw .invalidValue(of: code) }
            components.append(component)
            rest = rest.dropFirst(Int(count))
        }
        self.init(components)
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) throws(MultiaddrError) -> UInt64 {
        do throws(VarintError) {
            return try Varint.read(from: &bytes)
        } catch {
            throw .varint(error)
        }
    }

    /// The binary form, in which addresses travel.
    public var bytes: [UInt8] {
        self.components.reduce(into: []) { bytes, component in
            Varint.append(component.protocolCode.rawValue, to: &bytes)
            let value = component.valueBytes
            if case .prefixed = component.protocolCode.valueLength { Varint.append(UInt64(value.count), to: &bytes) }
            bytes += value
        }
    }
}

extension Multiaddr: CustomStringConvertible {
    /// The text form.
    public var description: String {
        self.components.reduce(into: "") { text, component in
            text += "/" + component.protocolCode.name
            if let value = component.valueText { text += "/" + value }
        }
    }
}
