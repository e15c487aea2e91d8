/// Why an algorithm of BIP-327 or BIP-340 fails: the two kinds of error that the official vectors tell apart.
public enum ReferenceError: Error, Equatable, Sendable {
    /// Somebody's contribution is wrong, and this is whose.
    ///
    /// `signer` is the index, from 0, in the list that the algorithm was given. It is `nil` where the blame goes to the nonce
    /// aggregator, or where only one contribution was given, without an index.
    case invalidContribution(signer: Int?, Contribution)

    /// An input that nobody else contributed is wrong, or the values together have no result.
    case invalidValue(InvalidValue)
}

extension ReferenceError {
    /// What a signer or the aggregator sends to the others; raw values as the official vectors write them.
    public enum Contribution: String, Equatable, Sendable {
        case pubkey, pubnonce, aggnonce, aggothernonce, psig
    }

    /// The failures of BIP-327 and BIP-340 for which nobody else is to blame.
    public enum InvalidValue: Equatable, Sendable {
        /// A byte array of a fixed length has another one.
        case byteCount(of: Argument, expected: Int, actual: Int)
        /// There must be at least one individual public key or public nonce.
        case emptyList
        /// `pubnonces` and `pubkeys`, or `psigs` and `pubkeys`, belong together one by one.
        case countsDiffer(pubkeys: Int, others: Int)
        case signerIndexOutOfRange(Int)
        /// d' is 0, or n and above.
        case secretKeyOutOfRange
        case aggregateKeyIsInfinity
        /// t is n or above.
        case tweakOutOfRange
        case tweakedKeyIsInfinity
        case extraInputTooLong
        /// NonceGen or DeterministicSign hashed to a nonce of 0; so does BIP-340 signing. Nobody will ever see this one.
        case generatedNonceIsZero
        /// k₁' or k₂' (`which` is 1 or 2) is 0, or n and above: a used nonce is often overwritten with zeros.
        case secretNonceOutOfRange(which: Int)
        /// The secret nonce was made for another individual public key than the secret key's.
        case secretNonceOfAnotherKey
        case signerNotAmongPubkeys
        /// A signature just made does not verify.
        case ownSignatureDoesNotVerify

        public enum Argument: String, Sendable {
            case sk, pk, rand, aggpk, tweak, secnonce
        }
    }
}

extension ReferenceError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidContribution(let signer?, let contribution): "signer \(signer) gave an invalid \(contribution.rawValue)"
        case .invalidContribution(nil, let contribution): "the \(contribution.rawValue) is invalid"
        case .invalidValue(let value): value.description
        }
    }
}

extension ReferenceError.InvalidValue: CustomStringConvertible {
    public var description: String {
        switch self {
        case .byteCount(let argument, let expected, let actual): "\(argument.rawValue) takes \(expected) bytes, and here are \(actual)"
        case .emptyList: "the list is empty; give at least one element"
        case .countsDiffer(let pubkeys, let others): "there are \(pubkeys) public keys but \(others) contributions"
        case .signerIndexOutOfRange(let index): "there is no signer \(index) in the list"
        case .secretKeyOutOfRange: "the secret key is not between 1 and n − 1"
        case .aggregateKeyIsInfinity: "the individual public keys add up to the point at infinity"
        case .tweakOutOfRange: "the tweak is not below n"
        case .tweakedKeyIsInfinity: "the tweaked key is the point at infinity"
        case .extraInputTooLong: "extra_in has more than 2^32 − 1 bytes"
        case .generatedNonceIsZero: "the generated nonce is zero"
        case .secretNonceOutOfRange(let which): "secret nonce value \(which) is not between 1 and n − 1; it may have been used already"
        case .secretNonceOfAnotherKey: "the secret nonce was made for another public key"
        case .signerNotAmongPubkeys: "the signer's public key is not in the list of public keys"
        case .ownSignatureDoesNotVerify: "the signature just made does not verify"
        }
    }
}
