import Testing

@testable import LibP2P

/// Lines as the multistream-select README writes them, built without the product's help.
private func lines(_ texts: String...) -> [UInt8] {
    texts.flatMap { text in
        let count = text.utf8.count + 1
        let prefix = count < 128 ? [UInt8(count)] : [UInt8(count % 128) + 128, UInt8(count / 128)]
        return prefix + Array(text.utf8) + [10]
    }
}

private let header = "/multistream/1.0.0"

extension MultistreamDialer {
    mutating func receive(_ bytes: [UInt8]) throws(MultistreamError) -> Int { try self.receive(bytes.span.bytes) }
}

extension MultistreamListener {
    mutating func receive(_ bytes: [UInt8], supporting names: Set<String> = ["/a", "/b"]) throws(MultistreamError) -> Int {
        try self.receive(bytes.span.bytes, supports: names.contains)
    }
}

@Suite struct MultistreamTests {
    @Test func `the dialer sends header and first proposal together`() {
        var dialer = MultistreamDialer(proposing: ["/noise"])
        #expect(dialer.takeOutput() == [0x13] + Array("/multistream/1.0.0\n".utf8) + [0x07] + Array("/noise\n".utf8))
        #expect(dialer.takeOutput().isEmpty)
        #expect(dialer.agreed == nil)
    }

    @Test func `the dialer agrees when its proposal is echoed, and leaves what follows`() throws {
        var dialer = MultistreamDialer(proposing: ["/a"])
        let answer = lines(header, "/a")
        #expect(try dialer.receive(answer + [1, 2, 3]) == answer.count)
        #expect(dialer.agreed == "/a")
        #expect(try dialer.receive([4, 5]) == 0)
        try dialer.receiveEnd()
    }

    @Test func `the dialer proposes the next protocol when one is not available`() throws {
        var dialer = MultistreamDialer(proposing: ["/x", "/y", "/a"])
        _ = dialer.takeOutput()
        _ = try dialer.receive(lines(header, "na"))
        #expect(dialer.takeOutput() == lines("/y"))
        _ = try dialer.receive(lines("na"))
        #expect(dialer.takeOutput() == lines("/a"))
        _ = try dialer.receive(lines("/a"))
        #expect(dialer.agreed == "/a")
        #expect(!dialer.allowsEarlyData)
    }

    @Test func `the dialer names everything that was refused`() throws {
        var dialer = MultistreamDialer(proposing: ["/x", "/y"])
        #expect(throws: MultistreamError.refused(["/x", "/y"])) { try dialer.receive(lines(header, "na", "na")) }
        #expect(throws: MultistreamError.refused(["/x", "/y"])) { try dialer.receive([]) }
        #expect(throws: MultistreamError.refused(["/x", "/y"])) { try dialer.receiveEnd() }
    }

    @Test func `the dialer accepts no other name than the one it proposed`() throws {
        var dialer = MultistreamDialer(proposing: ["/caf\u{e9}"])
        // The same letter in another spelling, which Swift's strings call equal, is another name.
        let other = "/cafe\u{301}"
        #expect(throws: MultistreamError.unexpectedAnswer(other, to: "/caf\u{e9}")) { try dialer.receive(lines(header, other)) }
    }

    @Test func `bytes sent before the agreement reach the protocol untouched`() throws {
        // The lazy form: header, proposal and the protocol's own bytes in one write, as go-libp2p does for identify.
        var dialer = MultistreamDialer(proposing: ["/a"])
        var listener = MultistreamListener()
        #expect(dialer.allowsEarlyData)
        let early: [UInt8] = [0, 1, 10, 255]
        let sent = dialer.takeOutput() + early
        let taken = try listener.receive(sent)
        #expect(listener.agreed == "/a")
        #expect(Array(sent[taken...]) == early)
        let answer = listener.takeOutput()
        #expect(answer == lines(header, "/a"))
        #expect(try dialer.receive(answer + [9]) == answer.count)
        #expect(dialer.agreed == "/a")
    }

    @Test func `the listener's header is ready before the dialer speaks`() throws {
        var listener = MultistreamListener()
        #expect(listener.takeOutput() == lines(header))
        _ = try listener.receive(lines(header))
        #expect(listener.takeOutput().isEmpty)
        _ = try listener.receive(lines("/a"))
        #expect(listener.takeOutput() == lines("/a"))
    }

    @Test func `the listener answers na to what it does not speak, and to ls as go does`() throws {
        var listener = MultistreamListener()
        _ = try listener.receive(lines(header, "/x", "ls", "na", ""), supporting: ["/a", "ls", "na"])
        #expect(listener.takeOutput() == lines(header, "na", "na", "na", "na"))
        _ = try listener.receive(lines("/a"))
        #expect(listener.agreed == "/a")
    }

    @Test func `the listener tires of a dialer that guesses`() throws {
        var listener = MultistreamListener()
        _ = try listener.receive(lines(header))
        for _ in 1..<Multistream.proposalCountMax { _ = try listener.receive(lines("/x")) }
        #expect(throws: MultistreamError.tooManyProposals) { try listener.receive(lines("/x")) }
        #expect(throws: MultistreamError.tooManyProposals) { try listener.receive(lines("/a")) }
    }

    @Test func `a line of 1,024 bytes is read, and one of 1,025 is not`() throws {
        let longest = "/" + String(repeating: "l", count: 1_022)
        var listener = MultistreamListener()
        let sent = lines(header, longest)
        #expect(try listener.receive(sent, supporting: [longest]) == sent.count)
        #expect(listener.agreed == longest)
        var other = MultistreamListener()
        #expect(throws: MultistreamError.lineTooLong) { try other.receive(lines(header, longest + "l")) }
    }

    @Test(
        arguments: [
            ([0x00], MultistreamError.newlineMissing),
            ([0x80, 0x00], .lengthNotMinimal),
            ([0x83, 0x00], .lengthNotMinimal),
            ([0xff, 0xff], .lineTooLong),
            ([0x81, 0x08], .lineTooLong),
            ([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], .lineTooLong),
            ([0x03, 0x6e, 0x61, 0x61], .newlineMissing),
            ([0x03, 0xff, 0xfe, 0x0a], .notText),
            ([0x03, 0x6e, 0x61, 0x0a], .otherHeader("na")),
            (Array("GET / HTTP/1.1\r\n\r\n".utf8) + [UInt8](repeating: 32, count: 71) + [10], .newlineMissing),
        ] as [([UInt8], MultistreamError)])
    func `a first line that is none is refused on both sides`(_ bytes: [UInt8], _ error: MultistreamError) {
        var dialer = MultistreamDialer(proposing: ["/a"])
        #expect(throws: error) { try dialer.receive(bytes) }
        var listener = MultistreamListener()
        #expect(throws: error) { try listener.receive(bytes) }
        #expect(throws: error) { try listener.receiveEnd() }
        #expect(!error.description.isEmpty)
    }

    @Test func `a negotiation cut off at any byte ended early`() throws {
        let answer = lines(header, "na", "/b")
        for count in 0..<answer.count {
            var dialer = MultistreamDialer(proposing: ["/a", "/b"])
            #expect(try dialer.receive(Array(answer.prefix(count))) == count)
            #expect(throws: MultistreamError.endedEarly) { try dialer.receiveEnd() }
        }
        let proposals = lines(header, "/x", "/b")
        for count in 0..<proposals.count {
            var listener = MultistreamListener()
            #expect(try listener.receive(Array(proposals.prefix(count))) == count)
            #expect(throws: MultistreamError.endedEarly) { try listener.receiveEnd() }
        }
    }

    @Test(arguments: UInt64(0)..<100)
    func `pieces of any size lead to the same agreement`(seed: UInt64) throws {
        var random = SeededNumbers(seed: seed)
        let known = (0..<4).map { "/known/\($0)" }
        let unknown = (0..<random.below(6)).map { "/unknown/\($0)" + String(repeating: "x", count: random.below(900)) }
        let spoken = random.below(4) == 0 ? [] : [known[random.below(4)]]
        let proposals = unknown.isEmpty && spoken.isEmpty ? ["/z"] : unknown + spoken
        var dialer = MultistreamDialer(proposing: proposals)
        var listener = MultistreamListener()
        var toListener: [UInt8] = [], toDialer: [UInt8] = []
        var refused = false
        while true {
            toListener += dialer.takeOutput()
            if random.below(2) == 0 { toDialer += listener.takeOutput() }
            if toListener.isEmpty && toDialer.isEmpty {
                toDialer += listener.takeOutput()
                if toDialer.isEmpty { break }
            }
            let there = Array(toListener.prefix(random.below(toListener.count + 1)))
            let taken = try listener.receive(there, supporting: Set(known))
            toListener.removeFirst(taken)
            let back = Array(toDialer.prefix(random.below(toDialer.count + 1)))
            guard let takenBack = try? dialer.receive(back) else {
                #expect(throws: MultistreamError.refused(proposals)) { try dialer.receiveEnd() }
                refused = true
                break
            }
            toDialer.removeFirst(takenBack)
        }
        #expect(refused == spoken.isEmpty)
        #expect(dialer.agreed == spoken.first)
        #expect(listener.agreed == spoken.first)
    }

    @Test(arguments: UInt64(0)..<200)
    func `garbage ends in an error or waits for more, and is not kept`(seed: UInt64) {
        var random = SeededNumbers(seed: seed)
        var good = lines(header, "/x", "/a")
        for _ in 0...random.below(4) { good[random.below(good.count)] = UInt8(random.below(256)) }
        var listener = MultistreamListener()
        var dialer = MultistreamDialer(proposing: ["/x", "/a"])
        for bytes in [good, random.bytes(3_000)] {
            let listenerTook = try? listener.receive(bytes)
            #expect(listenerTook == nil || listener.agreed != nil || listenerTook == bytes.count)
            let dialerTook = try? dialer.receive(bytes)
            #expect(dialerTook == nil || dialer.agreed != nil || dialerTook == bytes.count)
        }
    }
}
