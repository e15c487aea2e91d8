import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

@testable import LibP2P
@testable import Signing
@testable import SigningNode

/// A check by itself, without a network: what it wants when what happens.
@Suite struct ConnectivityCheckTests {
    private typealias Want = ConnectivityCheck.Want

    private let signers: [PublicKey]
    private let peers: [PeerID]

    init() throws {
        self.signers = try (0..<4).map { _ in try SecretKey.generate().publicKey }.sorted()
        self.peers = try (0..<4).map { _ in PeerID(of: try Ed25519.SecretKey.generate().publicKey) }
    }

    /// The first of the members is us.
    private func check(
        _ requirement: ConnectivityOptions.Requirement = .all, threshold: Int = 4, without: Set<Int> = [], seconds: Int = 30
    ) throws -> ConnectivityCheck {
        let policy: any SpendingPolicy =
            if threshold == 4 { try SignerGroup(self.signers) } else {
                try DelegatedMultisig(internalKey: .unspendable, signers: self.signers, threshold: threshold)
            }
        let members = self.signers.indices.map { (signer: self.signers[$0], peer: without.contains($0) ? nil : self.peers[$0]) }
        let options = ConnectivityOptions(requirement: requirement, timeLimit: .seconds(seconds))
        return ConnectivityCheck(members, own: self.signers[0], policy: policy, options: options, now: .seconds(100))
    }

    private func report(_ check: ConnectivityCheck) -> ConnectivityReport {
        check.report(now: .seconds(101)) { _ in .init(method: .direct, since: .seconds(90), roundTrip: .milliseconds(3)) }
    }

    private func states(_ check: ConnectivityCheck) -> [ParticipantConnectivity.State] { self.report(check).participants.map(\.state) }

    private static let reached = ParticipantConnectivity.State.connected(
        .init(method: .direct, since: .seconds(90), roundTrip: .milliseconds(3)))

    @Test func `all are dialled at once, and ourselves not at all`() throws {
        var check = try self.check()
        #expect(check.begin { _ in false } == self.peers[1...].map(Want.dial))
        #expect(self.report(check).participants.map(\.signer) == Array(self.signers[1...]))
        // Only who answers a ping is there: a connection may outlive the machine at its other end.
        for peer in self.peers[1...] {
            #expect(check.connected(peer) == [.ping(peer)] && !check.isOver && !check.isMet)
            #expect(check.pinged(peer, nil, isConnected: true).isEmpty)
        }
        #expect(check.isOver && check.isMet && self.states(check) == [Self.reached, Self.reached, Self.reached])
    }

    @Test func `a connection that stands is not dialled again, and is asked whether anybody is there`() throws {
        var check = try self.check()
        let wants = check.begin { $0 == self.peers[2] }
        #expect(wants == [.dial(self.peers[1]), .ping(self.peers[2]), .dial(self.peers[3])])
        #expect(check.pinged(self.peers[2], .timedOut, isConnected: true).isEmpty)
        #expect(self.states(check)[1] == .failed(.timeout))
        // A peer that speaks no ping has proved who it is all the same.
        _ = check.connected(self.peers[1])
        _ = check.pinged(self.peers[1], .stream(.notSupported), isConnected: true)
        #expect(self.states(check)[0] == Self.reached)
        _ = check.connected(self.peers[3])
        _ = check.pinged(self.peers[3], .wrongBytes, isConnected: true)
        #expect(check.isOver && !check.isMet && self.report(check).missing.map(\.signer) == [self.signers[2], self.signers[3]])
    }

    @Test func `the time over all leaves those reached who were, whatever happens later`() throws {
        var check = try self.check(seconds: 5)
        #expect(check.deadline == .seconds(105))
        _ = check.begin { _ in false }
        _ = check.connected(self.peers[1])
        _ = check.pinged(self.peers[1], nil, isConnected: true)
        _ = check.connected(self.peers[2])
        #expect(check.notReached(self.peers[3], .noAddress) == [.search(self.peers[3])])
        check.timeIsOver()
        #expect(check.isOver && self.states(check) == [Self.reached, .failed(.timeout), .failed(.noAddress)])
        #expect(try self.check(seconds: -1).deadline == .seconds(100))
        #expect(try self.check(seconds: 1 << 40).deadline == .seconds(100) + ConnectivityOptions.timeLimitMax)
    }

    @Test func `who is lost in the middle is dialled again, and not for ever`() throws {
        var check = try self.check()
        _ = check.begin { _ in false }
        let peer = self.peers[1]
        _ = check.connected(peer)
        _ = check.pinged(peer, nil, isConnected: true)
        #expect(check.lost(peer) == [.dial(peer)] && !check.isOver)
        // Gone before the ping was answered, and before it was sent.
        _ = check.connected(peer)
        #expect(check.pinged(peer, .ended, isConnected: false) == [.dial(peer)])
        #expect(check.vanished(peer).isEmpty)
        #expect(self.states(check)[0] == .failed(.networkError("its connections do not last")))
        // It may still come by itself.
        #expect(check.connected(peer) == [.ping(peer)])
        // One that lets no ping through is asked a few times.
        _ = check.connected(self.peers[2])
        var count = 0
        while check.pinged(self.peers[2], .ended, isConnected: true) == [.ping(self.peers[2])] { count += 1 }
        #expect(count == ConnectivityCheck.dialCountMax - 1 && self.states(check)[1] == .failed(.rejected("it ends the streams of pings")))
    }

    @Test func `members without an address or a machine are missing, not left out`() throws {
        var check = try self.check(without: [2])
        #expect(check.begin { _ in false } == [.dial(self.peers[1]), .dial(self.peers[3])])
        #expect(self.states(check)[1] == .failed(.peerNotFound(.notEnrolled)))
        // Others are asked where it is, once; what they know is dialled.
        #expect(check.notReached(self.peers[1], .noAddress) == [.search(self.peers[1])])
        #expect(check.learned(self.peers[1]) == [.dial(self.peers[1])])
        check.searched(self.peers[1])
        #expect(check.notReached(self.peers[1], .noAddress).isEmpty)
        #expect(check.notReached(self.peers[3], .noAddress) == [.search(self.peers[3])])
        check.searched(self.peers[3])
        #expect(self.states(check) == [.failed(.noAddress), .failed(.peerNotFound(.notEnrolled)), .failed(.noAddress)])
        #expect(check.isOver && !check.isMet)
        // An address that is told late counts still.
        #expect(check.learned(self.peers[3]) == [.dial(self.peers[3])] && !check.isOver)
    }

    @Test func `enough are there when the policy can be spent by them, and the others are not waited for`() throws {
        var check = try self.check(.atLeast(3), threshold: 2)
        _ = check.begin { _ in false }
        for (count, peer) in [self.peers[3], self.peers[1]].enumerated() {
            #expect(!check.isMet && !check.isOver)
            _ = check.connected(peer)
            _ = check.pinged(peer, nil, isConnected: true)
            #expect(check.isMet == (count == 1) && check.isOver == (count == 1))
        }
        #expect(self.states(check) == [Self.reached, .trying, Self.reached])
        var everybody = try self.check(.none)
        _ = everybody.begin { _ in false }
        #expect(everybody.isMet && !everybody.isOver)
        for peer in self.peers[1...] { _ = everybody.notReached(peer, .timeout) }
        #expect(everybody.isMet && everybody.isOver && self.report(everybody).connected.isEmpty)
    }

    @Test func `what a dial says becomes one error, that of the address that got farthest`() throws {
        let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
        func error(_ reasons: DialAttemptFailure.Reason...) -> ConnectivityError {
            ConnectivityError(.allFailed(reasons.map { DialAttemptFailure(address: address, reason: $0) }), isAnyAddressKnown: true)
        }
        let wrong = DialAttemptFailure.Reason.connection(
            .handshake(.wrongPeer(expected: self.peers[1], actual: self.peers[2])))
        #expect(error(.pipe(.timedOut), wrong, .pipe(.refused)) == .peerNotFound(.somebodyElse(at: address)))
        if case .rejected(let words) = error(.pipe(.timedOut), .pipe(.refused)) {
            #expect(words.contains("nobody listens there") && words.contains("192.0.2.1"))
        } else {
            Issue.record("a refused pipe is not told as such")
        }
        if case .rejected = error(.connection(.pipeEnded(at: .encrypting))) {} else { Issue.record("nor one that ended") }
        #expect(error(.pipe(.unreachable), .pipe(.timedOut)) == .timeout && error(.connection(.timedOut(at: .encrypting))) == .timeout)
        if case .networkError = error(.pipe(.unreachable), .pipe(.noTransport)) {} else { Issue.record("nor an unreachable network") }
        #expect(error(.pipe(.noTransport)) == .noRelayAddress && error(.pipe(.tooManyDescriptors)) == .refusedHere(.noDescriptors))
        #expect(ConnectivityError(.noAddresses, isAnyAddressKnown: false) == .noAddress)
        #expect(ConnectivityError(.noAddresses, isAnyAddressKnown: true) == .noRelayAddress)
        #expect(ConnectivityError(.refused(.ownIdentity), isAnyAddressKnown: true) == .refusedHere(.ownIdentity))
        // What may succeed a little later without anybody doing anything.
        let later: [ConnectivityError] = [.timeout, .rejected(""), .networkError(""), .refusedHere(.noDescriptors)]
        let never: [ConnectivityError] = [
            .noAddress, .noRelayAddress, .peerNotFound(.notEnrolled), .peerNotFound(.somebodyElse(at: address)), .refusedHere(.peerDenied),
        ]
        #expect(later.allSatisfy(\.isRetryable) && !never.contains(where: \.isRetryable))
        #expect(Set((later + never).map(\.description)).count == later.count + never.count)
    }
}
