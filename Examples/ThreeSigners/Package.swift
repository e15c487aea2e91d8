// swift-tools-version: 6.2
import PackageDescription

// As in the main package: continuous integration's warnings are errors.
let strict: [SwiftSetting] = Context.environment["CHORALE_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)]

let package = Package(
    name: "ThreeSigners",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "chorale", path: "../..")],
    targets: [
        .executableTarget(
            name: "ThreeSigners",
            dependencies: ["Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"].map { .product(name: $0, package: "chorale") },
            swiftSettings: strict)
    ],
    swiftLanguageModes: [.v6]
)
