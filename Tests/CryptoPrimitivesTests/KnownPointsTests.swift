import Testing

@testable import CryptoPrimitives

struct `Points that were found before` {
    private func bytes(_ first: UInt8, _ last: UInt8) -> [UInt8] { [first] + [UInt8](repeating: 0, count: 30) + [last] }

    @Test func `are not looked into again, until another takes their place`() {
        let (known, asked) = (KnownPoints(), Counter())
        func isIn(_ bytes: [UInt8]) -> Bool { known.contains(bytes) { asked.ask($0) } }
        #expect(isIn(self.bytes(1, 2)) && isIn(self.bytes(1, 2)) && asked.count == 1)
        // Another place, then the same place.
        #expect(isIn(self.bytes(2, 2)) && isIn(self.bytes(1, 2)) && asked.count == 2)
        #expect(isIn(self.bytes(1, 3)) && isIn(self.bytes(1, 2)) && asked.count == 4)
    }

    @Test func `do not vouch for other bytes, which are looked into each time while they are no point`() {
        let known = KnownPoints()
        #expect(known.contains(self.bytes(1, 2)) { _ in true })
        for _ in 0..<2 { #expect(!known.contains(self.bytes(1, 3)) { _ in false }) }
        #expect(known.contains(self.bytes(1, 2)) { _ in false })
        #expect(!known.contains([1, 2]) { _ in true })
    }

    private final class Counter {
        private(set) var count = 0
        func ask(_ bytes: [UInt8]) -> Bool {
            self.count += 1
            return bytes.count == 32
        }
    }
}
