internal import Secp256k1

/// A value for each of some members, by place: to look at all of them, as most steps do, hashes nothing and copies nothing.
struct MemberTable<Value: Sendable>: Sendable {
    let members: [PublicKey]
    /// In the members' order.
    var values: [Value]
    private let places: [PublicKey: Int]

    init(_ members: [PublicKey], _ value: Value) {
        self.members = members
        self.values = [Value](repeating: value, count: members.count)
        self.places = Dictionary(members.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// A copy of a member's.
    subscript(member: PublicKey) -> Value? { self.places[member].map { self.values[$0] } }

    /// Where a member's is, to read some of it and copy nothing else.
    func place(of member: PublicKey) -> Int? { self.places[member] }

    /// Changes a member's where it is; nothing for who is none.
    mutating func update(_ member: PublicKey, _ change: (inout Value) -> Void) {
        guard let place = self.places[member] else { return }
        change(&self.values[place])
    }

    /// Changes all of them where they are.
    mutating func updateAll(_ change: (inout Value) -> Void) {
        for place in self.values.indices { change(&self.values[place]) }
    }
}
