import CryptoPrimitives
import LibP2P
import LibP2PPosix

extension DrivenPeer {
    func carryOutRelay(_ command: DriverCommand) async throws -> Members {
        switch command.name {
        case "relay_reserve":
            let reservation = try await self.node.reserve(at: command.peer())
            return [
                ("reserved", .bool(true)), ("expire", .unsigned(reservation.expiration)),
                ("voucher_hex", .string(Hex.encode(reservation.voucherBytes))),
            ]
        case "relay_dial":
            let (relay, address) = try command.peerAddress("addr")
            let peer = try command.peer()
            let start = ContinuousClock.now
            _ = try await TimeLimit.run(try command.timeLimit(default: .seconds(20)), "no connection came about") {
                try await self.node.dial(peer, through: relay, at: [address])
            } callOff: {
                await self.node.disconnect(peer)
            }
            return [("ms", .number((ContinuousClock.now - start).milliseconds))]
        default:
            let attempts = try await self.node.upgrade(command.peer())
            return [("upgraded", .bool(true)), ("attempts", .unsigned(UInt64(attempts)))]
        }
    }
}
