/// How many small things may still be decoded, where a stranger could send so many that they fill the memory.
///
/// An empty witness item is one byte on the wire and takes eight in memory, one of a single byte takes 56: what bounds the bytes
/// does not bound the memory. One allowance is handed through all that is decoded together.
struct ItemAllowance {
    /// How many there were at first.
    let countMax: Int
    private var left: Int

    init(_ countMax: Int) {
        self.countMax = countMax
        self.left = countMax
    }

    /// For what is bounded otherwise.
    static let unlimited = ItemAllowance(.max)

    /// How many have been taken.
    var takenCount: Int { self.countMax - self.left }

    /// Takes so many off; `false`, and nothing taken, when there are not so many left.
    mutating func take(_ count: Int) -> Bool {
        guard count <= self.left else { return false }
        self.left -= count
        return true
    }
}
