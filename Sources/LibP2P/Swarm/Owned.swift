/// A place on the heap for a value that a collection cannot hold, because it cannot be copied, or that must not move with it.
///
/// Unchecked, because the compiler does not see what makes it safe: each is made and reached by one `Swarm` alone, which never
/// hands it out and cannot be copied. `value` is changed by mutating methods of the swarm only, to which the language gives it
/// exclusively; its other methods only read here, which many may do at once, for the value is `Sendable` itself.
final class Owned<Value: ~Copyable & Sendable>: @unchecked Sendable {
    var value: Value

    init(_ value: consuming Value) { self.value = value }
}
