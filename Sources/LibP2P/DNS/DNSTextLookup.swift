/// A question to a name server for the TXT records of a name, and what is in its answer.
public enum DNSTextLookup {
    /// Most bytes of an answer that we say to take (RFC 6891, section 6.2.5), and that are read.
    public static let answerByteCountMax = 4_096
    /// Most texts that are taken from one answer.
    public static let textCountMax = 64

    /// The question; `nil` if the name is none that DNS can ask for.
    public static func question(_ name: String, id: UInt16) -> [UInt8]? {
        guard let name = DNSName(text: name), let root = DNSName(labels: [ArraySlice<UInt8>]()) else { return nil }
        // An additional record of this type says by its class how much we take.
        let size = DNSRecord(name: root, classCode: UInt16(Self.answerByteCountMax), ttl: 0, data: .other(.opt, []))
        let question = DNSQuestion(name: name, type: .txt)
        return DNSMessage(id: id, flags: DNSMessage.recursionDesiredFlag, questions: [question], additionals: [size]).bytes
    }

    /// The texts in an answer to that question; `nil` if the bytes are no answer to it.
    ///
    /// What the records are called is not looked at: between name and texts there may be aliases, and the server was asked for this
    /// name. A cut answer gives what is whole in it.
    public static func texts(in answer: [UInt8], to name: String, id: UInt16) -> [String]? {
        guard answer.count <= Self.answerByteCountMax, let name = DNSName(text: name),
            let message = try? DNSMessage(parsingStartOf: answer), message.id == id, message.isResponse,
            message.questions == [DNSQuestion(name: name, type: .txt)]
        else { return nil }
        let texts = message.answers.lazy.compactMap { record in
            // The pieces of one record are one text.
            if case .txt(let pieces) = record.data { String(validating: pieces.joined(), as: UTF8.self) } else { nil }
        }
        return Array(texts.prefix(Self.textCountMax))
    }
}
