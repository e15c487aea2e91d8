import CryptoPrimitives
import Testing

@testable import CommandLineTool

struct `A file of an unexpected kind` {
    @Test func `is recognised by its first bytes, in every form in which it is passed on`() throws {
        let psbt = try Samples.signedPayment(by: 1)
        var finished = psbt
        try finished.finalize()
        let (bare, signed) = (psbt.unsignedTransaction.serialized(), try finished.extract().serialized())
        let cases: [([UInt8], FileKind)] = [
            ([], .empty), (psbt.serialized(), .psbt), (Array(psbt.base64().utf8), .psbt), (Array("\n \(psbt.base64())\n".utf8), .psbt),
            (bare, .transaction), (signed, .transaction), (Array("\(Hex.encode(signed))\n".utf8), .transaction),
            (Array(Hex.encode(bare).uppercased().utf8), .transaction), (Array("chorale-key 1\nnetwork: signet\n".utf8), .keyFile),
            (Array("chorale evidence 1\n".utf8) + [0, 1], .evidence), (Array(Samples.signersFile(3).utf8), .signers),
            (Array("# ours\n\n\(Samples.keys(1)[0])  # Alice\n".utf8), .signers), (Array("CHORJNL".utf8) + [1], .journal),
        ]
        for (bytes, kind) in cases { #expect(FileKind(bytes) == kind) }
    }

    @Test func `that shows no mark is not guessed at`() {
        let others: [[UInt8]] = [
            [0], Array("hello\n".utf8), Array("deadbeef".utf8), Array(Hex.encode(Samples.keys(1)[0].bytes.dropFirst()).utf8),
            [UInt8](repeating: 0, count: 100), [2, 0, 0, 0, 1], Array("# only a comment\n".utf8), Array("psbt".utf8),
        ]
        for bytes in others { #expect(FileKind(bytes) == nil, "\(bytes)") }
    }

    @Test func `is named with what it seems to be and the command that reads it`() {
        #expect(
            FileKind.mistake("a", seen: .psbt, wanted: .evidence)
                == "a is not an evidence file: it seems to be a PSBT; to read it: chorale psbt show")
        #expect(
            FileKind.mistake("a", seen: .journal, wanted: .psbt)
                == "a is not a PSBT: it seems to be the journal of a signer's decisions; to read it: chorale journal show")
        #expect(
            FileKind.mistake("a", seen: .empty, wanted: .keyFile)
                == "a is empty, and a key file was expected: check the name, or get the file again")
        #expect(FileKind.mistake("a", seen: .psbt, wanted: .psbt) == nil)
        #expect(FileKind.mistake("a", seen: nil, wanted: .psbt) == nil)
    }

    @Test func `is read no further than its beginning, and not at all where it is no file`() throws {
        let folder = try TemporaryFolder()
        #expect(FileKind(ofFile: try folder.write("cHNidP" + String(repeating: "A", count: 1 << 20), to: "long")) == .psbt)
        #expect(FileKind(ofFile: try folder.write("", to: "empty")) == .empty)
        for path in [folder.path, folder.path("none"), "/dev/zero", folder.path("long") + "\0"] {
            #expect(FileKind(ofFile: path) == nil)
        }
    }
}
