import CryptoPrimitives
import Foundation
import Testing

struct SecretBytesTests {
    @Test(arguments: [1, 31, 32, 4_096, SecretBytes.byteCountMax])
    func `the bytes are zero before they are filled, and then what was filled in`(count: Int) throws {
        let secret = try SecretBytes(count: count) { bytes in
            #expect(bytes.count == count)
            #expect(bytes.allSatisfy { $0 == 0 })
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index) }
        }
        #expect(secret.count == count)
        secret.withUnsafeBytes { bytes in
            #expect(bytes.count == count)
            #expect(bytes.indices.allSatisfy { bytes[$0] == UInt8(truncatingIfNeeded: $0) })
        }
    }

    @Test(arguments: [0, -1, .min, SecretBytes.byteCountMax + 1, .max])
    func `a secret of no bytes, or of too many, is refused`(count: Int) {
        let error = SecretMemoryError.wrongByteCount(count, allowed: 1...SecretBytes.byteCountMax)
        #expect(throws: error) { _ = try SecretBytes(count: count) { _ in Issue.record("there is nothing to fill") }.count }
        #expect(throws: error) { _ = try SecretBytes.random(count: count).count }
    }

    @Test func `random secrets differ`() throws {
        let one = try SecretBytes.random(count: 32)
        let other = try SecretBytes.random(count: 32)
        #expect(!one.withUnsafeBytes { one in other.withUnsafeBytes { one.elementsEqual($0) } })
    }

    @Test(.enabled(if: Platform.locksMemory, "only Linux tells what memory is locked, and a sanitizer locks none"))
    func `the memory is locked and left out of core dumps`() throws {
        let secret = try SecretBytes.random(count: 32)
        let flags = try secret.withUnsafeBytes { try MemoryMap.flags(at: UnsafeRawPointer(#require($0.baseAddress))) }
        #expect(flags.isSuperset(of: ["lo", "dd"]), "\(flags)")
    }

    @Test func `a read past the end stops the process instead of finding other memory`() async throws {
        let child = await #expect(processExitsWith: .failure, observing: [\.standardOutputContent]) {
            let secret = try SecretBytes.random(count: 32)
            try secret.withUnsafeBytes { bytes in
                let start = try #require(bytes.baseAddress)
                try FileHandle.standardOutput.write(
                    contentsOf: Data("inside \(start.load(fromByteOffset: 31, as: UInt8.self) >= 0)\n".utf8))
                try FileHandle.standardOutput.write(
                    contentsOf: Data("beyond \(start.load(fromByteOffset: 32, as: UInt8.self) >= 0)\n".utf8))
            }
        }
        let output = String(decoding: try #require(child).standardOutputContent, as: UTF8.self)
        #expect(output.contains("inside") && !output.contains("beyond"))
    }
}
