internal import LibP2P

// Bytes from the sockets to the owner.

extension SocketTable {
    func read<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        for _ in 0..<Self.readCountMax where pipe.state != .gone {
            let count: Int
            do throws(SystemError) {
                count = try System.receive(pipe.descriptor, into: self.readBuffer)
            } catch {
                if !error.isWouldBlock { self.broke(pipe, &owner) }
                return
            }
            guard count > 0 else { return self.inputEnded(pipe, &owner) }
            self.take(UnsafeMutableRawBufferPointer(rebasing: self.readBuffer[..<count]), from: pipe, &owner)
            // There is no more now. But where both ends are done, an end that is here already may not be reported again: it is read.
            if count < self.readBuffer.count, pipe.state != .draining { return }
        }
    }

    private func take<Owner: PipeOwner & ~Copyable>(_ bytes: UnsafeMutableRawBufferPointer, from pipe: Pipe, _ owner: inout Owner) {
        if pipe.state == .draining {
            pipe.drainedByteCount += bytes.count
            if pipe.drainedByteCount > Self.drainByteCountMax { self.destroy(pipe) }
        } else if pipe.webSocket != nil {
            self.takeFrames(bytes, from: pipe, &owner)
        } else {
            owner.receive(bytes, from: pipe.id, now: self.now)
        }
    }

    private func takeFrames<Owner: PipeOwner & ~Copyable>(_ bytes: UnsafeMutableRawBufferPointer, from pipe: Pipe, _ owner: inout Owner) {
        do throws(WebSocketError) {
            // What is deferred until a dialled pipe is announced: a server may speak right behind its answer.
            var early: [UInt8] = []
            let isAnnounced = pipe.state == .open || !pipe.isOutbound
            try Self.unframe(bytes, pipe) { piece in
                if isAnnounced { owner.receive(piece, from: pipe.id, now: self.now) } else { early += piece }
            }
            if pipe.state == .upgrading, pipe.webSocket?.isOpen ?? false {
                pipe.state = .open
                if pipe.isOutbound {
                    self.dials[pipe.id] = nil
                    owner.dialled(pipe.id, now: self.now)
                    early.withUnsafeMutableBytes { if !$0.isEmpty { owner.receive($0, from: pipe.id, now: self.now) } }
                }
            }
        } catch {
            if pipe.isOutbound, pipe.state == .upgrading { return self.attemptFailed(pipe, .transport(error.description), &owner) }
            return self.leave(pipe, error, &owner)
        }
        if pipe.webSocket?.isEndedByPeer ?? false { return self.leave(pipe, nil, &owner) }
        self.markDirty(pipe)
    }

    private static func unframe(
        _ bytes: UnsafeMutableRawBufferPointer, _ pipe: Pipe, _ deliver: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(WebSocketError) {
        try pipe.webSocket?.receive(bytes, deliver: deliver)
    }

    /// The WebSocket is over, by its peer's word or fault: a last frame goes out, and the owner hears of the end.
    private func leave<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ violation: WebSocketError?, _ owner: inout Owner) {
        owner.endOfInput(pipe.id, violation: violation, now: self.now)
        pipe.hasOutput = false
        pipe.closesAfterOutput = true
        if pipe.state == .upgrading { pipe.state = .open }
        self.flush(pipe, &owner)
    }

    private func inputEnded<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        switch pipe.state {
        case .draining: self.destroy(pipe)
        case .upgrading where pipe.isOutbound: self.attemptFailed(pipe, .transport("the server ended the connection"), &owner)
        case .upgrading, .open:
            // It would be readable for ever.
            pipe.pauseInput()
            owner.endOfInput(pipe.id, violation: nil, now: self.now)
        case .connecting, .gone: break
        }
    }
}
