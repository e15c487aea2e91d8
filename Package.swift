// swift-tools-version: 6.2
import PackageDescription

// Continuous integration sets CHORALE_STRICT; a newer compiler's new warning must not stop anybody else's build.
let strict: [SwiftSetting] = Context.environment["CHORALE_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)]

let package = Package(
    name: "chorale",
    platforms: [.macOS(.v26)],
    products: [
        .library(name: "CryptoPrimitives", targets: ["CryptoPrimitives"]),
        .library(name: "Secp256k1", targets: ["Secp256k1"]),
        .library(name: "MuSig2", targets: ["MuSig2"]),
        .library(name: "Bitcoin", targets: ["Bitcoin"]),
        .library(name: "Signing", targets: ["Signing"]),
        .library(name: "SessionStore", targets: ["SessionStore"]),
        .executable(name: "chorale", targets: ["chorale"]),
    ],
    targets: [
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"]), .brew(["libsodium"])]),
        .systemLibrary(name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.brew(["secp256k1"])]),
        .target(name: "CryptoPrimitives", dependencies: ["CSodium"], swiftSettings: strict),
        .target(name: "Secp256k1", dependencies: ["CSecp256k1", "CryptoPrimitives"], swiftSettings: strict),
        .target(name: "MuSig2", dependencies: ["CSecp256k1", "Secp256k1", "CryptoPrimitives"], swiftSettings: strict),
        .target(name: "Bitcoin", dependencies: ["MuSig2", "Secp256k1", "CryptoPrimitives"], swiftSettings: strict),
        .target(name: "Signing", dependencies: ["Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"], swiftSettings: strict),
        .target(
            name: "SessionStore", dependencies: ["Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"], swiftSettings: strict),
        .target(
            name: "CommandLineTool", dependencies: ["SessionStore", "Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"],
            swiftSettings: strict),
        .executableTarget(name: "chorale", dependencies: ["CommandLineTool"], swiftSettings: strict),

        // For tests only; nothing of the product links these.
        .target(name: "MuSig2Reference", dependencies: ["CryptoPrimitives"], path: "Tests/MuSig2Reference", swiftSettings: strict),
        .target(name: "TestVectors", dependencies: ["CryptoPrimitives"], path: "Tests/TestVectors", swiftSettings: strict),
        .testTarget(name: "CryptoPrimitivesTests", dependencies: ["CryptoPrimitives", "TestVectors"], swiftSettings: strict),
        .testTarget(
            name: "MuSig2ReferenceTests", dependencies: ["MuSig2Reference", "CryptoPrimitives", "TestVectors"], swiftSettings: strict),
        .testTarget(
            name: "MuSig2Tests", dependencies: ["MuSig2", "Secp256k1", "CryptoPrimitives", "MuSig2Reference", "TestVectors"],
            swiftSettings: strict),
        .testTarget(
            name: "BitcoinTests", dependencies: ["Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives", "TestVectors"], swiftSettings: strict
        ),
        .testTarget(
            name: "SigningTests", dependencies: ["Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives", "TestVectors"],
            swiftSettings: strict),
        .testTarget(
            name: "SessionStoreTests", dependencies: ["SessionStore", "Signing", "MuSig2", "Secp256k1", "CryptoPrimitives"],
            swiftSettings: strict),
        .testTarget(name: "CommandLineToolTests", dependencies: ["CommandLineTool", "TestVectors"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
