import SigningNode

/// What goes wrong in a demo over a network, on purpose.
enum DemoTrouble: String, Sendable {
    /// A node is killed after its signer approved, and started again.
    case kill
    /// One member cheats.
    case cheat
    /// Whoever coordinates is cut off for a while.
    case partition

    /// For the picture's title.
    var title: String {
        switch self {
        case .kill: "and one of them crashes"
        case .cheat: "and one of them cheats"
        case .partition: "and one of them is cut off"
        }
    }
}

// How a group comes to an agreement while something goes wrong.

extension NetworkPlay {
    // MARK: - One is killed

    mutating func agreeWhileOneIsKilled() async throws(CommandError) {
        let victim = try await self.victim()
        if victim == 1 { try await self.kill(1) }
        var approvers = self.approvers
        if let place = approvers.firstIndex(of: victim) { approvers.swapAt(0, place) }
        for number in approvers {
            try await self.approve(number)
            if number == victim { try await self.kill(number) }
        }
        // Long enough for the others to begin without it, so that there is something to recover from.
        try await self.wait(for: .milliseconds(300))
        self.note(.startedAgain, at: victim)
        try await self.start(victim - 1...victim - 1)
    }

    /// Who is to be killed once it has agreed. Somebody else has not by then: else it would be over before.
    private func victim() async throws(CommandError) -> Int {
        guard self.threshold > 2 else { return 1 }
        // While another one coordinates, the others begin with nonces whose secrets died, and have to begin again.
        return try await self.coordinator() == 2 ? 3 : 2
    }

    private mutating func kill(_ number: Int) async throws(CommandError) {
        // Until its approval is with whoever coordinates; unless that is itself, who tells nobody.
        try await self.wait(atMost: .milliseconds(300)) { $0.timeline.has(.heardApproval(of: number)) }
        self.nodes[number - 1].kill()
        // What it still said comes before.
        try await self.rest()
        self.note(.killed, at: number)
    }

    // MARK: - One cheats

    /// The first whose word is asked for: it is in the first set, and may coordinate.
    private static let cheatNumber = 2

    /// Stops a node once its signer is in the group, and plays its part from here on.
    mutating func letOneCheat() async throws(CommandError) {
        let place = Self.cheatNumber - 1
        var others: [ContactCard] = []
        for node in self.nodes where node.number != Self.cheatNumber {
            let shown = try await node.client.ask(.object(["do": .string("node.show")]))
            do throws(GroupError) { others.append(try ContactCard(text: shown.shown("contact"))) } catch { throw .failed("\(error)") }
        }
        self.nodes[place].askToStop()
        self.nodes[place].waitUntilStopped()
        let cheat = try CheatingMember(Self.cheatNumber, in: self.scene, others: others)
        self.cheat = cheat
        try await cheat.start(listeningOn: self.nodes[place].listenAddress)
    }

    mutating func agreeWithCheat() async throws(CommandError) {
        for number in self.approvers {
            guard number == Self.cheatNumber else {
                try await self.approve(number)
                continue
            }
            _ = await self.cheat?.approve()
            self.note(.approved, at: number)
        }
        try await self.wait("a proof of who cheats") { $0.timeline.blamed == [Self.cheatNumber] }
        // Another one signs in its place, where there is one.
        if self.threshold < self.nodes.count { try await self.approve(self.threshold + 1) }
    }

    // MARK: - One is cut off

    mutating func agreeWhileOneIsCutOff() async throws(CommandError) {
        let victim = try await self.coordinator() ?? 1
        self.nodes[victim - 1].standStill()
        // What it still said comes before.
        try await self.wait(for: .milliseconds(20))
        self.note(.cutOff, at: victim)
        // The proposer agreed by asking. All agree who are there, or as many as can do without who is not.
        let present = (2...self.nodes.count).filter { $0 != victim }
        let isEnough = self.threshold < self.nodes.count
        let lacking = victim == 1 ? self.threshold : self.threshold - 1
        for number in isEnough ? Array(present.prefix(lacking)) : present { try await self.approve(number) }
        try await self.wait("another one to coordinate") { $0.timeline.has(.gaveUpTurn(of: victim)) }
        if isEnough {
            try await self.wait("those who are there to finish") { play in
                play.nodes.allSatisfy { $0.number == victim || play.timeline.has(.complete, at: $0.number) }
            }
        }
        self.nodes[victim - 1].goOn()
        self.note(.reconnected, at: victim)
        if !isEnough, victim != 1 { try await self.approve(victim) }
    }
}
