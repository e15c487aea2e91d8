import CryptoPrimitives

extension BIP327 {
    /// The Session Context: all that is public when signing begins.
    public struct SessionContext: Equatable, Sendable {
        public let aggnonce: [UInt8]
        public let pubkeys: [[UInt8]]
        public let tweaks: [Tweak]
        public let msg: [UInt8]

        public init(aggnonce: [UInt8], pubkeys: [[UInt8]], tweaks: [Tweak], msg: [UInt8]) {
            self.aggnonce = aggnonce
            self.pubkeys = pubkeys
            self.tweaks = tweaks
            self.msg = msg
        }
    }

    /// What GetSessionValues works out. A test that signs for everybody makes it once, for it is most of the work.
    public struct SessionValues: Equatable, Sendable {
        let pubkeys: [[UInt8]]
        /// Q.
        let key: Point
        let gacc: Scalar
        let tacc: Scalar
        let b: Scalar
        /// R.
        let nonce: Point
        let e: Scalar

        /// xbytes(R): the first half of the final signature.
        public var finalNonce: [UInt8] { self.nonce.xbytes }

        /// e of BIP-340, 32 bytes.
        public var challenge: [UInt8] { self.e.bytes }

        /// g: 1, or −1 where the key of the final signature is −Q.
        var g: Scalar { self.key.hasEvenY ? .one : -.one }
    }

    /// GetSessionValues(session_ctx).
    public static func getSessionValues(_ session: SessionContext) throws(ReferenceError) -> SessionValues {
        let context = try Self.keyAgg(session.pubkeys, tweaks: session.tweaks)
        return try Self.getSessionValues(context, aggnonce: session.aggnonce, msg: session.msg)
    }

    /// GetSessionValues for keys that are aggregated and tweaked already.
    public static func getSessionValues(
        _ context: KeyAggContext, aggnonce: [UInt8], msg: [UInt8]
    ) throws(ReferenceError) -> SessionValues {
        let b = Scalar(reducing: SHA256.hash(tag: "MuSig/noncecoef", aggnonce, context.key.xbytes, msg))
        guard
            aggnonce.count == 66,
            let first = JacobianPoint.cpointExt(aggnonce[..<33]), let second = JacobianPoint.cpointExt(aggnonce[33...])
        else { throw .invalidContribution(signer: nil, .aggnonce) }
        let scaled = second.affine.map { Point.sum(of: [(b, $0)]) } ?? .infinity
        // At infinity the BIP goes on with G, so that the disruptive signer is found by its partial signature.
        let nonce = first.adding(scaled).affine ?? .generator
        return SessionValues(
            pubkeys: context.pubkeys, key: context.key, gacc: context.gacc, tacc: context.tacc,
            b: b, nonce: nonce, e: BIP340.challenge(nonce, context.key, msg)
        )
    }

    /// GetSessionKeyAggCoeff(session_ctx, P), given cbytes(P).
    static func getSessionKeyAggCoeff(_ values: SessionValues, _ pk: [UInt8]) throws(ReferenceError) -> Scalar {
        guard values.pubkeys.contains(pk) else { throw .invalidValue(.signerNotAmongPubkeys) }
        return Self.keyAggCoeff(values.pubkeys, pk)
    }
}
