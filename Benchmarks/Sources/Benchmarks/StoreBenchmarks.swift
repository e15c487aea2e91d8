import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import SessionStore
import Signing

/// Decisions to sign made durable, by each journal and by nothing but a synchronised write, interleaved: the disk's moods meet all alike.
struct StoreBenchmarks {
    struct Row: Encodable {
        let name: String
        let perSecond: Double
        let microseconds: Double
    }

    private let rounds: Int
    /// Burned in one round by one side.
    private let count: Int
    /// What a store holds that is opened and checked.
    private let openingCount: Int
    private let folder: URL
    private let keys: [PublicKey]
    private let partial: PartialSignature

    init(isQuick: Bool) throws {
        self.rounds = isQuick ? 3 : 9
        self.count = isQuick ? 64 : 256
        self.openingCount = isQuick ? 2_000 : 50_000
        // Beside the build, on a disk: a system's folder for temporary files may be memory.
        self.folder = URL(filePath: ".build/bench-store-\(ProcessInfo.processInfo.processIdentifier)")
        self.keys = try (0..<2_048).map { _ in try SecretKey.generate().publicKey }
        self.partial = try PartialSignature(parsing: [UInt8](repeating: 1, count: 32))
    }

    func run() async throws -> [Row] {
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: self.folder) }
        let sides: [(name: String, run: (Int) async throws -> Double)] = [
            ("4 KiB written and fdatasync, alone", { try self.bare(round: $0) }),
            ("file journal, alone", { try await self.file(round: $0, atOnce: 1) }),
            ("database, alone", { try await self.database(round: $0, atOnce: 1) }),
            ("file journal, 64 at once", { try await self.file(round: $0, atOnce: 64) }),
            ("database, 64 at once", { try await self.database(round: $0, atOnce: 64) }),
            ("database, a transcript entry", { try await self.transcript(round: $0) }),
        ]
        var times = [[Double]](repeating: [], count: sides.count)
        for round in 0..<self.rounds {
            for (index, side) in sides.enumerated() { times[index].append(try await side.run(round * sides.count + index)) }
        }
        var rows = zip(sides, times).map { side, times in
            let median = Stopwatch.median(times)
            return Row(name: side.name, perSecond: 1_000_000 / median, microseconds: median)
        }
        let (opening, byteCount) = try await self.opening()
        let size = decimal(Double(byteCount) / 1_048_576, 1)
        rows.append(
            Row(
                name: "opening and checking \(self.openingCount) decisions, \(size) MiB", perSecond: 1_000_000 / opening,
                microseconds: opening))
        return rows
    }

    // MARK: Sides, each in microseconds for one

    private func bare(round: Int) throws -> Double {
        let descriptor = open(self.path(round), O_RDWR | O_CREAT | O_TRUNC, 0o600)
        require(descriptor >= 0)
        defer { close(descriptor) }
        let page = [UInt8](repeating: 7, count: 4_096)
        return self.time {
            for _ in 0..<self.count {
                require(write(descriptor, page, page.count) == page.count)
                #if canImport(Darwin)
                require(fcntl(descriptor, F_FULLFSYNC) == 0)
                #else
                require(fdatasync(descriptor) == 0)
                #endif
            }
        }
    }

    private func file(round: Int, atOnce: Int) async throws -> Double {
        let journal = try await FileJournal.open(self.path(round))
        let time = try await self.burn(in: journal, atOnce: atOnce)
        await journal.close()
        return time
    }

    private func database(round: Int, atOnce: Int) async throws -> Double {
        let database = try await SessionDatabase.open(self.path(round))
        let time = try await self.burn(in: database.journal, atOnce: atOnce)
        await database.close()
        return time
    }

    private func burn(in journal: some SessionJournal, atOnce: Int) async throws -> Double {
        let records = try (0..<self.count).map { try self.record($0) }
        let start = Timing.wallTime.now
        try await withThrowingTaskGroup { group in
            for task in 0..<atOnce {
                group.addTask {
                    for index in stride(from: task, to: records.count, by: atOnce) { try await journal.burn(records[index]) }
                }
            }
            try await group.waitForAll()
        }
        return Double(Timing.wallTime.now - start) / 1_000 / Double(records.count)
    }

    private func transcript(round: Int) async throws -> Double {
        let database = try await SessionDatabase.open(self.path(round))
        let requests = database.requests()
        let id = Bytes32()
        try await requests.add(NewRequest(id: id, source: nil, proposal: [1], created: 0, expiry: 0))
        let bytes = [UInt8](repeating: 7, count: 300)
        let start = Timing.wallTime.now
        for _ in 0..<self.count { try await requests.append([NewTranscriptEntry(kind: 1, bytes: bytes)], to: id, at: 0) }
        let time = Double(Timing.wallTime.now - start) / 1_000 / Double(self.count)
        await database.close()
        return time
    }

    private func opening() async throws -> (microseconds: Double, byteCount: Int) {
        let path = self.folder.appending(path: "large").path(percentEncoded: false)
        let database = try await SessionDatabase.open(path)
        let records = try (0..<self.openingCount).map { try self.record($0) }
        try await withThrowingTaskGroup { group in
            for record in records { group.addTask { try await database.journal.burn(record) } }
            try await group.waitForAll()
        }
        await database.close()
        var times: [Double] = []
        for _ in 0..<3 {
            let start = Timing.wallTime.now
            let database = try await SessionDatabase.open(path)
            times.append(Double(Timing.wallTime.now - start) / 1_000)
            await database.close()
        }
        let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        return (Stopwatch.median(times), size ?? 0)
    }

    // MARK: Helpers

    private func path(_ round: Int) -> String { self.folder.appending(path: "\(round)").path(percentEncoded: false) }

    private func time(_ work: () -> Void) -> Double {
        let start = Timing.wallTime.now
        work()
        return Double(Timing.wallTime.now - start) / 1_000 / Double(self.count)
    }

    /// A decision about one input, with a nonce of its own: any two points are one.
    private func record(_ index: Int) throws -> BurnRecord {
        let (first, second) = (index % self.keys.count, index / self.keys.count)
        let nonce = try PublicNonce(parsing: self.keys[first].bytes + self.keys[(first + second + 1) % self.keys.count].bytes)
        let name = SHA256.hash(Array("\(index)".utf8))
        let record = BurnRecord(
            request: name, attempt: 1, signer: self.keys[0], transcript: name, nonces: [nonce], partialSignatures: [self.partial])
        guard let record else { preconditionFailure("one nonce and one partial signature") }
        return record
    }
}
