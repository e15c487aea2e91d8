/// A place on the heap for a value that a collection cannot hold, because it cannot be copied, or that must not move with it.
///
/// Unchecked, because the compiler does not see what makes it safe: each is made and reached by one `Swarm` alone, which never
/// hands it out and cannot be copied, so that whoever may change the swarm is the only one who may change what is in here.
final class Owned<Value: ~Copyable & Sendable>: @unchecked Sendable {
    var value: Value

    init(_ value: consuming Value) { self.value = value }
}
