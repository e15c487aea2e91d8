import CryptoPrimitives

extension DelegatedMultisig {
    /// Most leaves that a descriptor lists.
    ///
    /// Source: 70 characters a leaf, so 70,000; a larger policy is made again from its keys, not from a text.
    public static let descriptorLeafCountMax = 1_000

    /// What `descriptor` would throw for a policy that is still to be made, which may take minutes; `nil` if it would not, or if there is
    /// no such policy.
    package static func descriptorError(threshold: Int, signerCount: Int) -> DelegatedMultisigError? {
        guard let sets = Combinations(choosing: threshold, outOf: signerCount) else { return nil }
        guard sets.count > Self.descriptorLeafCountMax, sets.count <= Self.leafCountMax else { return nil }
        return .descriptorTooLong(leaves: sets.count, limit: Self.descriptorLeafCountMax)
    }

    /// The output descriptor (BIPs 380 and 386) of the same output, with its checksum: `tr(INTERNAL,{…pk(AGGREGATE)…})#…`.
    ///
    /// Any wallet that reads `tr()` finds the coins with it. It holds aggregates and not the signers' keys, so it does not say
    /// who can sign.
    ///
    /// - Throws: `descriptorTooLong` above `descriptorLeafCountMax`.
    public func descriptor() throws(DelegatedMultisigError) -> String {
        guard self.leafCount <= Self.descriptorLeafCountMax else {
            throw .descriptorTooLong(leaves: self.leafCount, limit: Self.descriptorLeafCountMax)
        }
        let text = "tr(\(self.output.internalKey),\(self.descriptorOfTree(0..<self.leafCount)))"
        guard let checksum = DescriptorChecksum.checksum(of: text) else {
            preconditionFailure("a descriptor of hex keys has only permitted characters")
        }
        return "\(text)#\(checksum)"
    }

    private func descriptorOfTree(_ leaves: Range<Int>) -> String {
        guard leaves.count > 1 else { return "pk(\(self.leafKeys[leaves.lowerBound]))" }
        let (left, right) = BalancedTree.halves(of: leaves)
        return "{\(self.descriptorOfTree(left)),\(self.descriptorOfTree(right))}"
    }
}
