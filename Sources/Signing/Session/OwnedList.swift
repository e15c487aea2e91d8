/// A list whose elements have one owner: an array for what cannot be copied.
///
/// The standard library's collections take copyable elements only. Elements go when they are removed, or with the list.
struct OwnedList<Element: ~Copyable>: ~Copyable {
    private var storage: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count: Int = 0

    init(capacity: Int = 4) {
        self.capacity = max(1, capacity)
        self.storage = .allocate(capacity: self.capacity)
    }

    deinit {
        self.storage.deinitialize(count: self.count)
        self.storage.deallocate()
    }

    mutating func append(_ element: consuming Element) {
        if self.count == self.capacity {
            let larger = UnsafeMutablePointer<Element>.allocate(capacity: self.capacity * 2)
            larger.moveInitialize(from: self.storage, count: self.count)
            self.storage.deallocate()
            self.storage = larger
            self.capacity *= 2
        }
        (self.storage + self.count).initialize(to: element)
        self.count += 1
    }

    /// Adds up what each element has.
    func sum(_ amount: (borrowing Element) -> Int) -> Int {
        var sum = 0
        for index in 0..<self.count { sum += amount(self.storage[index]) }
        return sum
    }

    /// Something of the first element for which `isWanted` holds.
    func first<Value>(where isWanted: (borrowing Element) -> Bool, _ value: (borrowing Element) -> Value) -> Value? {
        for index in 0..<self.count where isWanted(self.storage[index]) { return value(self.storage[index]) }
        return nil
    }

    /// Takes out the last element; `nil` when there is none.
    mutating func popLast() -> Element? {
        guard self.count > 0 else { return nil }
        self.count -= 1
        return (self.storage + self.count).move()
    }

    /// Takes out the first element for which `isWanted` holds. The last one takes its place.
    mutating func remove(where isWanted: (borrowing Element) -> Bool) -> Element? {
        for index in 0..<self.count where isWanted(self.storage[index]) {
            self.count -= 1
            let element = (self.storage + index).move()
            if index < self.count { (self.storage + index).moveInitialize(from: self.storage + self.count, count: 1) }
            return element
        }
        return nil
    }
}

/// Unchecked, because the compiler does not know what the pointer points at. The list cannot be copied and never hands the pointer out,
/// so its elements are reached through it alone: changed by mutating methods, to which the language gives the list exclusively, and
/// otherwise only read. Whoever gets the list in another thread gets elements that may go there, for they are `Sendable` themselves.
extension OwnedList: @unchecked Sendable where Element: Sendable & ~Copyable {}
