import SimulationKit
import Testing

@Suite struct NodeApprovalTests {
    @Test(arguments: 1...UInt64(8))
    func `nothing is signed that its owner's policy does not let out, whenever processes are killed`(seed: UInt64) throws {
        let report = try SigningReport.run(NodeApprovalScenario(seed: seed))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    @Test func `requests complete without a person, and processes die meanwhile`() throws {
        var report = SigningReport()
        for seed in UInt64(1)...6 { report.add(try SigningReport.run(NodeApprovalScenario(seed: seed))) }
        #expect(report.completed > 3, "\(report.completed) of 6")
        #expect(report.coverage.isSuperset(of: ["crash", "completed without a person"]), "\(report.coverage)")
    }

    @Test func `a seed does the same twice`() throws {
        for seed in UInt64(1)...4 {
            let scenario = NodeApprovalScenario(seed: seed)
            let (first, second) = (try SigningReport.run(scenario), try SigningReport.run(scenario))
            #expect(first.messageCount == second.messageCount && first.coverage == second.coverage)
        }
    }

    /// A checker that finds nothing is worth nothing.
    @Test(arguments: NodeApprovalFault.allCases)
    func `what is made wrong with approvals on purpose is found`(fault: NodeApprovalFault) throws {
        let found = try (UInt64(1)...30).contains { seed in
            try Set(SigningReport.run(NodeApprovalScenario(seed: seed), fault: fault).violations.map(\.violation.rule))
                == ["signedBeyondPolicy"]
        }
        #expect(found, "no seed found it")
    }
}
