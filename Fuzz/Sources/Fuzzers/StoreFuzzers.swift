import CryptoPrimitives
import Foundation
import Secp256k1
import SessionStore

extension Fuzzer {
    static let sealedSecret = Fuzzer(
        name: "sealed-secret", byteCountMax: 512, seeds: { try Seeds.sealedSecrets() },
        run: { start, count in
            let bytes = input(start, count)
            guard let sealed = try? SealedSecret(parsing: bytes) else { return 0 }
            require(sealed.bytes == bytes, "the same sealed secret")
            // A stranger's file may ask for seconds of work; only cheap ones are opened here.
            guard sealed.cost.memoryKibibytes <= 64, sealed.cost.passes <= 2, let passphrase = try? Seeds.passphrase() else { return 0 }
            do { consume(try sealed.open(passphrase: passphrase, associatedData: []).count) } catch {}
            return 0
        })

    static let keyFile = Fuzzer(
        name: "key-file", byteCountMax: 4_096, seeds: { try Seeds.keyFiles() },
        run: { start, count in
            let path = scratch.appending(path: "key").path(percentEncoded: false)
            guard (try? Data(input(start, count)).write(to: URL(filePath: path))) != nil else { fatalError("no scratch folder") }
            guard let file = try? KeyFile(readingFrom: path) else { return 0 }
            consume(file.header)
            return 0
        })

    /// A whole file when the first byte is even; else entries in a frame whose checks are right.
    static let journal = Fuzzer(
        name: "journal", byteCountMax: 2_048, seeds: { try Seeds.journals() },
        run: { start, count in
            let bytes = input(start, count)
            guard let kind = bytes.first else { return 0 }
            let rest = Array(bytes.dropFirst())
            let file = kind & 1 == 0 ? rest : Seeds.journalHeader + Seeds.frame(rest, at: Seeds.journalHeader.count)
            let path = scratch.appending(path: "journal").path(percentEncoded: false)
            guard (try? Data(file).write(to: URL(filePath: path))) != nil else { fatalError("no scratch folder") }
            let done = DispatchSemaphore(value: 0)
            Task {
                if let journal = try? await FileJournal.open(path) {
                    consume(try? await journal.records(request: SHA256.hash([])))
                    await journal.close()
                    guard let again = try? await FileJournal.open(path) else { fatalError("broken property: what opened once opens again") }
                    require(again.tornTail == nil, "a torn tail is cut for good")
                    await again.close()
                }
                done.signal()
            }
            done.wait()
            return 0
        })

    /// A folder of this process in memory where there is one.
    private static let scratch: URL = {
        let base = FileManager.default.fileExists(atPath: "/dev/shm") ? URL(filePath: "/dev/shm") : FileManager.default.temporaryDirectory
        let folder = base.appending(path: "chorale-fuzz-\(getpid())")
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(at: URL(filePath: "/dev/shm/chorale-fuzz-\(getpid())")) }
        return folder
    }()
}
