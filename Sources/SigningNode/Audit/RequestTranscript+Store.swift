internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1
public import SessionStore
public import Signing

/// Why a request's transcript cannot be had.
public enum TranscriptError: Error, Sendable, CustomStringConvertible {
    case store(StoreError)
    case unknownRequest(String)
    case ambiguous(String, count: Int)
    /// The group that it is about is not there any more.
    case unknownGroup
    /// What is kept is none, or has more bytes than a file may have.
    case transcript(StatementError)

    public var description: String {
        switch self {
        case .store(let error): error.description
        case .unknownRequest(let digits): "there is no request \(digits) here: those that there are, tells chorale request list"
        case .ambiguous(let digits, let count): "\(count) requests begin with \(digits): give more digits"
        case .unknownGroup: "the request's group is not there any more: nobody can be known by what was said"
        case .transcript(let error): error.description
        }
    }
}

extension RequestTranscript {
    /// What a node's database keeps of a request. Its chain is verified.
    ///
    /// - Parameter digits: the first hex digits of its id, in lowercase.
    public init(of digits: String, in database: SessionDatabase) async throws(TranscriptError) {
        do {
            self = try await Self.read(of: Self.id(digits, in: database), in: database)
        } catch let error as TranscriptError { throw error } catch let error as StoreError { throw .store(error) } catch {
            throw .transcript(error as? StatementError ?? .malformed("\(error)"))
        }
    }

    /// Requests that are read in one piece, and entries, with their bytes.
    private static let (requestCount, entryCount, entryByteCount) = (64, 256, 8 << 20)

    private static func id(_ digits: String, in database: SessionDatabase) async throws -> Bytes32 {
        var found: [Bytes32] = []
        for state in StoredRequest.State.allCases {
            var last: Bytes32?
            while true {
                let page = try await database.requests().requests(in: state, after: last, countMax: Self.requestCount)
                found += page.map(\.id).filter { "\($0)".hasPrefix(digits) }
                guard let end = page.last?.id else { break }
                last = end
            }
        }
        guard let id = found.first else { throw TranscriptError.unknownRequest(digits) }
        // One that changes its state meanwhile may be found twice.
        let count = Set(found).count
        guard count == 1 else { throw TranscriptError.ambiguous(digits, count: count) }
        return id
    }

    private static func read(of id: Bytes32, in database: SessionDatabase) async throws -> RequestTranscript {
        let requests = database.requests()
        guard let proposal = try await requests.proposal(of: id) else { throw TranscriptError.unknownRequest("\(id)") }
        let group = try await Self.group(of: proposal, in: database)
        var (entries, byteCount): ([TranscriptEntry], Int) = ([], proposal.count)
        while true {
            let page = try await requests.transcript(
                of: id, after: entries.last?.sequence ?? 0, countMax: Self.entryCount, byteCountMax: Self.entryByteCount)
            guard !page.isEmpty else { break }
            byteCount += page.reduce(0) { $0 + $1.bytes.count }
            guard byteCount <= Self.byteCountMax else {
                throw TranscriptError.transcript(.tooLarge(byteCount: byteCount, limit: Self.byteCountMax))
            }
            entries += page
        }
        return try RequestTranscript(
            network: group.network, record: group.record, enrolments: group.enrolments, proposal: proposal, entries: entries)
    }

    private static func group(
        of proposal: [UInt8], in database: SessionDatabase
    ) async throws -> (network: Network, record: GroupRecord, enrolments: [Enrolment]) {
        for (_, digest) in try await database.groups.groups(after: nil, countMax: SQLiteGroupStore.countMax) {
            guard let group = try await database.groups.group(digest), let network = group.members.first?.network else { continue }
            let record = try GroupRecord(parsing: group.policy)
            let roster = Roster(members: record.signers, network: network, enrolments: group.members)
            guard let found = try? Coordination.proposal(in: proposal, roster: roster), found.request.policyDigest == digest else {
                continue
            }
            return (network, record, group.members)
        }
        throw TranscriptError.unknownGroup
    }
}
