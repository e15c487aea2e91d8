import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import Testing

/// A group's coins, those who ask for them, and a machine's clocks.
struct ApprovalScene {
    let signers: [Signer]
    let group: Script
    /// Two scripts that belong to nobody here.
    let shop = Script([0x00, 0x14] + Array(repeating: 7, count: 20))
    let stranger = Script([0x51, 0x20] + Array(repeating: 9, count: 32))
    /// A Friday, 8 o'clock UTC.
    static let start: UInt64 = 1_800_000_000
    private(set) var uptime: Duration = .seconds(50)
    private(set) var time = Self.start

    init() throws {
        self.signers = try Signer.make(3)
        self.group = try SignerGroup(self.signers.map(\.publicKey)).scriptPubKey
    }

    var proposer: PublicKey { self.signers[0].publicKey }
    var now: Moment { Moment(uptime: self.uptime, time: self.time) }

    /// Both clocks go on.
    mutating func pass(_ seconds: UInt64) {
        self.uptime += .seconds(Int64(seconds))
        self.time += seconds
    }

    /// Somebody sets the time of day.
    mutating func set(by seconds: Int64) { self.time = UInt64(Int64(self.time) + seconds) }

    /// The process ends, and starts again so much later.
    mutating func restart(_ history: ApprovalHistory, after seconds: UInt64 = 0) throws -> ApprovalHistory {
        self.uptime = .seconds(3)
        self.time += seconds
        return try ApprovalHistory(parsing: history.serialized())
    }

    func policy(
        perRequest: UInt64 = 100_000, perDay: UInt64 = 250_000, count: Int = 20, fee: UInt64 = 20_000, rate: UInt64 = 100,
        proposers: ApprovalPolicy.Proposers = .any, destinations: ApprovalPolicy.Destinations = .anywhere, own: Set<Script> = [],
        windows: [ApprovalWindow]? = nil, delay: UInt64 = 0, unseen: UInt64 = 3_600, others: Bool = false,
        otherwise: ApprovalPolicy.Otherwise = .ask
    ) throws -> ApprovalPolicy {
        try ApprovalPolicy(
            network: .regtest, groupScript: self.group, otherOwnScripts: own, proposers: proposers, destinations: destinations,
            limits: ApprovalPolicy.Limits(
                amountPerRequest: perRequest, amountPerDay: perDay, approvalsPerDay: count, fee: fee, feeRate: try FeeRate(rate)),
            times: ApprovalPolicy.Times(windows: windows, delay: delay, unseenMax: unseen), allowsCoinsOfOthers: others,
            otherwise: otherwise)
    }

    static func coin(_ number: Int) -> OutPoint { OutPoint(txid: Txid(SHA256.hash([UInt8(truncatingIfNeeded: number)])), index: 0) }

    /// A request that spends the group's coins of these numbers, each of 200,000 sat unless said otherwise, pays, and gives the rest back
    /// without a fee.
    func request(
        _ coins: [Int], each: UInt64 = 200_000, pays: UInt64, to script: Script? = nil, fee: UInt64 = 0, type: SighashType = .default,
        id: UInt8 = 0, expiry: UInt64 = Self.start + 10 * 86_400, proposer: PublicKey? = nil
    ) throws -> SigningRequest {
        let change = UInt64(coins.count) * each - pays - fee
        var outputs = [TransactionOutput(amount: pays, scriptPubKey: script ?? self.shop)]
        if change > 0 { outputs.append(TransactionOutput(amount: change, scriptPubKey: self.group)) }
        return try self.request(
            coins.map { (Self.coin($0), TransactionOutput(amount: each, scriptPubKey: self.group)) }, outputs, type: type, id: id,
            expiry: expiry, proposer: proposer)
    }

    func request(
        _ coins: [(OutPoint, TransactionOutput)], _ outputs: [TransactionOutput], type: SighashType = .default, id: UInt8 = 0,
        expiry: UInt64 = Self.start + 10 * 86_400, proposer: PublicKey? = nil
    ) throws -> SigningRequest {
        try SigningRequest(
            transaction: Transaction(inputs: coins.map { TransactionInput(previousOutput: $0.0) }, outputs: outputs),
            prevouts: coins.map(\.1), sighashTypes: coins.map { _ in type }, proposer: proposer ?? self.proposer, expiry: expiry,
            id: SHA256.hash([id]))
    }

    func decide(_ request: SigningRequest, _ policy: ApprovalPolicy, _ history: ApprovalHistory) -> ApprovalDecision {
        policy.decide(request, by: request.proposer ?? self.proposer, history: history, now: self.now)
    }

    /// Decides and notes, which decides no differently; whether it is approved now.
    func approve(_ request: SigningRequest, _ policy: ApprovalPolicy, _ history: inout ApprovalHistory) -> Bool {
        let expected = self.decide(request, policy, history)
        let decision = history.decide(request, by: request.proposer ?? self.proposer, under: policy, now: self.now)
        #expect(decision == expected)
        guard case .approve(let moment) = decision else { return false }
        return moment.uptime <= self.now.uptime
    }

    /// A person says no; whether there was room to note it.
    func refuse(_ request: SigningRequest, _ policy: ApprovalPolicy, _ history: inout ApprovalHistory) -> Bool {
        history.noteRefusal(of: request, under: policy, at: self.now)
    }
}
