/// How often something may happen: so many times at once, and then once an interval.
///
/// It is one number, the time at which everything is paid back (the generic cell rate algorithm, ITU-T I.371).
struct ServiceBudget: Sendable {
    struct Rate: Sendable {
        let burst: Int
        let interval: Duration
    }

    private(set) var paidBack: Duration = .zero

    /// Spends one, if there is one.
    mutating func spend(_ rate: Rate, now: Duration) -> Bool {
        let start = max(self.paidBack, now)
        guard start - now <= rate.interval * (rate.burst - 1) else { return false }
        self.paidBack = start + rate.interval
        return true
    }
}

/// Budgets of many strangers. A stranger beyond the last place has none until others are paid back.
struct ServiceBudgets<Key: Hashable & Sendable>: Sendable {
    let rate: ServiceBudget.Rate
    let countMax: Int
    private var budgets: [Key: ServiceBudget] = [:]

    init(rate: ServiceBudget.Rate, countMax: Int) {
        self.rate = rate
        self.countMax = countMax
    }

    var count: Int { self.budgets.count }

    mutating func spend(_ key: Key, now: Duration) -> Bool {
        if self.budgets[key] == nil, self.budgets.count >= self.countMax {
            self.budgets = self.budgets.filter { $0.value.paidBack > now }
            guard self.budgets.count < self.countMax else { return false }
        }
        return self.budgets[key, default: ServiceBudget()].spend(self.rate, now: now)
    }
}
