import CryptoPrimitives
import Dispatch
import Secp256k1
import Signing
import SigningNode
import Synchronization

extension Fuzzer {
    /// A request's transcript as a file that somebody shows: read raw; and as the entries of one whose group, proposal and last hash are right,
    /// which is what a liar can write. Nobody in it is at fault, and no bytes say so.
    static let transcript = Fuzzer(
        name: "transcript", byteCountMax: 16_384, seeds: { try HonestTranscript.seeds() },
        run: { start, count in
            let bytes = input(start, count)
            if let transcript = try? RequestTranscript(parsing: bytes) {
                require(transcript.serialized() == bytes, "the same transcript")
            }
            guard let head = HonestTranscript.head else { fatalError("there is no honest transcript") }
            let file = HonestTranscript.file(head, entries: HonestTranscript.entries(in: bytes))
            guard let transcript = try? RequestTranscript(parsing: file) else {
                fatalError("broken property: a chain that is right is read")
            }
            guard let audit = Waiting.audit(transcript) else { fatalError("broken property: its proposal is signed") }
            require(audit.faults.isEmpty, "nobody honest is blamed")
            require(audit.cloneAlarms.isEmpty, "nobody honest is said to run twice")
            require(audit.words.allSatisfy { audit.members.contains($0.signer) }, "what is told was said by members")
            return 0
        })
}

/// What members of an honest signing say to each other, written down.
private enum HonestTranscript {
    typealias Entry = (kind: UInt8, bytes: [UInt8])

    /// All before the entries, and the request.
    struct Head {
        let bytes: [UInt8]
        let request: Bytes32
    }

    static let signing = try? CoordinationPlay.honestSigning()

    static let head: Head? = {
        guard let signing, let proposal = signing.messages.first(where: { isProposal($0, signing.roster) }),
            let request = Coordination.request(of: proposal)
        else { return nil }
        // Regtest; then the group, the members' enrolments and the proposal.
        var bytes = Array("chorale transcript 1\n".utf8) + [3] + counted(signing.record.serialized())
        bytes.append(UInt8(signing.enrolments.count))
        for enrolment in signing.enrolments { bytes += enrolment.serialized() }
        return Head(bytes: bytes + counted(proposal), request: request)
    }()

    private static func isProposal(_ message: [UInt8], _ roster: Roster) -> Bool {
        (try? Coordination.proposal(in: message, roster: roster)) != nil
    }

    /// With its length before it, as CompactSize.
    private static func counted(_ bytes: [UInt8]) -> [UInt8] {
        bytes.count < 0xfd ? [UInt8(bytes.count)] + bytes : [0xfd, UInt8(bytes.count & 0xff), UInt8(bytes.count >> 8)] + bytes
    }

    static func file(_ head: Head, entries: [Entry]) -> [UInt8] {
        var chain = TranscriptHead(request: head.request)
        var (written, count): ([UInt8], Int) = ([], 0)
        for (kind, bytes) in entries where (try? chain.append(kind: kind, bytes)) != nil {
            written += [kind] + self.counted(bytes)
            count += 1
        }
        let size = count < 0xfd ? [UInt8(count)] : [0xfd, UInt8(count & 0xff), UInt8(count >> 8)]
        return head.bytes + size + written + chain.hash.bytes
    }

    /// An input as entries: kind 1, length 2, bytes.
    static func entries(in bytes: [UInt8]) -> [Entry] {
        var (rest, entries): (ArraySlice<UInt8>, [Entry]) = (bytes[...], [])
        while let kind = rest.popFirst(), let low = rest.popFirst(), let high = rest.popFirst() {
            let part = rest.prefix(Int(low) | Int(high) << 8)
            rest = rest.dropFirst(part.count)
            entries.append((kind, Array(part)))
        }
        return entries
    }

    static func seeds() throws -> [[UInt8]] {
        guard let signing, let head else { return [] }
        // As received: who sent it stands before each.
        let entries: [Entry] = signing.messages.map { (1, [UInt8](repeating: 0, count: Ed25519.PublicKey.byteCount) + $0) }
        let completion: [Entry] = signing.messages.suffix(1).map { (3, $0) }
        let evidence: [Entry] = try Seeds.evidence().map { (5, $0) }
        let alarms: [Entry] = try Seeds.cloneAlarms().map { (6, [1] + $0) }
        let written = [entries, entries + completion, evidence, alarms]
        return written.map { $0.flatMap { [$0.kind, UInt8($0.bytes.count & 0xff), UInt8($0.bytes.count >> 8)] + $0.bytes } }
            + written.map { self.file(head, entries: $0) }
    }
}

/// Waits on libFuzzer's thread for what takes others.
private enum Waiting {
    private final class Answer: Sendable { let audit = Mutex<RequestAudit?>(nil) }

    static func audit(_ transcript: RequestTranscript) -> RequestAudit? {
        let (answer, done) = (Answer(), DispatchSemaphore(value: 0))
        Task.detached {
            let audit = try? await transcript.audit()
            answer.audit.withLock { $0 = audit }
            done.signal()
        }
        done.wait()
        return answer.audit.withLock { $0 }
    }
}
