// swift-tools-version: 6.2
import PackageDescription

// As in the main package: continuous integration's warnings are errors.
let isStrict = Context.environment["CHORALE_STRICT"] != nil
let strict: [SwiftSetting] = isStrict ? [.treatAllWarnings(as: .error)] : []
let strictC: [CSetting] = isStrict ? [.treatAllWarnings(as: .error)] : []

let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "chorale", path: "..")],
    targets: [
        // The project's own module maps are not its products, so the C side has its own.
        .systemLibrary(name: "CLibsecp256k1", pkgConfig: "libsecp256k1"),
        .systemLibrary(name: "CLibsodium", pkgConfig: "libsodium"),
        // The same work in plain C, in its own loops: what the Swift API is measured against.
        .target(name: "CBaseline", dependencies: ["CLibsecp256k1", "CLibsodium"], cSettings: strictC),
        .executableTarget(
            name: "Benchmarks",
            dependencies: ["CBaseline"]
                + [
                    "SimulationKit", "SigningNode", "LibP2P", "SessionStore", "Signing", "Bitcoin", "MuSig2", "Secp256k1",
                    "CryptoPrimitives",
                ].map { .product(name: $0, package: "chorale") },
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
