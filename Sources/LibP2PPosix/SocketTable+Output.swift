internal import LibP2P

// Bytes from the owner to the sockets.

extension SocketTable {
    /// Sends what there is, as long as the socket takes it.
    func flush<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        guard !pipe.isStalled, pipe.state == .open || pipe.state == .upgrading else { return }
        while true {
            if pipe.unsentByteCount > 0 {
                guard self.sendUnsent(pipe, &owner) else { return }
            } else if pipe.webSocket?.hasOutput ?? false, let output = pipe.webSocket?.takeOutput(), !output.isEmpty {
                self.keep(output, for: pipe)
            } else if pipe.state == .open, pipe.hasOutput {
                guard self.sendPiece(pipe, &owner) else { return }
            } else {
                break
            }
        }
        if pipe.closesAfterOutput { self.finish(pipe) }
    }

    /// Whether to go on: the socket took everything.
    private func sendPiece<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) -> Bool {
        let room = self.unsentByteCount < Self.unsentByteCountMax ? Connection.outputByteCount : Self.smallPieceByteCount
        let start = WebSocketPipe.headerByteCountMax
        let target = UnsafeMutableRawBufferPointer(rebasing: self.writeBuffer[start..<start + room])
        let count = owner.fillOutput(of: pipe.id, into: target, now: self.now)
        guard count > 0 else {
            pipe.hasOutput = false
            return true
        }
        let range = pipe.webSocket?.frame(count, in: self.writeBuffer) ?? start..<start + count
        let piece = UnsafeRawBufferPointer(rebasing: self.writeBuffer[range])
        do throws(SystemError) {
            let sent = try System.send(pipe.descriptor, piece)
            guard sent < piece.count else { return true }
            self.keep(Array(piece[sent...]), for: pipe)
            self.stall(pipe)
        } catch {
            self.broke(pipe, &owner)
        }
        return false
    }

    private func sendUnsent<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) -> Bool {
        do throws(SystemError) {
            let sent = try Self.sendRest(of: pipe)
            pipe.unsentOffset += sent
            self.unsentByteCount -= sent
        } catch {
            self.broke(pipe, &owner)
            return false
        }
        guard pipe.unsentByteCount == 0 else {
            self.stall(pipe)
            return false
        }
        pipe.unsent = []
        pipe.unsentOffset = 0
        return true
    }

    private static func sendRest(of pipe: Pipe) throws(SystemError) -> Int {
        try pipe.unsent.withUnsafeBufferPointer { bytes throws(SystemError) in
            try System.send(pipe.descriptor, UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[pipe.unsentOffset...])))
        }
    }

    private func keep(_ bytes: [UInt8], for pipe: Pipe) {
        pipe.unsent = bytes
        pipe.unsentOffset = 0
        self.unsentByteCount += bytes.count
    }

    private func stall(_ pipe: Pipe) {
        pipe.isStalled = true
        pipe.watchOutput(on: self.queue, self.notify)
    }

    func becameWritable<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        pipe.pauseOutput()
        if pipe.state == .connecting { return self.connectionDecided(pipe, &owner) }
        pipe.isStalled = false
        self.flush(pipe, &owner)
    }
}
