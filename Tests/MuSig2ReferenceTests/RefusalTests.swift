import MuSig2Reference
import Testing

/// Inputs for which the official files have no case.
struct RefusalTests {
    private static let zeros = [UInt8](repeating: 0, count: 32)
    private static let short = [UInt8](repeating: 1, count: 31)
    private static let sk = [UInt8](repeating: 1, count: 32)
    private static let otherSk = [UInt8](repeating: 2, count: 32)
    /// n, most significant byte first.
    private static let order: [UInt8] =
        [UInt8](repeating: 0xff, count: 15) + [0xfe] + [
            0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
        ]

    private static func session(_ pubkeys: [[UInt8]], aggnonce: [UInt8]) -> BIP327.SessionContext {
        BIP327.SessionContext(aggnonce: aggnonce, pubkeys: pubkeys, tweaks: [], msg: [])
    }

    private static func nonce(for sk: [UInt8]) throws -> (secnonce: [UInt8], pubnonce: [UInt8]) {
        try BIP327.nonceGen(rand: Self.zeros, sk: sk, pk: BIP327.individualPubkey(sk), aggpk: nil, msg: nil, extraIn: nil)
    }

    @Test func `secret keys of zero, of n, and of another length are refused`() throws {
        let outOfRange = ReferenceError.invalidValue(.secretKeyOutOfRange)
        let wrongCount = ReferenceError.invalidValue(.byteCount(of: .sk, expected: 32, actual: 31))
        #expect(throws: outOfRange) { try BIP327.individualPubkey(Self.zeros) }
        #expect(throws: outOfRange) { try BIP327.individualPubkey(Self.order) }
        #expect(throws: wrongCount) { try BIP327.individualPubkey(Self.short) }
        #expect(throws: outOfRange) { try BIP340.sign(sk: Self.zeros, msg: [], rand: Self.zeros) }
        #expect(throws: wrongCount) { try BIP340.pubKey(Self.short) }
        let pubkey = try BIP327.individualPubkey(Self.sk)
        let nonce = try Self.nonce(for: Self.sk)
        #expect(throws: outOfRange) {
            try BIP327.deterministicSign(
                sk: Self.order, aggothernonce: nonce.pubnonce, pubkeys: [pubkey], tweaks: [], msg: [], rand: nil
            )
        }
    }

    @Test func `empty lists are refused`() {
        #expect(throws: ReferenceError.invalidValue(.emptyList)) { try BIP327.keyAgg([]) }
        #expect(throws: ReferenceError.invalidValue(.emptyList)) { try BIP327.nonceAgg([]) }
    }

    @Test func `keys, nonces and tweaks of another length are refused like other wrong contents`() throws {
        let pubkey = try BIP327.individualPubkey(Self.sk)
        let nonce = try Self.nonce(for: Self.sk)
        #expect(throws: ReferenceError.invalidContribution(signer: 1, .pubkey)) { try BIP327.keyAgg([pubkey, pubkey.dropLast()]) }
        #expect(throws: ReferenceError.invalidContribution(signer: 1, .pubnonce)) {
            try BIP327.nonceAgg([nonce.pubnonce, nonce.pubnonce + [0]])
        }
        #expect(throws: ReferenceError.invalidContribution(signer: nil, .aggnonce)) {
            try BIP327.getSessionValues(Self.session([pubkey], aggnonce: nonce.pubnonce.dropLast()))
        }
        #expect(throws: ReferenceError.invalidValue(.byteCount(of: .tweak, expected: 32, actual: 31))) {
            try BIP327.keyAgg([pubkey], tweaks: [.init(Self.short, isXonly: true)])
        }
    }

    @Test func `a public nonce may not hold infinity, and an aggregate one may`() throws {
        let pubkey = try BIP327.individualPubkey(Self.sk)
        let infinite = [UInt8](repeating: 0, count: 66)
        #expect(throws: ReferenceError.invalidContribution(signer: 0, .pubnonce)) { try BIP327.nonceAgg([infinite]) }
        #expect(throws: Never.self) { try BIP327.getSessionValues(Self.session([pubkey], aggnonce: infinite)) }
    }

    @Test func `nonce generation takes no input of another length`() throws {
        let pubkey = try BIP327.individualPubkey(Self.sk)
        typealias Input = (rand: [UInt8], sk: [UInt8], pk: [UInt8], aggpk: [UInt8])
        let cases: [(ReferenceError.InvalidValue, Input)] = [
            (.byteCount(of: .rand, expected: 32, actual: 31), (Self.short, Self.sk, pubkey, Self.zeros)),
            (.byteCount(of: .sk, expected: 32, actual: 31), (Self.zeros, Self.short, pubkey, Self.zeros)),
            (.byteCount(of: .pk, expected: 33, actual: 32), (Self.zeros, Self.sk, Self.sk, Self.zeros)),
            (.byteCount(of: .aggpk, expected: 32, actual: 33), (Self.zeros, Self.sk, pubkey, pubkey)),
        ]
        for (expected, input) in cases {
            #expect(throws: ReferenceError.invalidValue(expected)) {
                try BIP327.nonceGen(rand: input.rand, sk: input.sk, pk: input.pk, aggpk: input.aggpk, msg: nil, extraIn: nil)
            }
        }
    }

    @Test func `an empty message is not a missing one, and empty extra input is`() throws {
        let pubkey = try BIP327.individualPubkey(Self.sk)
        func pubnonce(msg: [UInt8]?, extraIn: [UInt8]?) throws -> [UInt8] {
            try BIP327.nonceGen(rand: Self.zeros, sk: nil, pk: pubkey, aggpk: nil, msg: msg, extraIn: extraIn).pubnonce
        }
        #expect(try pubnonce(msg: [], extraIn: nil) != pubnonce(msg: nil, extraIn: nil))
        #expect(try pubnonce(msg: nil, extraIn: []) == pubnonce(msg: nil, extraIn: nil))
        #expect(try pubnonce(msg: nil, extraIn: [0]) != pubnonce(msg: nil, extraIn: nil))
    }

    @Test func `a secret nonce that is spoiled or another key's does not sign`() throws {
        let pubkeys = try [Self.sk, Self.otherSk].map { try BIP327.individualPubkey($0) }
        let nonce = try Self.nonce(for: Self.sk)
        let session = Self.session(pubkeys, aggnonce: nonce.pubnonce)
        let cases: [(ReferenceError.InvalidValue, sk: [UInt8], secnonce: [UInt8])] = [
            (.secretNonceOutOfRange(which: 1), Self.sk, Self.order + nonce.secnonce[32...]),
            (.secretNonceOutOfRange(which: 2), Self.sk, nonce.secnonce[..<32] + Self.zeros + nonce.secnonce[64...]),
            (.secretNonceOutOfRange(which: 2), Self.sk, nonce.secnonce[..<32] + Self.order + nonce.secnonce[64...]),
            (.secretNonceOfAnotherKey, Self.otherSk, nonce.secnonce),
            (.byteCount(of: .secnonce, expected: 97, actual: 96), Self.sk, nonce.secnonce.dropLast()),
        ]
        for (expected, sk, secnonce) in cases {
            #expect(throws: ReferenceError.invalidValue(expected)) {
                try BIP327.sign(secnonce: Array(secnonce), sk: sk, session: session)
            }
        }
    }

    @Test func `lists that do not belong together are refused`() throws {
        let pubkey = try BIP327.individualPubkey(Self.sk)
        let nonce = try Self.nonce(for: Self.sk)
        let session = Self.session([pubkey], aggnonce: nonce.pubnonce)
        let psig = try BIP327.sign(secnonce: nonce.secnonce, sk: Self.sk, session: session)
        #expect(throws: ReferenceError.invalidValue(.countsDiffer(pubkeys: 1, others: 2))) {
            try BIP327.partialSigAgg([psig, psig], session: session)
        }
        #expect(throws: ReferenceError.invalidValue(.countsDiffer(pubkeys: 2, others: 1))) {
            try BIP327.partialSigVerify(
                psig: psig, pubnonces: [nonce.pubnonce], pubkeys: [pubkey, pubkey], tweaks: [], msg: [], signer: 0
            )
        }
        #expect(throws: ReferenceError.invalidValue(.signerIndexOutOfRange(1))) {
            try BIP327.partialSigVerify(psig: psig, pubnonces: [nonce.pubnonce], pubkeys: [pubkey], tweaks: [], msg: [], signer: 1)
        }
        #expect(throws: ReferenceError.invalidContribution(signer: 0, .psig)) {
            try BIP327.partialSigAgg([psig.dropLast()], session: session)
        }
    }

    @Test func `a signature or key of another length does not verify`() throws {
        let key = try BIP340.pubKey(Self.sk)
        let signature = try BIP340.sign(sk: Self.sk, msg: [1], rand: Self.zeros)
        #expect(BIP340.verify(pk: key, msg: [1], sig: signature))
        #expect(!BIP340.verify(pk: key, msg: [1], sig: signature + [0]))
        #expect(!BIP340.verify(pk: key, msg: [1], sig: signature.dropLast()))
        #expect(!BIP340.verify(pk: key.dropLast(), msg: [1], sig: signature))
        #expect(!BIP340.verify(pk: key, msg: [1], sig: []))
    }
}
