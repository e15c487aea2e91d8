import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

@Suite struct GroupInvitationTests {
    private func shapes() throws -> [GroupTerms.Shape] {
        [
            .everyone, .delegated(threshold: 2, .unspendable), .delegated(threshold: 3, .aggregate),
            .delegated(threshold: 1, .owner(try Sample.signer("owner").xOnly)),
        ]
    }

    @Test func `an invitation comes back from its text, whatever the group is to be`() throws {
        let ada = try Person("Ada")
        for shape in try self.shapes() {
            let terms = try Group.terms(ada, name: "Ada & Söhne", shape: shape)
            let addresses = try ["/ip4/192.0.2.1/tcp/4001", "/dns/ada.example/tcp/443/wss"].map { try Multiaddr(text: $0) }
            let invitation = GroupInvitation(terms: terms, token: try Group.token(1), addresses: addresses)
            #expect(invitation.text.hasPrefix("chorale-group1"))
            #expect(try GroupInvitation(text: invitation.text) == invitation)
            #expect(invitation.addresses == addresses && invitation.peer == PeerID(of: ada.identity.publicKey))
            // Whoever carries it may have broken its line, or written it in capitals.
            let broken = "  " + invitation.text.prefix(70) + "\r\n" + invitation.text.dropFirst(70).uppercased()
            #expect(throws: GroupError.self) { try GroupInvitation(text: broken) }
            #expect(try GroupInvitation(text: broken.uppercased()) == invitation)
        }
    }

    @Test func `a text with a wrong, a missing or another letter is refused`() throws {
        let ada = try Person("Ada")
        let text = GroupInvitation(terms: try Group.terms(ada), token: try Group.token(1), addresses: []).text
        let letters = Array(text)
        for place in letters.indices {
            var other = letters
            other[place] = other[place] == "q" ? "p" : "q"
            #expect(throws: GroupError.self) { try GroupInvitation(text: String(other)) }
            other.remove(at: place)
            #expect(throws: GroupError.self) { try GroupInvitation(text: String(other)) }
        }
        for wrong in ["", "chorale-group1", "chorale-group", text + "q", String(repeating: " ", count: 10_000), "bc1qqqqqq", "😀"] {
            #expect(throws: GroupError.self) { try GroupInvitation(text: wrong) }
        }
    }

    @Test func `bytes that are no invitation are refused, and never trap`() throws {
        let ada = try Person("Ada")
        let invitation = GroupInvitation(
            terms: try Group.terms(ada, shape: .delegated(threshold: 2, .unspendable)), token: try Group.token(1),
            addresses: [try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")])
        let bytes = invitation.serialized()
        for count in 0..<bytes.count { #expect(throws: GroupError.self) { try GroupInvitation(parsing: Array(bytes.prefix(count))) } }
        #expect(throws: GroupError.self) { try GroupInvitation(parsing: bytes + [0]) }
        for place in bytes.indices {
            for value: UInt8 in [0, 1, 0x7f, 0x80, 0xff] where bytes[place] != value {
                var other = bytes
                other[place] = value
                // Another invitation, or none: what is read is written the same again.
                if let read = try? GroupInvitation(parsing: other) { #expect(read.serialized() == other) }
            }
        }
    }

    @Test func `there are no terms that no group can have`() throws {
        let ada = try Person("Ada")
        for name in ["", String(repeating: "x", count: 65), "a\nb", "a\u{202e}b", " a", "a "] {
            #expect(throws: GroupError.self) { try Group.terms(ada, name: name) }
        }
        for count in [-1, 0, 1, 1_001, .max] { #expect(throws: GroupError.self) { try Group.terms(ada, memberCount: count) } }
        for threshold in [-1, 0, 4, .max] {
            #expect(throws: GroupError.self) { try Group.terms(ada, shape: .delegated(threshold: threshold, .unspendable)) }
        }
        // Some 10^29 leaves: nobody's machine is asked to compute them.
        #expect(throws: GroupError.self) { try Group.terms(ada, memberCount: 100, shape: .delegated(threshold: 50, .aggregate)) }
        #expect(throws: Never.self) { try Group.terms(ada, memberCount: 50, shape: .delegated(threshold: 47, .aggregate)) }
    }

    @Test func `addresses that do not fit stay at home`() throws {
        let ada = try Person("Ada")
        let many = try (0..<20).map { try Multiaddr(text: "/ip4/192.0.2.1/tcp/\($0)") }
        let label = String(repeating: "x", count: 60)
        let long = try (0..<3).map { try Multiaddr(text: "/dns/\(label).\(label).\(label).\(label)/tcp/\($0)") }
        let invitation = GroupInvitation(terms: try Group.terms(ada), token: try Group.token(1), addresses: long + many + many)
        // Of the long ones two fit, and then short ones up to the count.
        #expect(invitation.addresses == Array(long.prefix(2) + many.prefix(6)))
        #expect(try GroupInvitation(text: invitation.text) == invitation)
    }
}

@Suite struct SafetyNumberTests {
    @Test func `both sides read the same number, and a third one another`() throws {
        let (ada, bob, eve) = try (Person("Ada"), Person("Bob"), Person("Eve"))
        let number = SafetyNumber(between: try ada.enrolment(), and: try bob.enrolment())
        #expect(number == SafetyNumber(between: try bob.enrolment(version: 7), and: try ada.enrolment(expiry: 5)))
        #expect(number != SafetyNumber(between: try ada.enrolment(), and: try eve.enrolment()))
        // The same key on another machine is not the machine that was compared.
        #expect(number != SafetyNumber(between: try ada.enrolment(), and: try Person("Bob", identity: "Eve").enrolment()))
        let groups = number.description.split(separator: " ")
        #expect(groups.count == 6 && groups.allSatisfy { $0.count == 5 && $0.allSatisfy(\.isNumber) })
    }

    @Test func `the numbers are fixed, for two versions of Chorale must read the same`() throws {
        let number = SafetyNumber(between: try Person("Ada").enrolment(), and: try Person("Bob").enrolment())
        #expect(number.description == "73731 54476 87863 94087 11641 78394")
        #expect(SafetyNumber(ofGroup: Sample.digest("policy")).description == "48606 96194 56971 19637 30163 28570")
    }
}
