internal import MuSig2
public import Secp256k1

/// The search for bad partial signatures: each verified by itself, in parallel on all cores.
public struct Inquiry: Sendable {
    let plan: SigningPlan
    let contexts: [SigningContext]
    let partials: [PublicKey: [PartialSignature]]

    /// The same as `faults`, one after the other on the calling thread: for a machine that must not wait.
    public func faultsOneByOne() -> [(input: Int, signer: PublicKey)] {
        var faults: [(input: Int, signer: PublicKey)] = []
        for (place, context) in self.contexts.enumerated() {
            for (seat, signer) in self.plan.signers.enumerated() {
                guard let partials = self.partials[signer] else { continue }
                let isValid = (try? context.isValid(partials[place], of: seat)) ?? false
                if !isValid { faults.append((self.plan.inputs[place].index, signer)) }
            }
        }
        return faults
    }

    /// Every partial signature that does not verify: the input, and its signer. Signers who gave none are not named.
    public func faults() async -> [(input: Int, signer: PublicKey)] {
        await withTaskGroup(of: [(Int, PublicKey)].self) { group in
            for (place, context) in self.contexts.enumerated() {
                for (seat, signer) in self.plan.signers.enumerated() {
                    guard let partial = self.partials[signer]?[place] else { continue }
                    group.addTask {
                        let isValid = (try? context.isValid(partial, of: seat)) ?? false
                        return isValid ? [] : [(self.plan.inputs[place].index, signer)]
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }.sorted { $0.0 == $1.0 ? $0.1 < $1.1 : $0.0 < $1.0 }
        }
    }
}
