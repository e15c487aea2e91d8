internal import CSecp256k1
internal import CryptoPrimitives
internal import Synchronization

/// The one libsecp256k1 context of the process.
package enum Context {
    // Unsafe only because the compiler does not know what the pointer points at. It is made and blinded by the initializer of a static,
    // which runs once before anybody has it; the three calls in there are the only ones of the project that change a context. From then
    // on it is only read, which the library allows from any number of threads ("secp256k1.h", on contexts).
    /// Made and blinded once; from then on only read.
    package nonisolated(unsafe) static let shared: OpaquePointer = {
        guard let context = secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE)) else {
            preconditionFailure("libsecp256k1 could not make a context: out of memory")
        }
        // Without this the library ends the process on arguments that it holds for illegal. With it such a call returns 0,
        // and every caller here turns a 0 into a typed error.
        secp256k1_context_set_illegal_callback(context, { _, _ in Context.illegalArguments.add(1, ordering: .relaxed) }, nil)
        // Blinds secret-dependent arithmetic against side channels; the library allows the seed to be any 32 bytes.
        // Who knows the seed can take the blinding away, so nothing of it stays.
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { seed in
            SystemRandom.fill(seed)
            _ = secp256k1_context_randomize(context, seed.bytePointer)
            SecretMemory.wipe(UnsafeMutableRawPointer(seed.bytePointer), byteCount: 32)
        }
        return context
    }()

    private static let illegalArguments = Atomic<Int>(0)

    /// How often the library refused arguments as illegal: the tests' proof that the callback is there and what reached it.
    package static var illegalArgumentCount: Int { self.illegalArguments.load(ordering: .relaxed) }
}
