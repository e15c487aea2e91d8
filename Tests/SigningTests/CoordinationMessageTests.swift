import Testing

@testable import Signing

/// The bytes of what members say to each other.
@Suite struct CoordinationMessageTests {
    private func message(_ number: UInt64, _ group: CoordinationGroup) -> CoordinationMessage {
        let series = CoordinationMessage.Series(
            incarnation: [UInt8](repeating: 7, count: NonceName.incarnationByteCount), epoch: UInt32(truncatingIfNeeded: number))
        return CoordinationMessage(
            request: group.request.digest, series: series, sequence: number, acknowledged: .init(series: series, sequences: [number, 1]),
            content: .renewal(turn: UInt32(truncatingIfNeeded: number)))
    }

    @Test(arguments: [0, 1, 252, 253, 65_535, 65_536, 4_294_967_295, 4_294_967_296, .max] as [UInt64])
    func `numbers of any size are read as they were written`(_ number: UInt64) throws {
        let group = try CoordinationGroup(2)
        let message = self.message(number, group)
        let head = try CoordinationMessage.Head(parsing: message.serialized(group.roster))
        #expect(head.request == message.request)
        #expect(head.series == message.series)
        #expect(head.sequence == number)
        #expect(head.acknowledged == message.acknowledged)
        #expect(try head.content(group.roster) == message.content)
    }

    @Test func `a number that is longer than it needs to be, or greater than it may be, is none`() throws {
        let group = try CoordinationGroup(2)
        let bytes = self.message(5, group).serialized(group.roster)
        // Version, request and incarnation come before the epoch; the turn is last.
        let epoch = 1 + 32 + NonceName.incarnationByteCount
        #expect(bytes[epoch] == 5)
        #expect(bytes.last == 5)
        for wrong in [[0xfd, 5, 0], [0xff, 5, 0, 0, 0, 1, 0, 0, 0]] as [[UInt8]] {
            #expect(throws: StatementError.self) {
                _ = try CoordinationMessage.Head(parsing: Array(bytes[..<epoch] + wrong + bytes[(epoch + 1)...]))
            }
            let head = try CoordinationMessage.Head(parsing: Array(bytes.dropLast() + wrong))
            #expect(throws: StatementError.self) { _ = try head.content(group.roster) }
        }
    }
}
