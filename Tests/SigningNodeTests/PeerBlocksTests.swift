import CryptoPrimitives
import LibP2P
import Signing
import Testing

@testable import SigningNode

/// Who is remembered for what, and for how long.
@Suite struct PeerBlocksTests {
    private static let week: UInt64 = 7 * 86_400

    private func peers(_ count: Int, from first: Int = 0) throws -> [PeerID] {
        try (first..<first + count).map { number in
            try PeerID(parsing: [0, 0x24, 8, 1, 0x12, 32] + SHA256.hash(Array("peer \(number)".utf8)).bytes)
        }
    }

    private func block(_ peer: PeerID, in blocks: inout PeerBlocks, at time: UInt64) -> PeerBlocks.Change? {
        blocks.blockedForAWhile(peer, most: 3, within: Self.week, at: time)
    }

    @Test func `so many temporary blocks within the time make a lasting one, and no fewer`() throws {
        let peer = try self.peers(1)[0]
        var blocks = PeerBlocks()
        let day: UInt64 = 86_400
        // Two in any week.
        for time in stride(from: day, to: 100 * day, by: 4 * Int(day)).map({ UInt64($0) }) {
            let change = try #require(self.block(peer, in: &blocks, at: time))
            #expect(!change.isLasting && change.standing.block == nil && change.standing.temporaryBlocks.count <= 3)
        }
        var third = PeerBlocks()
        #expect(self.block(peer, in: &third, at: 10)?.isLasting == false)
        #expect(self.block(peer, in: &third, at: 10 + Self.week)?.isLasting == false)
        #expect(self.block(peer, in: &third, at: 10 + Self.week)?.isLasting == true)
        #expect(third.block(of: peer)?.block == .conduct && third.block(of: peer)?.since == 10 + Self.week)
        #expect(self.block(peer, in: &third, at: 11 + Self.week) == nil, "it is blocked already")
    }

    @Test func `a clock that is set back forgives nothing, and what is too long ago is forgotten`() throws {
        let peers = try self.peers(2)
        var blocks = PeerBlocks()
        _ = self.block(peers[0], in: &blocks, at: 10_000_000)
        _ = self.block(peers[0], in: &blocks, at: 5)
        #expect(self.block(peers[0], in: &blocks, at: 6)?.isLasting == true)
        _ = self.block(peers[1], in: &blocks, at: 100)
        #expect(blocks.forgetOver(within: Self.week, at: 100 + Self.week).isEmpty)
        #expect(blocks.forgetOver(within: Self.week, at: 101 + Self.week) == [peers[1]])
        #expect(blocks.isBlocked(peers[0]) && !blocks.isKnown(peers[1]))
    }

    @Test func `the owner's word goes before what the node finds, and what it finds never takes the owner's places`() throws {
        let own = try self.peers(PeerBlocks.countByOwnerMax)
        var blocks = PeerBlocks()
        for peer in own { #expect(blocks.block(peer, note: "", at: 1) != nil) }
        let more = try self.peers(1, from: 5_000)[0]
        #expect(blocks.block(more, note: "", at: 1) == nil && !blocks.isBlocked(more))
        // A new note for one that stands.
        #expect(blocks.block(own[0], note: "again", at: 9)?.since == 1)
        #expect(blocks.block(of: own[0])?.note == "again")
        // More than there is room for.
        let others = try self.peers(PeerBlocks.countForConductMax + 1, from: 10_000)
        var forgotten: [PeerID] = []
        for (number, peer) in others.enumerated() {
            for _ in 0..<3 {
                let change = blocks.blockedForAWhile(peer, most: 3, within: Self.week, at: 1_000 + UInt64(number))
                if let peer = change?.forgotten { forgotten.append(peer) }
            }
        }
        #expect(forgotten == [others[0]] && others.dropFirst().allSatisfy { blocks.isBlocked($0) })
        #expect(own.allSatisfy { blocks.block(of: $0)?.block == .owner })
        // Conduct changes nothing about the owner's word.
        #expect(blocks.blockedForAWhile(own[0], most: 1, within: Self.week, at: 2_000) == nil)
        #expect(blocks.block(of: own[0])?.block == .owner)
    }

    @Test func `peers that were blocked for a while are bounded by themselves`() throws {
        let peers = try self.peers(PeerBlocks.countForConductMax + 1)
        var blocks = PeerBlocks()
        let forgotten = peers.enumerated().compactMap { self.block($1, in: &blocks, at: UInt64($0) + 1)?.forgotten }
        #expect(forgotten == [peers[0]])
        #expect(peers.dropFirst().allSatisfy { blocks.isKnown($0) })
    }
}
