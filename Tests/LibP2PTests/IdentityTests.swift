import CSecp256k1
import CryptoPrimitives
import LibP2P
import Secp256k1
import Testing

/// The test vectors of libp2p's peer-ids.md, "Test vectors".
private enum Published {
    static let ed25519Secret = "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
    static let ed25519 = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    static let secp256k1Secret = "53dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"
    static let secp256k1 = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
    static let ecdsa =
        "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4b"
        + "c901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
    static let rsa =
        "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24eef00d049449b0"
        + "7770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae9880089704a94e5066d594162ae6ee8892e6e"
        + "c70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0ab3aeb1873282bebd3da03c33e76c21e9beb172fd4"
        + "4c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395ad941256542c793902185153c474bed109d6ff5141ebf9cd256cf588"
        + "93a37f83729f97e7cb435ec679d2e33901d27bb35aa0d7e20561da08885ef0abbf8e2fb48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5"
        + "d98b3982d2a901b4454991766da295ab78822add5612a2df83bcee814cf50973e80d7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319"
        + "939a3b9c761dbc13b5c086d6b64bf7ae7dacc14622375d92a8ff9af7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeffd7"
        + "ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb04a9580b4753c173"
        + "8a6a760ae1afd851a1a4bdad231cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c79c13d63edb6e14feaeffabc90ad31"
        + "7e4875fe648101b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca959b0f5dcbc90caeefc4135baca6fd475224269bbe1b"
        + "0203010001"
}

struct `Public keys of peers` {
    @Test(
        arguments: [
            (Published.ed25519, .ed25519, 32), (Published.secp256k1, .secp256k1, 33), (Published.ecdsa, .ecdsa, 91),
            (Published.rsa, .rsa, 550),
        ] as [(String, PeerPublicKey.KeyType, Int)])
    func `of every type are read and written as published`(hex: String, type: PeerPublicKey.KeyType, byteCount: Int) throws {
        let key = try PeerPublicKey(parsing: Hex.decode(hex))
        #expect(key.type == type)
        #expect(key.data.count == byteCount)
        #expect(Hex.encode(key.encoded) == hex)
        // Long keys are named by their hash (peer-ids.md, "Peer Ids").
        let id = PeerID(of: key)
        #expect(id.bytes.prefix(2) == (byteCount > 40 ? [0x12, 0x20] : [0x00, UInt8(hex.count / 2)]))
        #expect(id.inlineKey == (byteCount > 40 ? nil : key))
        #expect(try PeerID(text: id.description) == id)
        #expect(try PeerID(text: id.cid) == id)
    }

    @Test func `follow from the published secret keys`() throws {
        let identity = try KnownIdentity.make(seed: Hex.decode(Published.ed25519Secret))
        #expect(Hex.encode(identity.publicKey.encoded) == Published.ed25519)
        #expect(identity.id == PeerID(of: identity.publicKey))
        let scalar = try Hex.decode(Published.secp256k1Secret)
        let key = try SecretKey(parsing: SecretBytes(count: 32) { $0.copyBytes(from: scalar) })
        #expect(try PeerPublicKey(parsing: Hex.decode(Published.secp256k1)).data == key.publicKey.bytes)
    }

    @Test func `of Ed25519 accept their owner's signature alone`() throws {
        let (identity, other) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        let signature = identity.sign([1, 2, 3])
        try identity.publicKey.verify(signature, of: [1, 2, 3])
        #expect(throws: PeerKeyError.wrongSignature) { try identity.publicKey.verify(signature, of: [1, 2]) }
        #expect(throws: PeerKeyError.wrongSignature) { try other.publicKey.verify(signature, of: [1, 2, 3]) }
        for wrong in [[], signature.dropLast(), signature + [0]] {
            #expect(throws: PeerKeyError.wrongSignature) { try identity.publicKey.verify(Array(wrong), of: [1, 2, 3]) }
        }
    }

    @Test func `of secp256k1 accept an ECDSA signature of the SHA-256 in DER`() throws {
        let key = try PeerPublicKey(parsing: Hex.decode(Published.secp256k1))
        let message = Array("a message".utf8)
        let der = try self.signECDSA(SHA256.hash(message), by: Hex.decode(Published.secp256k1Secret))
        try key.verify(der, of: message)
        #expect(throws: PeerKeyError.wrongSignature) { try key.verify(der, of: message + [0]) }
        for bit in 0..<(der.count * 8) {
            var wrong = der
            wrong[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: PeerKeyError.wrongSignature) { try key.verify(wrong, of: message) }
        }
    }

    private func signECDSA(_ digest: Bytes32, by scalar: [UInt8]) throws -> [UInt8] {
        let context = try #require(secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE)))
        defer { secp256k1_context_destroy(context) }
        var (signature, bytes, count) = (secp256k1_ecdsa_signature(), [UInt8](repeating: 0, count: 72), 72)
        try #require(secp256k1_ecdsa_sign(context, &signature, digest.bytes, scalar, nil, nil) == 1)
        try #require(secp256k1_ecdsa_signature_serialize_der(context, &bytes, &count, &signature) == 1)
        return Array(bytes[..<count])
    }

    @Test(arguments: [(Published.rsa, .rsa), (Published.ecdsa, .ecdsa)] as [(String, PeerPublicKey.KeyType)])
    func `that are not read say so instead of accepting a signature`(hex: String, type: PeerPublicKey.KeyType) throws {
        let key = try PeerPublicKey(parsing: Hex.decode(hex))
        #expect(throws: PeerKeyError.cannotVerify(type)) { try key.verify([UInt8](repeating: 0, count: 64), of: []) }
    }

    @Test func `of an unknown type, cut short, or without a point are refused`() throws {
        #expect(throws: PeerKeyError.unknownType(4)) { try PeerPublicKey(parsing: [8, 4, 0x12, 1, 0]) }
        #expect(throws: PeerKeyError.protobuf(.missing(field: 1))) { try PeerPublicKey(parsing: [0x12, 1, 0]) }
        #expect(throws: PeerKeyError.protobuf(.missing(field: 2))) { try PeerPublicKey(parsing: [8, 1]) }
        #expect(throws: PeerKeyError.protobuf(.wrongKind(field: 1))) { try PeerPublicKey(parsing: [0x0a, 1, 0]) }
        #expect(throws: PeerKeyError.invalidKey(.ed25519)) { try PeerPublicKey(parsing: [8, 1, 0x12, 1, 0]) }
        #expect(throws: PeerKeyError.invalidKey(.secp256k1)) {
            try PeerPublicKey(parsing: [8, 2, 0x12, 33] + [UInt8](repeating: 5, count: 33))
        }
        #expect(throws: PeerKeyError.invalidKey(.rsa)) { try PeerPublicKey(parsing: [8, 0, 0x12, 0]) }
        let tooLong = [UInt8](repeating: 0, count: PeerPublicKey.byteCountMax + 1)
        #expect(throws: PeerKeyError.protobuf(.tooManyBytes(count: tooLong.count, maximum: tooLong.count - 1))) {
            try PeerPublicKey(parsing: tooLong)
        }
        for hex in [Published.ed25519, Published.secp256k1] {
            let bytes = try Hex.decode(hex)
            for count in bytes.indices { #expect(throws: PeerKeyError.self) { try PeerPublicKey(parsing: bytes[..<count]) } }
        }
    }
}

struct `Peer ids` {
    @Test(arguments: [
        // peer-ids.md, "Examples": the first two are one id in its two forms.
        ("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"),
        ("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", nil),
    ])
    func `are read in both text forms and shown in base 58`(base58: String, cid: String?) throws {
        let id = try PeerID(text: base58)
        #expect(id.description == base58)
        #expect(try PeerID(text: id.cid) == id)
        #expect(try PeerID(parsing: id.bytes) == id)
        if let cid {
            #expect(id.cid == cid)
            #expect(try PeerID(text: cid).description == base58)
        } else {
            #expect(id.inlineKey?.type == .ed25519)
        }
        for base in Multibase.allCases { #expect(try PeerID(text: base.encode([1, 0x72] + id.bytes)) == id) }
    }

    @Test func `are ordered by their bytes`() throws {
        let ids = try (0..<20).map { try KnownIdentity.make($0).id }.sorted()
        for (left, right) in zip(ids, ids.dropFirst()) { #expect(left.bytes.lexicographicallyPrecedes(right.bytes)) }
    }

    @Test(arguments: [
        "", "1", "Qm", "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S", "0", "Qa", "12D3KooW0OIl", "bafz", "ba", "zz", "k", "\u{0}",
    ])
    func `cut or mistyped are refused`(text: String) {
        #expect(throws: PeerIDError.self) { try PeerID(text: text) }
    }

    @Test func `that are CIDs of something else, or of another version, are refused`() throws {
        let id = try KnownIdentity.make(1).id
        for prefix in [[1, 0x70], [0, 0x72], [2, 0x72], [1]] as [[UInt8]] {
            #expect(throws: PeerIDError.self) { try PeerID(text: Multibase.base32.encode(prefix + id.bytes)) }
        }
        #expect(throws: PeerIDError.notALibP2PKey) { try PeerID(text: Multibase.base32.encode([1, 0x70] + id.bytes)) }
        let long = String(repeating: "1", count: PeerID.characterCountMax + 1)
        #expect(throws: PeerIDError.multibase(.tooManyCharacters(count: long.utf8.count, maximum: long.utf8.count - 1))) {
            try PeerID(text: long)
        }
    }

    @Test func `are inline keys of at most 42 bytes or SHA-256 digests, nothing else`() throws {
        #expect(try PeerID(parsing: Multihash.identity([UInt8](repeating: 1, count: 42)).bytes).inlineKey == nil)
        #expect(throws: PeerIDError.wrongHash(code: 0, digestByteCount: 43)) {
            try PeerID(parsing: Multihash.identity([UInt8](repeating: 1, count: 43)).bytes)
        }
        #expect(throws: PeerIDError.wrongHash(code: 0, digestByteCount: 0)) { try PeerID(parsing: [0, 0]) }
        #expect(throws: PeerIDError.wrongHash(code: 0x11, digestByteCount: 20)) {
            try PeerID(parsing: [0x11, 20] + [UInt8](repeating: 0, count: 20))
        }
        let bytes = try KnownIdentity.make(1).id.bytes
        for count in bytes.indices { #expect(throws: PeerIDError.self) { try PeerID(parsing: bytes[..<count]) } }
        #expect(throws: PeerIDError.self) { try PeerID(parsing: bytes + [0]) }
    }
}

struct `Signed records of peers` {
    private func record(of identity: PeerIdentity) throws -> PeerRecord {
        try PeerRecord(
            peerID: identity.id, sequence: 1_763_600_000_000_000_000,
            addresses: [Multiaddr(text: "/ip4/192.0.2.1/tcp/4001"), Multiaddr(text: "/dns6/chorale.example/tcp/443/wss")])
    }

    @Test func `come back as they were, in an envelope of the deployed form`() throws {
        let identity = try KnownIdentity.make(1)
        let record = try self.record(of: identity)
        let bytes = record.sealed(by: identity).bytes
        let envelope = try SignedEnvelope(parsing: bytes)
        #expect(envelope.bytes == bytes)
        #expect(envelope.payloadType == [3, 1])
        #expect(envelope.publicKey == identity.publicKey)
        #expect(try PeerRecord(opening: envelope) == record)
        // RFC 0002: every part with its length before it is what is signed.
        let payload = try envelope.open(type: [3, 1], domain: "libp2p-peer-record")
        let signed = [18] + Array("libp2p-peer-record".utf8) + [2, 3, 1] + Varint.encode(UInt64(payload.count)) + payload
        try identity.publicKey.verify(Array(bytes.suffix(64)), of: signed)
    }

    /// Made once with py-libp2p 0.8.1, for the secret keys of 32 times the byte 2.
    @Test(arguments: [
        (
            "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq",
            "0a24080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394120203011a580a26002408011220813977"
                + "0ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39410818084afb29be4bc181a0a0a0804c0000201060fa11a180a16"
                + "2920010db80000000000000000000000010601bbde032a406dfaaa66b219974b7062720f834c196324f925fef92f79abd4caa03cb09d5a"
                + "0f68556bbb7689ba0b7f79b521f19f47ab6e6a61eeb2b5381c9e53c6492f05d301"
        ),
        (
            "16Uiu2HAkzdQ5Y9SYT91K1ue5SxXwgmajXntfScGnLYeip5hHyWmT",
            "0a2508021221024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766120203011a590a27002508021221024d"
                + "4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d076610818084afb29be4bc181a0a0a0804c0000201060fa11a18"
                + "0a162920010db80000000000000000000000010601bbde032a46304402207feb9d34b552abd6220a1064c217cedc4e7829874abc0566c5"
                + "82e69f16c429620220229fc573700923c751449a9636d766f52769ef14d937a63332330c34a927bc97"
        ),
    ])
    func `made by another implementation are read, byte for byte`(peer: String, hex: String) throws {
        let envelope = try SignedEnvelope(parsing: Hex.decode(hex))
        #expect(Hex.encode(envelope.bytes) == hex)
        let record = try PeerRecord(opening: envelope)
        #expect(record.peerID.description == peer)
        #expect(record.sequence == 1_763_600_000_000_000_001)
        #expect(record.addresses.map(\.description) == ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/443/wss"])
        let identity = try KnownIdentity.make(2)
        // The signature too: Ed25519 gives one message always the same.
        if record.peerID == identity.id { #expect(Hex.encode(record.sealed(by: identity).bytes) == hex) }
    }

    @Test func `of another purpose or type are refused`() throws {
        let identity = try KnownIdentity.make(1)
        let payload = try self.record(of: identity).sealed(by: identity).open(type: [3, 1], domain: PeerRecord.domain)
        // The domain in the text of RFC 0003, which nobody uses.
        let otherDomain = SignedEnvelope(sealing: payload, type: [3, 1], domain: "libp2p-routing-state", by: identity)
        #expect(throws: SignedEnvelopeError.key(.wrongSignature)) { try PeerRecord(opening: otherDomain) }
        let otherType = SignedEnvelope(sealing: payload, type: [3, 2], domain: PeerRecord.domain, by: identity)
        #expect(throws: SignedEnvelopeError.wrongPayloadType([3, 2])) { try PeerRecord(opening: otherType) }
    }

    @Test func `that one peer signs for another are refused`() throws {
        let (identity, other) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        let payload = try self.record(of: identity).sealed(by: identity).open(type: [3, 1], domain: PeerRecord.domain)
        let forged = SignedEnvelope(sealing: payload, type: [3, 1], domain: PeerRecord.domain, by: other)
        #expect(throws: SignedEnvelopeError.signedByAnother(signer: other.id)) { try PeerRecord(opening: forged) }
    }

    @Test func `with any bit flipped or cut anywhere never verify as something else`() throws {
        let identity = try KnownIdentity.make(1)
        let record = try self.record(of: identity)
        let bytes = record.sealed(by: identity).bytes
        for bit in 0..<(bytes.count * 8) {
            var wrong = bytes
            wrong[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: SignedEnvelopeError.self, "bit \(bit)") { try PeerRecord(opening: SignedEnvelope(parsing: wrong)) }
        }
        for count in bytes.indices {
            #expect(throws: SignedEnvelopeError.self, "\(count) bytes") {
                try PeerRecord(opening: SignedEnvelope(parsing: bytes[..<count]))
            }
        }
    }

    @Test func `keep the addresses that can be read, and are bounded`() throws {
        let identity = try KnownIdentity.make(1)
        func seal(_ addresses: [[UInt8]]) -> SignedEnvelope {
            let payload = ProtobufWriter.message { message in
                message.bytes(identity.id.bytes, field: 1)
                message.unsigned(7, field: 2)
                for address in addresses { message.message(field: 3) { $0.bytes(address, field: 1) } }
            }
            return SignedEnvelope(sealing: payload, type: PeerRecord.payloadType, domain: PeerRecord.domain, by: identity)
        }
        let good = try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")
        #expect(try PeerRecord(opening: seal([[0xbd, 0x03], good.bytes, [], [0xff]])).addresses == [good])
        let most = [[UInt8]](repeating: good.bytes, count: PeerRecord.addressCountMax)
        #expect(try PeerRecord(opening: seal(most)).addresses.count == PeerRecord.addressCountMax)
        #expect(throws: SignedEnvelopeError.protobuf(.tooManyFields(field: 3, maximum: PeerRecord.addressCountMax))) {
            try PeerRecord(opening: seal(most + [[]]))
        }
        #expect(throws: SignedEnvelopeError.protobuf(.tooManyBytes(count: 32_769, maximum: 32_768))) {
            try SignedEnvelope(parsing: [UInt8](repeating: 0, count: 32_769))
        }
    }
}
