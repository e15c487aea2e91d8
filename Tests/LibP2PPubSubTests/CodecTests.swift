import CryptoPrimitives
import Testing

@testable import LibP2P

/// Frames that py-libp2p 0.8.1 wrote.
private enum Foreign {
    /// One message "hello" in "t1" by the identity whose seed is 32 times 01, number 7, with its key.
    static let message =
        "12a5010a260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c120568656c6c6f1a080000000000000007"
        + "220274312a4054191881a3972d0e6cc4a1575f86796a3f9d07f9141efdede51f59c00e43b5c3262b288d2271725bec637c6a8fa8b7890f79529b"
        + "d762a9b38f7bec929719bc0d3224080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    /// Two subscriptions, one entry of each kind of control, and a field that is not known here.
    static let control =
        "0a060801120274310a060800120274321a330a0a0a02743112043030666612080a0261610a0262621a040a027431220f0a02743212070a0201021201"
        + "03183c2a040a02ff00220378797a"
}

struct `Frames of pubsub` {
    @Test func `of another implementation are read as they were meant`() throws {
        let rpc = try PubSubRPC(parsing: Hex.decode(Foreign.control))
        #expect(rpc.subscriptions == [.init(topic: "t1", isOn: true), .init(topic: "t2", isOn: false)])
        #expect(rpc.haves == [.init(topic: "t1", ids: [PubSubMessageID(Array("00ff".utf8))])])
        #expect(rpc.wants.map(\.bytes) == [Array("aa".utf8), Array("bb".utf8)])
        #expect(rpc.grafts == ["t1"])
        #expect(rpc.prunes == [.init(topic: "t2", peers: [.init(id: [1, 2], record: [3])], backoff: 60)])
        #expect(rpc.doNotWants.map(\.bytes) == [[0xff, 0]])
        #expect(rpc.surplusCount == 0)
        // Written by us, only the unknown field is missing.
        #expect(Hex.encode(rpc.encoded) == String(Foreign.control.dropLast(10)))
    }

    @Test func `carry another implementation's message, which verifies and goes on byte for byte`() throws {
        let bytes = try Hex.decode(Foreign.message)
        let rpc = try PubSubRPC(parsing: bytes)
        let message = try #require(rpc.messages.first)
        #expect(message.data == Array("hello".utf8))
        #expect(message.topic == "t1")
        #expect(message.author == Known.identities[0].id)
        #expect(message.key != nil)
        try message.verify(.strictSign)
        #expect(rpc.encoded == bytes)
    }

    @Test func `hold for our own message what the other implementation signs, without the key`() throws {
        let theirs = try #require(try PubSubRPC(parsing: Hex.decode(Foreign.message)).messages.first)
        var ours = PubSubMessage(
            topic: "t1", data: Array("hello".utf8), sequence: [0, 0, 0, 0, 0, 0, 0, 7], signedBy: Known.identities[0])
        #expect(ours.signature == theirs.signature)
        #expect(ours.key == nil)
        ours.key = theirs.key
        #expect(ours == theirs)
    }

    @Test func `cut or changed anywhere give an error or a value, and never a message that verifies`() throws {
        for hex in [Foreign.message, Foreign.control] {
            let bytes = try Hex.decode(hex)
            for count in bytes.indices { _ = try? PubSubRPC(parsing: Array(bytes.prefix(count))) }
            var random = SeededRandom(seed: 7)
            for _ in 0..<20_000 {
                var changed = bytes
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    changed[Int.random(in: changed.indices, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
                }
                guard let rpc = try? PubSubRPC(parsing: changed) else { continue }
                #expect(try PubSubRPC(parsing: rpc.encoded).messages == rpc.messages)
                var original = try PubSubRPC(parsing: bytes).messages.first
                original?.key = nil
                for var message in rpc.messages {
                    // The key is not signed, and is not needed where the id holds it.
                    message.key = nil
                    if message != original { #expect(throws: PubSubMessage.Fault.self) { try message.verify(.strictSign) } }
                }
            }
        }
    }

    @Test func `longer than 1 MiB are refused`() {
        #expect(throws: ProtobufError.tooManyBytes(count: 1_048_577, maximum: 1_048_576)) {
            try PubSubRPC(parsing: [UInt8](repeating: 0, count: 1_048_577))
        }
    }

    @Test func `full of empty entries cost no more than their limits`() throws {
        let kinds: [(name: String, entry: [UInt8])] = [
            ("subscriptions", [0x0a, 0x00]), ("messages", [0x12, 0x00]), ("controls with grafts", [0x1a, 0x02, 0x1a, 0x00]),
            ("controls with prunes", [0x1a, 0x02, 0x22, 0x00]), ("controls with haves", [0x1a, 0x02, 0x0a, 0x00]),
            ("ids of one byte", [0x1a, 0x05, 0x12, 0x03, 0x0a, 0x01, 0x00]),
        ]
        for (name, entry) in kinds {
            let count = PubSubRPC.byteCountMax / entry.count
            let rpc = try PubSubRPC(parsing: Array(repeatElement(entry, count: count).joined()))
            let kept = [
                rpc.subscriptions.count, rpc.messages.count, rpc.grafts.count, rpc.prunes.count, rpc.haves.count, rpc.wants.count,
            ].reduce(0, +)
            #expect(kept <= PubSubRPC.CountMax.messageIDs, "\(name)")
            #expect(kept + rpc.surplusCount == count, "\(name)")
        }
    }

    @Test func `may spread their control over several fields`() throws {
        var (first, second) = (PubSubRPC(), PubSubRPC())
        first.grafts = ["a"]
        second.grafts = ["b"]
        second.wants = [PubSubMessageID([1])]
        let rpc = try PubSubRPC(parsing: first.encoded + second.encoded)
        #expect(rpc.grafts == ["a", "b"])
        #expect(rpc.wants.count == 1)
    }
}

struct `Messages` {
    @Test func `with a wrong part are refused for what is wrong`() throws {
        let good = PubSubMessage.by(1, 1)
        try good.verify(.strictSign)
        func fault(_ change: (inout PubSubMessage) -> Void) -> PubSubMessage.Fault? {
            var message = good
            change(&message)
            do throws(PubSubMessage.Fault) {
                try message.verify(.strictSign)
                return nil
            } catch { return error }
        }
        #expect(fault { $0.from = nil } == .missingField)
        #expect(fault { $0.sequence = nil } == .wrongSignature)
        #expect(fault { $0.sequence = [1] } == .wrongSignature)
        #expect(fault { $0.signature = nil } == .missingField)
        #expect(fault { $0.from = [1, 2, 3] } == .unverifiableAuthor)
        #expect(fault { $0.from = Known.identities[2].id.bytes } == .wrongSignature)
        #expect(fault { $0.key = Known.identities[2].publicKey.encoded } == .forgedAuthor)
        #expect(fault { $0.key = [1] } == .unverifiableAuthor)
        #expect(fault { $0.key = Known.identities[1].publicKey.encoded } == nil)
        #expect(fault { $0.signature = [] } == .wrongSignature)
        #expect(fault { $0.data.append(0) } == .wrongSignature)
        #expect(fault { $0.topic = "u" } == .wrongSignature)
        #expect(fault { $0.topic = nil } == .wrongSignature)
        #expect(fault { $0.sequence = [0, 0, 0, 0, 0, 0, 0, 2] } == .wrongSignature)
        #expect(fault { $0.unknownFields = [0x38, 0x01] } == .disputedSignature)
        #expect(fault { ($0.unknownFields, $0.data) = ([0x38, 0x01], []) } == .wrongSignature)
        // An R of small order, which libsodium never takes and others may.
        #expect(fault { $0.signature?.replaceSubrange(..<32, with: [1] + [UInt8](repeating: 0, count: 31)) } == .disputedSignature)
    }

    @Test func `keep fields that are not known, which are signed too`() throws {
        var message = PubSubMessage.by(1, 1)
        message.unknownFields = [0x3a, 0x01, 0x07]
        message.signature = Known.identities[1].sign(message.signedBytes)
        let read = try PubSubMessage(ProtobufReader(message.encoded[...]))
        #expect(read == message)
        try read.verify(.strictSign)
    }

    @Test func `verify in whatever order their fields came`() throws {
        let message = PubSubMessage.by(1, 1)
        let bytes = ProtobufWriter.message { writer in
            writer.bytes(message.signature ?? [], field: 5)
            writer.string("t", field: 4)
            writer.bytes(message.sequence ?? [], field: 3)
            writer.bytes(message.data, field: 2)
            writer.bytes(message.from ?? [], field: 1)
        }
        try PubSubMessage(ProtobufReader(bytes[...])).verify(.strictSign)
    }

    @Test func `that name two topics name none`() throws {
        var rpc = PubSubRPC()
        rpc.messages = [.by(1, 1)]
        let twice = PubSubMessage.by(1, 1).encoded + [0x22, 0x01, 0x75]
        #expect(try PubSubMessage(ProtobufReader(twice[...])).topic == nil)
    }

    @Test func `that nobody signs carry nothing of an author`() throws {
        let message = PubSubMessage(topic: "t", data: [1])
        try message.verify(.strictNoSign)
        #expect(Hex.encode(message.encoded) == "120101220174")
        #expect(throws: PubSubMessage.Fault.unexpectedField) { try PubSubMessage.by(1, 1).verify(.strictNoSign) }
    }

    @Test func `have ids that go through text and back`() {
        let id = PubSubMessageID([0x00, 0xff, 0x1a])
        #expect(id.description == "00ff1a")
        #expect(id.inHex.fromHex == id)
        #expect(PubSubMessageID(Array("00F".utf8)).fromHex == nil)
        #expect(PubSubMessageID(Array("0g".utf8)).fromHex == nil)
        #expect(PubSubMessageID(Array("FF".utf8)).fromHex?.bytes == [255])
    }
}
