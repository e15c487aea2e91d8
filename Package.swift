// swift-tools-version: 6.2
import PackageDescription

// Continuous integration sets CHORALE_STRICT; a newer compiler's new warning must not stop anybody else's build.
let isStrict = Context.environment["CHORALE_STRICT"] != nil
let strict: [SwiftSetting] = isStrict ? [.treatAllWarnings(as: .error)] : []
let strictC: [CSetting] = isStrict ? [.treatAllWarnings(as: .error)] : []

// What each module may import: arrows run one way, downwards (ARCHITECTURE.md).
let cryptoPrimitives: [Target.Dependency] = ["CryptoPrimitives"]
let secp256k1: [Target.Dependency] = cryptoPrimitives + ["Secp256k1"]
let libP2P: [Target.Dependency] = secp256k1 + ["LibP2P"]
let musig2: [Target.Dependency] = secp256k1 + ["MuSig2"]
let bitcoin: [Target.Dependency] = musig2 + ["Bitcoin"]
let signing: [Target.Dependency] = bitcoin + ["Signing"]
let sessionStore: [Target.Dependency] = signing + ["SessionStore"]
let signingNode: [Target.Dependency] = sessionStore + ["LibP2P", "LibP2PPosix", "SigningNode"]

func module(_ name: String, imports dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// For tests only; nothing of the product links these, nor does any of the package's products.
func support(_ name: String, imports dependencies: [Target.Dependency], optimized: Bool = false) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Tests/\(name)",
        swiftSettings: strict + (optimized ? [.unsafeFlags(["-O"], .when(configuration: .debug))] : []))
}

func tests(_ name: String, imports dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestVectors"], swiftSettings: strict)
}

let package = Package(
    name: "chorale",
    platforms: [.macOS(.v26)],
    products: [
        .library(name: "CryptoPrimitives", targets: ["CryptoPrimitives"]),
        .library(name: "Secp256k1", targets: ["Secp256k1"]),
        .library(name: "MuSig2", targets: ["MuSig2"]),
        .library(name: "Bitcoin", targets: ["Bitcoin"]),
        .library(name: "LibP2P", targets: ["LibP2P"]),
        .library(name: "LibP2PPosix", targets: ["LibP2PPosix"]),
        .library(name: "SimulationKit", targets: ["SimulationKit"]),
        .library(name: "Signing", targets: ["Signing"]),
        .library(name: "SessionStore", targets: ["SessionStore"]),
        .library(name: "SigningNode", targets: ["SigningNode"]),
        .executable(name: "chorale", targets: ["chorale"]),
    ],
    targets: [
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"]), .brew(["libsodium"])]),
        .systemLibrary(name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.brew(["secp256k1"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite"])]),

        module("CryptoPrimitives", imports: ["CSodium"]),
        module("Secp256k1", imports: cryptoPrimitives + ["CSecp256k1"]),
        module("MuSig2", imports: secp256k1 + ["CSecp256k1"]),
        module("Bitcoin", imports: musig2),
        module("LibP2P", imports: secp256k1),
        module("LibP2PPosix", imports: libP2P),
        module("SigningNode", imports: sessionStore + ["LibP2P", "LibP2PPosix"]),
        module("SimulationKit", imports: signingNode),
        module("Signing", imports: bitcoin),
        module("SessionStore", imports: signing + ["CSQLite"]),
        module("CommandLineTool", imports: signingNode + ["SimulationKit"]),
        .executableTarget(name: "chorale", dependencies: ["CommandLineTool"], swiftSettings: strict),

        .target(name: "CTestSupport", path: "Tests/CTestSupport", cSettings: strictC),
        .target(name: "CFaultyDisk", dependencies: ["CSQLite"], path: "Tests/CFaultyDisk", cSettings: strictC),
        support("TestVectors", imports: cryptoPrimitives),
        // Plain arithmetic, thousands of cases of it: minutes when not optimised, seconds when it is.
        support("MuSig2Reference", imports: cryptoPrimitives, optimized: true),
        support("SigningTestSupport", imports: sessionStore + ["MuSig2Reference"]),
        .executableTarget(
            name: "JournalCrashHelper", dependencies: sessionStore + ["SigningTestSupport", "CFaultyDisk"],
            path: "Tests/JournalCrashHelper",
            swiftSettings: strict),
        .executableTarget(name: "LoadPeer", dependencies: libP2P + ["LibP2PPosix"], path: "Tests/LoadPeer", swiftSettings: strict),

        tests("CryptoPrimitivesTests", imports: cryptoPrimitives + ["CTestSupport", "CSodium"]),
        tests("Secp256k1Tests", imports: secp256k1 + ["CSecp256k1"]),
        tests("MuSig2ReferenceTests", imports: cryptoPrimitives + ["MuSig2Reference"]),
        tests("MuSig2Tests", imports: musig2 + ["CSecp256k1", "MuSig2Reference"]),
        tests("BitcoinTests", imports: bitcoin),
        tests("LibP2PTests", imports: libP2P + ["CSecp256k1"]),
        tests("LibP2PMuxerTests", imports: libP2P),
        tests("LibP2PWebSocketTests", imports: libP2P),
        tests("LibP2PPosixTests", imports: libP2P + ["LibP2PPosix", "CTestSupport"]),
        tests("LibP2PSwarmTests", imports: libP2P),
        tests("SimulationKitTests", imports: signingNode + ["SimulationKit"]),
        tests("LibP2PServicesTests", imports: libP2P),
        tests("LibP2PPubSubTests", imports: libP2P),
        tests("LibP2PKadTests", imports: libP2P),
        tests("SigningTests", imports: signing + ["SigningTestSupport", "MuSig2Reference"]),
        tests("SessionStoreTests", imports: sessionStore + ["SigningTestSupport", "JournalCrashHelper", "CFaultyDisk"]),
        tests("SigningNodeTests", imports: signingNode + ["SigningTestSupport"]),
        tests("CommandLineToolTests", imports: signingNode + ["CommandLineTool", "CTestSupport"]),
    ],
    swiftLanguageModes: [.v6]
)
