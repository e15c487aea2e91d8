internal import MuSig2
public import Secp256k1

/// A partial signature that does not verify: who gave it, and for which input of the transaction.
public struct BadPartialSignature: Hashable, Sendable {
    public let input: Int
    public let signer: PublicKey

    public init(input: Int, signer: PublicKey) {
        self.input = input
        self.signer = signer
    }
}

/// The search for bad partial signatures: each verified by itself, in parallel on all cores.
public struct Inquiry: Sendable {
    let plan: SigningPlan
    let contexts: [SigningContext]
    let partials: [PublicKey: [PartialSignature]]

    /// Verifications that one task does: at some 70 µs each, long enough that starting the task costs nothing beside them.
    private static let pieceCount = 64

    private var count: Int { self.contexts.count * self.plan.signers.count }

    /// Every partial signature that does not verify, by input and then by signer in the set's order. Who gave none is not named.
    public func faults() async -> [BadPartialSignature] {
        let found = await withTaskGroup(of: [Int].self) { group in
            for start in stride(from: 0, to: self.count, by: Self.pieceCount) {
                group.addTask { (start..<min(start + Self.pieceCount, self.count)).filter(self.isBad) }
            }
            return await group.reduce(into: []) { $0 += $1 }.sorted()
        }
        return found.map(self.fault)
    }

    /// The same as `faults`, for a value that cannot wait for tasks: the calling thread verifies, too, while the other cores help.
    public func faultsAtOnce() -> [BadPartialSignature] {
        Cores.indices(below: self.count) { self.isBad($0) }.map(self.fault)
    }

    /// Whether the signature with this number, counted through the set for one input after the other, is there and does not verify.
    private func isBad(_ number: Int) -> Bool {
        let (place, seat) = number.quotientAndRemainder(dividingBy: self.plan.signers.count)
        guard let partial = self.partials[self.plan.signers[seat]]?[place] else { return false }
        return !((try? self.contexts[place].isValid(partial, of: seat)) ?? false)
    }

    private func fault(_ number: Int) -> BadPartialSignature {
        let (place, seat) = number.quotientAndRemainder(dividingBy: self.plan.signers.count)
        return BadPartialSignature(input: self.plan.inputs[place].index, signer: self.plan.signers[seat])
    }
}
