/// The eight characters that end an output descriptor and catch its typing errors (BIP-380, "Checksum").
public enum DescriptorChecksum {
    /// Characters of a checksum, the `#` before it not counted.
    public static let characterCount = 8

    /// The checksum of a descriptor that has none yet; `nil` if a character may not stand in a descriptor.
    public static func checksum(of descriptor: some StringProtocol) -> String? {
        var state: UInt64 = 1
        var group = (value: UInt64(0), count: 0)
        for character in descriptor.utf8 {
            guard let place = Self.inputCharacters.firstIndex(of: character).map(UInt64.init) else { return nil }
            // Five bits of each character at once, and the two that are left of three characters together.
            state = Self.step(state, place & 31)
            group = (group.value * 3 + place >> 5, group.count + 1)
            if group.count == 3 {
                state = Self.step(state, group.value)
                group = (0, 0)
            }
        }
        if group.count > 0 { state = Self.step(state, group.value) }
        for _ in 0..<Self.characterCount { state = Self.step(state, 0) }
        state ^= 1
        let symbols = (0..<Self.characterCount).map { Self.symbols[Int(state >> (5 * UInt64(7 - $0)) & 31)] }
        return String(decoding: symbols, as: UTF8.self)
    }

    /// Whether the text ends with `#` and the right checksum of all that stands before.
    public static func isValid(_ descriptor: some StringProtocol) -> Bool {
        guard let mark = descriptor.firstIndex(of: "#") else { return false }
        return Self.checksum(of: descriptor[..<mark]).map { $0 == descriptor[mark...].dropFirst() } ?? false
    }

    /// One step of the code over GF(32) that BIP-380 names `descsum_polymod`.
    private static func step(_ state: UInt64, _ value: UInt64) -> UInt64 {
        let top = state >> 35
        var next = (state & 0x7_ffff_ffff) << 5 ^ value
        for (bit, generator) in Self.generators.enumerated() where top >> UInt64(bit) & 1 == 1 { next ^= generator }
        return next
    }

    private static let generators: [UInt64] = [0xf5_dee5_1989, 0xa9_fdca_3312, 0x1b_ab10_e32d, 0x37_06b1_677a, 0x64_4d62_6ffd]

    /// In groups of 32, so that mistakes which are likely change the low five bits alone.
    private static let inputCharacters = Array(
        ("0123456789()[],'/*abcdefgh@:$%{}" + "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~" + "ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ").utf8)

    private static let symbols = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
}
