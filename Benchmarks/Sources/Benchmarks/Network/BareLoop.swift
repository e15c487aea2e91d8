import CryptoPrimitives
import Dispatch
import Foundation

/// What no node can go beyond here: one TCP connection over loopback, ChaCha20-Poly1305 on messages of Noise's greatest length, and a
/// Dispatch loop at each end. Nothing else: no streams, no windows, no one who writes or reads.
///
/// Unchecked: each end is used on its own queue only.
final class BareLoop: @unchecked Sendable {
    private static let textByteCount = 65_519
    private static let messageByteCount = 2 + BareLoop.textByteCount + ChaCha20Poly1305.tagByteCount
    private static let messagesAtOnce = 4

    /// Megabytes a second of text.
    static func measure(_ byteCount: Int) throws -> Double {
        let (sending, receiving) = try Self.connection()
        let messageCount = byteCount / Self.textByteCount
        let done = DispatchSemaphore(value: 0)
        let receiver = Receiver(receiving, messageCount, done)
        let sender = Sender(sending, messageCount)
        let start = DispatchTime.now()
        receiver.start()
        sender.start()
        guard done.wait(timeout: .now() + 60) == .success else { throw PeerProcess.Failure(description: "the bare loop stands still") }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
        return Double(messageCount * Self.textByteCount) / seconds / 1e6
    }

    private static func connection() throws -> (Int32, Int32) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let dialled = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let accepted = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer -> Int32 in
                guard bind(listener, pointer, size) == 0, listen(listener, 1) == 0, getsockname(listener, pointer, &size) == 0,
                    connect(dialled, pointer, size) == 0
                else { return -1 }
                return accept(listener, nil, nil)
            }
        }
        guard accepted >= 0 else { throw PeerProcess.Failure(description: "no connection over loopback: \(errno)") }
        for descriptor in [dialled, accepted] {
            var one: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { throw PeerProcess.Failure(description: "no socket without waiting") }
        }
        return (dialled, accepted)
    }

    /// One end's buffer, key and source.
    private class End: @unchecked Sendable {
        let descriptor: Int32
        let queue = DispatchQueue(label: "bare loop")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * messagesAtOnce * messageByteCount, alignment: 16)
        let key = UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 16)
        var left: Int
        var counter: UInt64 = 0
        var source: (any DispatchSourceProtocol)?

        init(_ descriptor: Int32, _ messageCount: Int) {
            self.descriptor = descriptor
            self.left = messageCount
            self.key.copyBytes(from: repeatElement(0x42, count: 32))
        }

        /// Ends the source, which then lets go of everything here.
        func finish() {
            self.source?.cancel()
            self.source = nil
        }

        deinit {
            close(self.descriptor)
            self.buffer.deallocate()
            self.key.deallocate()
        }
    }

    private final class Sender: End, @unchecked Sendable {
        private let text = [UInt8](repeating: 0xa5, count: textByteCount)
        private var (sent, end) = (0, 0)

        func start() {
            let source = DispatchSource.makeWriteSource(fileDescriptor: self.descriptor, queue: self.queue)
            source.setEventHandler { self.send() }
            self.source = source
            source.resume()
        }

        private func send() {
            while true {
                if self.sent == self.end { self.fill() }
                guard self.end > 0 else { return self.finish() }
                let rest = UnsafeRawBufferPointer(rebasing: self.buffer[self.sent..<self.end])
                let count = Foundation.send(self.descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                guard count > 0 else { return }
                self.sent += count
            }
        }

        private func fill() {
            (self.sent, self.end) = (0, 0)
            for _ in 0..<min(messagesAtOnce, self.left) {
                let message = UnsafeMutableRawBufferPointer(rebasing: self.buffer[self.end..<self.end + messageByteCount])
                let byteCount = messageByteCount - 2
                message[0] = UInt8(byteCount >> 8)
                message[1] = UInt8(byteCount & 255)
                let body = UnsafeMutableRawBufferPointer(rebasing: message[2...])
                body.copyBytes(from: self.text)
                ChaCha20Poly1305.seal(
                    UnsafeRawBufferPointer(rebasing: body[..<textByteCount]), key: UnsafeRawBufferPointer(self.key),
                    nonce: .init(counter: self.counter), to: body)
                self.counter += 1
                self.end += messageByteCount
                self.left -= 1
            }
        }
    }

    private final class Receiver: End, @unchecked Sendable {
        private let done: DispatchSemaphore
        private var end = 0

        init(_ descriptor: Int32, _ messageCount: Int, _ done: DispatchSemaphore) {
            self.done = done
            super.init(descriptor, messageCount)
        }

        func start() {
            let source = DispatchSource.makeReadSource(fileDescriptor: self.descriptor, queue: self.queue)
            source.setEventHandler { self.receive() }
            self.source = source
            source.resume()
        }

        private func receive() {
            let room = UnsafeMutableRawBufferPointer(rebasing: self.buffer[self.end..<self.end + messagesAtOnce * messageByteCount])
            let count = recv(self.descriptor, room.baseAddress, room.count, 0)
            guard count > 0 else { return self.finish() }
            self.end += count
            var start = 0
            while self.end - start >= messageByteCount {
                let body = UnsafeMutableRawBufferPointer(rebasing: self.buffer[start + 2..<start + messageByteCount])
                let text = UnsafeMutableRawBufferPointer(rebasing: body[..<textByteCount])
                let isAuthentic: Void? = try? ChaCha20Poly1305.open(
                    UnsafeRawBufferPointer(body), key: UnsafeRawBufferPointer(self.key), nonce: .init(counter: self.counter), to: text)
                require(isAuthentic != nil)
                self.counter += 1
                start += messageByteCount
                self.left -= 1
            }
            // What is left of a message moves to the start.
            self.buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: self.buffer[start..<self.end]))
            self.end -= start
            guard self.left == 0 else { return }
            self.finish()
            self.done.signal()
        }
    }
}
