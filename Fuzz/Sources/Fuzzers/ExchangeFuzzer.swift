import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

extension Fuzzer {
    /// Two signers over a shared folder in which anything may happen: files late, old, cut, altered, under another name.
    static let exchange = Fuzzer(
        name: "exchange", byteCountMax: 96, seeds: { ExchangePlay.seeds },
        run: { start, count in
            guard let play = try? ExchangePlay() else { fatalError("the play could not begin") }
            let bytes = input(start, count)
            for place in stride(from: 0, to: bytes.count - 1, by: 2) { play.carryOut(bytes[place], bytes[place + 1]) }
            return 0
        })
}

/// What the two processes see of the folder is up to the input; what they do to it is done.
private final class ExchangePlay {
    private final class Process {
        let key: SecretKey
        let identity: Ed25519.SecretKey
        var exchange: FileExchange
        var now = Duration.zero
        var records: [BurnRecord] = []

        init(_ number: UInt8, _ request: SigningRequest, _ group: SignerGroup) throws {
            let key = try Known.secretKey(number)
            let identity = try Known.identity(number)
            self.exchange = try FileExchange(
                request: request, policy: group, enrolment: Enrolment(network: .regtest, signer: key, identity: identity),
                incarnation: Known.incarnation(Array(repeating: number, count: Incarnation.byteCount)), records: [])
            self.key = key
            self.identity = identity
        }
    }

    private let processes: [Process]
    private let request: SigningRequest
    private let coin: TransactionOutput
    /// Every content that ever stood under a path, the newest last.
    private var files: [(path: String, bytes: [UInt8])] = []
    /// How often a process has thrown its nonces away.
    private var discardCount = 0

    init() throws {
        let group = try SignerGroup([Known.key(1), Known.key(2)])
        let (transaction, coins) = Seeds.spend(of: group, inputs: 1)
        self.coin = coins[0]
        self.request = try SigningRequest(transaction: transaction, prevouts: coins, policyDigest: group.digest)
        self.processes = try [1, 2].map { [request] number in try Process(number, request, group) }
    }

    /// The lowest bit says to which process, the next three what, the rest and the second byte with what.
    func carryOut(_ call: UInt8, _ with: UInt8) {
        let process = self.processes[Int(call & 1)]
        let choice = Int(call >> 4)
        guard call >> 1 & 7 != 5, !self.files.isEmpty else {
            return self.step(process, .seconds([0, 1, 10, 40][choice & 3] + Int(with) / 16))
        }
        let file = self.files[Int(with) % self.files.count]
        switch call >> 1 & 7 {
        case 0:
            for path in Set(self.files.map(\.path)).sorted() {
                if let newest = self.files.last(where: { $0.path == path }) { self.show(path, newest.bytes, to: process) }
            }
        case 1: self.show(file.path, file.bytes, to: process)
        case 2:
            var bytes = file.bytes
            if !bytes.isEmpty { bytes[(Int(with) * 37 + choice) % bytes.count] ^= 1 << UInt8(choice & 7) }
            self.show(file.path, bytes, to: process)
        case 3: self.show(file.path, Array(file.bytes.prefix(file.bytes.count * choice / 16)), to: process)
        case 4: self.show(self.files[choice % self.files.count].path, file.bytes, to: process)
        case 6: self.files.append((file.path, Array(file.bytes.dropLast(choice))))
        default:
            guard choice == 15 else { break }
            self.discardCount += 1
            process.exchange.discardNonces(newIncarnation: self.freshIncarnation)
        }
    }

    /// A name that was never given before, as randomness would give it.
    private var freshIncarnation: Incarnation {
        let count = withUnsafeBytes(of: UInt32(self.discardCount).bigEndian) { Array($0) }
        return Known.incarnation(Array(repeating: 0xff, count: Incarnation.byteCount - count.count) + count)
    }

    private func show(_ path: String, _ bytes: [UInt8], to process: Process) {
        process.exchange.observe(ExchangeFile(path: path, bytes: bytes), now: process.now)
    }

    private func step(_ process: Process, _ time: Duration) {
        process.now += time
        for action in process.exchange.step(now: process.now, key: process.key, identity: process.identity) {
            switch action {
            case .write(let path, let bytes): self.files.append((path.description, bytes))
            case .create(let path, let bytes):
                let isFree = !self.files.contains { $0.path == path.description }
                if isFree { self.files.append((path.description, bytes)) }
                process.exchange.created(path, isFree)
            case .record(let record):
                for other in process.records {
                    require(Set(other.nonces).isDisjoint(with: record.nonces) || other == record, "no nonce serves two transcripts")
                }
                process.records.append(record)
                process.exchange.recorded(record)
            case .remove(let path): self.files.removeAll { $0.path == path.description }
            case .say(let notice): consume(notice.description)
            case .complete(let transaction): self.check(transaction)
            case .fail(let error): consume(error.description)
            }
        }
        consume(process.exchange.progress(now: process.now))
    }

    private func check(_ transaction: Transaction) {
        require(transaction.txid == self.request.transaction.txid, "what is finished is what was asked for")
        guard let item = transaction.inputs[0].witness.items.first, let signature = try? SchnorrSignature(parsing: item),
            case .payToTaproot(let x) = self.coin.scriptPubKey.kind, let key = try? XOnlyPublicKey(x),
            let message = try? transaction.taprootSighash(input: 0, prevouts: [self.coin], type: .default)
        else { fatalError("broken property: a finished transaction has a signature") }
        require(signature.isValid(for: message, by: key), "a finished signature verifies")
    }

    static let seeds: [[UInt8]] = {
        // Turn about, each looks at everything and takes a step, for long enough to finish.
        let turn: [UInt8] = [0, 0, 10, 1, 1, 0, 11, 1]
        return [Array([[UInt8]](repeating: turn, count: 11).joined()), turn + [2, 0, 4, 9, 6, 40, 8, 1] + turn + turn]
    }()
}
