/// An input read as steps: a byte says which, the next ones with what. Behind its end there are zeros.
struct PlayScript {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.rest = bytes[...] }

    var isOver: Bool { self.rest.isEmpty }

    mutating func byte() -> UInt8 { self.rest.popFirst() ?? 0 }

    mutating func flag() -> Bool { self.byte() & 1 == 1 }

    mutating func number() -> Int { Int(self.byte()) << 8 | Int(self.byte()) }

    /// One of `count` things.
    mutating func choice(_ count: Int) -> Int { Int(self.byte()) % count }

    /// One of them; `nil` if there is none.
    mutating func choice<Element>(of elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[self.choice(elements.count)]
    }

    /// So many of the next bytes as the next number says, or as there are.
    mutating func bytes() -> [UInt8] {
        let count = self.number()
        defer { self.rest = self.rest.dropFirst(count) }
        return Array(self.rest.prefix(count))
    }

    /// All that is left.
    mutating func remainder() -> [UInt8] {
        defer { self.rest = [] }
        return Array(self.rest)
    }

    /// What `bytes()` reads back, for seeds.
    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        let bytes = bytes.prefix(0xffff)
        return [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    }
}
