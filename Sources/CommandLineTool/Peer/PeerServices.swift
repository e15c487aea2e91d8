import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// The two protocols with which peers are measured and tried: what comes is sent back, or counted.
struct PeerServices: Sendable {
    enum Mode: String, Sendable {
        /// Everything is sent back until the other side ends.
        case echo
        /// A 64-bit number of bytes in network order and that many bytes are read, and their count is answered as 64 bits.
        case sink
    }

    let channel: DriverChannel

    func serve(_ protocolID: String, _ mode: Mode, on node: PosixNode) async {
        // Relayed connections are tried with them, too.
        await node.serve(protocolID, onLimited: true) { stream in
            switch mode {
            case .echo: await self.echo(stream)
            case .sink: await self.sink(stream)
            }
        }
    }

    private func echo(_ stream: isolated NodeStream) async {
        let start = ContinuousClock.now
        var (byteCount, head) = (0, [UInt8]())
        do throws(NodeStreamError) {
            while let chunk = try await stream.read() {
                if head.count < 64 { head += chunk.prefix(64 - head.count) }
                byteCount += chunk.count
                try await stream.write(chunk)
            }
            stream.closeWrite()
        } catch {
            self.failed(stream, error)
        }
        self.tell(.echo, stream, byteCount, start, head: head)
    }

    private func sink(_ stream: isolated NodeStream) async {
        let start = ContinuousClock.now
        do throws(NodeStreamError) {
            var head: [UInt8] = []
            while head.count < 8, let chunk = try await stream.read() { head += chunk }
            guard head.count >= 8 else { return stream.reset() }
            let wanted = head.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            var byteCount = head.count - 8
            while UInt64(byteCount) < wanted, let chunk = try await stream.read() { byteCount += chunk.count }
            try await stream.write(Self.bytes(of: UInt64(byteCount)))
            stream.closeWrite()
            self.tell(.sink, stream, byteCount, start)
        } catch {
            return self.failed(stream, error)
        }
        // A stream is over when both sides have ended it. How the other one does it, now that it has its answer, is its own affair.
        while (try? await stream.read()) != nil {}
    }

    private func failed(_ stream: isolated NodeStream, _ error: NodeStreamError) {
        stream.reset()
        self.channel.emit("stream_error", ["error": .string("\(error)"), "proto": .string(stream.protocolID)])
    }

    private func tell(
        _ mode: Mode, _ stream: NodeStream, _ byteCount: Int, _ start: ContinuousClock.Instant, head: [UInt8] = []
    ) {
        self.channel.emit(
            "stream",
            [
                "mode": .string(mode.rawValue), "peer": .optional(stream.peer?.description), "bytes": .integer(byteCount),
                "seconds": .number((ContinuousClock.now - start) / .seconds(1)), "head_hex": .string(Hex.encode(head)),
            ])
    }

    static func bytes(of number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
}
