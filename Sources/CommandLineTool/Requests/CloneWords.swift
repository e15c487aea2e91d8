import CryptoPrimitives
import Secp256k1
import Signing

/// How people are told that a signer's machine may run twice: the same words everywhere.
enum CloneWords {
    /// - Parameter signer: its name, or that it is we.
    static func alarm(_ signer: String) -> String {
        "MOVE THE FUNDS: one nonce of \(signer) has signed twice. A copy of that signer's machine may be running, and whoever saw both "
            + "signatures may be able to compute its secret key"
    }

    /// What somebody who was not told yet needs beside the alarm.
    static let meaning = """
        It is proof that the nonce served twice, and not that anybody meant harm: a machine that was copied while it ran, or brought back to an \
        earlier state, does that. Nothing is approved automatically any more where the key is needed, until a person sets the policy again.
        """

    static func members(_ alarm: CloneAlarm) -> JSONValue {
        .object([
            "public_key": .string("\(alarm.signer)"), "nonce": .string(Hex.encode(alarm.nonce)),
            "transcripts": .array(alarm.transcripts.map { .string("\($0)") }),
            "requests": .array([alarm.first, alarm.second].map { .string("\($0.request.digest)") }),
        ])
    }
}
