import TestVectors
import Testing

@testable import Bitcoin

@Suite struct DelegatedMultisigDescriptorTests {
    struct ChecksumFile: Decodable {
        struct Case: Decodable {
            let descriptor: String
            let valid: Bool
            let why: String
        }
        let checksums: [Case]
    }

    @Test(.enabled(if: VectorFolder.has("extracted/bip380.json"), "needs the bips folder: set CHORALE_BIPS"))
    func `checksums are judged as BIP-380 says`() throws {
        let cases = try VectorFolder.load("extracted/bip380.json", as: ChecksumFile.self).checksums
        #expect(cases.count == 8)
        for vector in cases where vector.descriptor.contains("#") {
            #expect(DescriptorChecksum.isValid(vector.descriptor) == vector.valid, "\(vector.why)")
        }
        // Parsing allows a descriptor without a checksum; as a checksum, nothing is not valid.
        #expect(!DescriptorChecksum.isValid("raw(deadbeef)"))
        #expect(DescriptorChecksum.checksum(of: "raw(deadbeef)") == "89f8spxm")
        #expect(DescriptorChecksum.checksum(of: "raw(Ü)") == nil)
    }

    @Test func `a descriptor shows the tree's shape, its keys and a checksum`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3)
        let keys = policy.leafKeys
        let text = try policy.descriptor()
        #expect(text.hasPrefix("tr(\(policy.output.internalKey),{{pk(\(keys[0])),pk(\(keys[1]))},pk(\(keys[2]))})#"))
        #expect(DescriptorChecksum.isValid(text))
        let single = try DelegatedMultisig.figure(3, of: 3, .aggregate)
        #expect(try single.descriptor().hasPrefix("tr(\(single.output.internalKey),pk(\(single.leafKeys[0])))#"))
    }

    @Test func `a descriptor lists a thousand leaves and no more`() throws {
        let owner = try DelegatedMultisig.InternalKey.owner(FigureKey.owner())
        let keys = FigureKey.cheap(1_001)
        let largest = try DelegatedMultisig(internalKey: owner, signers: Array(keys.prefix(1_000)), threshold: 1)
        #expect(DescriptorChecksum.isValid(try largest.descriptor()))
        let larger = try DelegatedMultisig(internalKey: owner, signers: keys, threshold: 1)
        #expect(throws: DelegatedMultisigError.descriptorTooLong(leaves: 1_001, limit: 1_000)) { try larger.descriptor() }
    }
}
