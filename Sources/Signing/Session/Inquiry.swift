internal import MuSig2
public import Secp256k1

/// The search for bad partial signatures: each verified by itself, in parallel on all cores.
public struct Inquiry: Sendable {
    let plan: SigningPlan
    let contexts: [SigningContext]
    let partials: [PublicKey: [PartialSignature]]

    /// The same as `faults`, one after the other on the calling thread: for a machine that must not wait.
    public func faultsOneByOne() -> [(input: Int, signer: PublicKey)] {
        self.contexts.enumerated().flatMap { place, context in self.faults(of: self.plan.signers.enumerated(), place, context) }
    }

    /// Verifications that one task does: at some 70 µs each, long enough that starting the task costs nothing beside them.
    private static let pieceCount = 64

    /// Every partial signature that does not verify: the input, and its signer. Signers who gave none are not named.
    public func faults() async -> [(input: Int, signer: PublicKey)] {
        let seats = Array(self.plan.signers.enumerated())
        return await withTaskGroup(of: [(input: Int, signer: PublicKey)].self) { group in
            for (place, context) in self.contexts.enumerated() {
                for start in stride(from: 0, to: seats.count, by: Self.pieceCount) {
                    let piece = seats[start..<min(start + Self.pieceCount, seats.count)]
                    group.addTask { self.faults(of: piece, place, context) }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
                .sorted { $0.input == $1.input ? $0.signer < $1.signer : $0.input < $1.input }
        }
    }

    private func faults(
        of seats: some Sequence<(offset: Int, element: PublicKey)>, _ place: Int, _ context: SigningContext
    ) -> [(input: Int, signer: PublicKey)] {
        var faults: [(input: Int, signer: PublicKey)] = []
        for (seat, signer) in seats {
            guard let partial = self.partials[signer]?[place] else { continue }
            let isValid = (try? context.isValid(partial, of: seat)) ?? false
            if !isValid { faults.append((self.plan.inputs[place].index, signer)) }
        }
        return faults
    }
}
