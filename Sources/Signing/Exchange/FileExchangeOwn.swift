internal import CryptoPrimitives
internal import Secp256k1

// Files under our own key that this process did not write: those of the processes that it follows, those that somebody puts back,
// and those of another process that runs with our key, perhaps as a copy of our own memory.

extension FileExchange {
    /// Throws away the nonces that have not signed yet, and goes on under another name: the machine's clocks jumped, so that a copy of
    /// its memory may be running elsewhere.
    ///
    /// Both copies would count on from the same number under the same name, and so give two contents under one; that is why the name
    /// changes even when no nonces are held.
    ///
    /// - Parameter newIncarnation: drawn after the jump.
    public mutating func discardNonces(newIncarnation: Incarnation) {
        if newIncarnation.bytes != self.incarnation {
            self.retired[self.incarnation] = (self.beatCount, self.nonceCounter)
            self.incarnation = newIncarnation.bytes
            // One of before goes on where it was: no name is given twice, whatever a caller draws.
            self.nonceCounter = self.retired[newIncarnation.bytes]?.nonceCounter ?? 0
            // The others, and our copy if there is one, learn of it at the next step.
            self.nextBeatAt = .zero
        }
        guard let current, current.role == .signing(isPublished: true) || current.role == .signing(isPublished: false) else { return }
        current.fail("the clocks of this machine jumped, so its nonces were thrown away")
    }

    /// Our key says that its process is here. That may be a process that this one follows, an old file that came late or that somebody
    /// puts back, or a process that lives.
    ///
    /// What tells them apart is our incarnation, drawn when this process started: nobody could name it before, and only our key can
    /// sign that it sees it. So whoever finds an unknown process under its key names it in its own presence, and who finds itself
    /// named stops. Files from before, however many and in whatever order they are put back, name nobody who runs now.
    mutating func noteOwnPresence(_ incarnation: [UInt8], _ beat: UInt64, sees other: [UInt8]?) {
        if let last = self.lastOwn(incarnation) {
            // Nobody else can sign in our name: only a copy of this process has counted on.
            if beat > last.beat { self.isKeyInUseElsewhere = true }
        } else if let other, self.lastOwn(other) != nil {
            self.isKeyInUseElsewhere = true
        } else if self.beatCount == 0 {
            self.ancestors.insert(incarnation)
        } else if !self.ancestors.contains(incarnation), self.strangersWithOurKey.count < Presence.pastCountMax {
            self.strangerSeen = incarnation
            // At once, for its own next beat overwrites ours; and once, for old files must not make us write all the time.
            if self.strangersWithOurKey.insert(incarnation).inserted { self.nextBeatAt = .zero }
        }
    }

    /// Our key gave nonces. Under a name of this process they are the ones that it gave, or a copy of it lives. Those of another
    /// process may have been put back; if it lives, its presence tells.
    mutating func noteOwnNonces(_ statement: Statement, _ name: NonceName) {
        guard let last = self.lastOwn(name.incarnation) else { return }
        if name.counter > last.nonceCounter { self.isKeyInUseElsewhere = true }
        if let own = self.current?.usedNonces[self.signer], case .nonces(name, _) = own.body, own.body != statement.body {
            self.isKeyInUseElsewhere = true
        }
    }

    /// The last that this process gave under the incarnation, if it is one of its own.
    private func lastOwn(_ incarnation: [UInt8]) -> (beat: UInt64, nonceCounter: UInt32)? {
        incarnation == self.incarnation ? (self.beatCount, self.nonceCounter) : self.retired[incarnation]
    }
}
