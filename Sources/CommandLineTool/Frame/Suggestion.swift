/// Finds what a person most likely meant by a word that is none of the known ones.
enum Suggestion {
    /// The known word nearest to `word`, or `nil` when none is near enough to be meant.
    static func nearest(to word: String, among known: [String]) -> String? {
        let candidates = known.map { (word: $0, distance: Self.distance(word, $0)) }
        guard let best = candidates.min(by: { $0.distance < $1.distance }) else { return nil }
        // One slip in every three letters, and always one; beyond that a suggestion confuses more than it helps.
        if best.distance <= max(1, min(word.count, best.word.count) / 3) { return best.word }
        guard word.count >= 3 else { return nil }
        let begunAlike = known.filter { $0.hasPrefix(word) }
        return begunAlike.count == 1 ? begunAlike.first : nil
    }

    /// How many letters must be put in, left out, changed or swapped with their neighbour (optimal string alignment).
    static func distance(_ left: String, _ right: String) -> Int {
        // Longer words are no slips of anything, and the table below grows with the product of the lengths.
        let (left, right) = (Array(left.utf8.prefix(64)), Array(right.utf8.prefix(64)))
        guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
        var rows = [Array(0...right.count)]
        for i in 1...left.count {
            var row = [i]
            for j in 1...right.count {
                let change = rows[i - 1][j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
                var best = min(change, rows[i - 1][j] + 1, row[j - 1] + 1)
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                    best = min(best, rows[i - 2][j - 2] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
