import CLibFuzzer
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing

/// One decoder, or one machine, and what must hold whatever bytes it is given.
struct Fuzzer: Sendable {
    let name: String
    /// Longest input that is tried, in bytes: room for every structure, short enough to be quick.
    let byteCountMax: Int
    /// Well-formed inputs to begin with.
    let seeds: @Sendable () throws -> [[UInt8]]
    /// What libFuzzer calls. A broken property stops the program, which libFuzzer reports with the input.
    let run: @Sendable @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

    static let all: [Fuzzer] = [
        .psbt, .psbtText, .transaction, .script, .address, .encodings, .keysAndNonces, .taproot, .statement, .ownStatement, .policy,
        .nonceSet, .signatureShares, .evidence, .cloneAlarm, .sealedSecret, .keyFile, .journal, .session, .exchange, .coordination,
        .commitments, .transcript, .mailbox, .advertisement, .announcement, .invitation, .groupMessages, .approvalPolicy,
        .networkEncodings, .multiaddr, .peerIdentity, .networkMessages, .multistream, .noise, .webSocket,
        .identify, .ping, .requestResponse, .keptStreams, .relayClient, .relayServer, .holePunch, .gossipsub, .kad, .mdns, .nameServer,
        .yamux, .connection, .node,
    ]
}

@main struct Fuzzers {
    static let usage = """
        usage: Fuzzers list                   names and longest inputs, one fuzzer a line
               Fuzzers seeds FOLDER           writes every fuzzer's seeds to FOLDER/NAME/
               Fuzzers NAME [libFuzzer's own options and folders]
        """

    static func main() throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "list": for fuzzer in Fuzzer.all { print(fuzzer.name, fuzzer.byteCountMax) }
        case "seeds" where arguments.count == 3: try Self.writeSeeds(to: URL(filePath: arguments[2]))
        case let name?:
            guard let fuzzer = Fuzzer.all.first(where: { $0.name == name }) else { fallthrough }
            exit(Self.drive(fuzzer, arguments))
        case nil:
            FileHandle.standardError.write(Data((Self.usage + "\n").utf8))
            exit(2)
        }
    }

    private static func writeSeeds(to folder: URL) throws {
        for fuzzer in Fuzzer.all {
            let own = folder.appending(path: fuzzer.name)
            try FileManager.default.createDirectory(at: own, withIntermediateDirectories: true)
            for seed in try fuzzer.seeds() where seed.count <= fuzzer.byteCountMax {
                try Data(seed).write(to: own.appending(path: SHA256.hash(seed).description))
            }
        }
    }

    /// Gives libFuzzer the arguments without the fuzzer's name.
    private static func drive(_ fuzzer: Fuzzer, _ arguments: [String]) -> Int32 {
        let passed = [arguments[0]] + arguments.dropFirst(2)
        var count = Int32(passed.count)
        // libFuzzer keeps pointers into these for as long as the program runs.
        let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: passed.count + 1)
        list.initialize(repeating: nil, count: passed.count + 1)
        for (place, argument) in passed.enumerated() { list[place] = strdup(argument) }
        var start: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = list
        return LLVMFuzzerRunDriver(&count, &start, fuzzer.run)
    }
}

/// The input as an array.
func input(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] { Array(UnsafeBufferPointer(start: start, count: count)) }

/// Stops the program when a property does not hold.
func require(_ holds: Bool, _ property: StaticString) { if !holds { fatalError("broken property: \(property)") } }

/// Keys that every run has alike, for seeds and for what the inputs are held against.
enum Known {
    static func secretKey(_ number: UInt8) throws -> SecretKey {
        try SecretKey(parsing: SecretBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: number) })
    }

    static func identity(_ number: UInt8) throws -> Ed25519.SecretKey {
        try Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: number) })
    }

    static func key(_ number: UInt8) throws -> PublicKey { try Self.secretKey(number).publicKey }

    /// For 16 bytes.
    static func incarnation(_ bytes: [UInt8]) -> Incarnation {
        guard let incarnation = Incarnation(bytes) else { preconditionFailure("an incarnation has 16 bytes") }
        return incarnation
    }
}
