// How far away the members are, as their connections were measured.

extension CoordinationTiming {
    /// Longest round trip to one member that is believed: a connection by way of a satellite and a relay takes less.
    ///
    /// Whoever answers late makes all others patient with coordinators who are gone, so four times this is the most that anybody gains.
    public static let measuredRoundTripMax = Duration.seconds(2)

    /// These times where members are as far away as was measured: the farthest one counts, for attempts wait for all of a set.
    ///
    /// Never less than what is set here, which stands for those who were not measured.
    public func measured(_ roundTrips: some Sequence<Duration>) -> CoordinationTiming {
        let farthest = roundTrips.reduce(.zero) { max($0, $1) }
        var timing = self
        timing.roundTrip = max(self.roundTrip, min(farthest, Self.measuredRoundTripMax))
        return timing
    }
}
