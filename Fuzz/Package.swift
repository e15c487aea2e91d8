// swift-tools-version: 6.2
import PackageDescription

// As in the main package: continuous integration's warnings are errors.
let strict: [SwiftSetting] = Context.environment["CHORALE_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)]

// One program with all fuzzers, so that one build makes them all. Fuzz/run builds it with libFuzzer and the address sanitizer.
let package = Package(
    name: "Fuzz",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "chorale", path: "..")],
    targets: [
        .target(name: "CLibFuzzer"),
        .executableTarget(
            name: "Fuzzers",
            dependencies: ["CLibFuzzer"]
                + ["LibP2P", "SigningNode", "SessionStore", "Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"].map {
                    .product(name: $0, package: "chorale")
                },
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
