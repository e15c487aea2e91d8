// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "ThreeSigners",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "chorale", path: "../..")],
    targets: [
        .executableTarget(
            name: "ThreeSigners",
            dependencies: ["Signing", "Bitcoin", "MuSig2", "Secp256k1", "CryptoPrimitives"].map { .product(name: $0, package: "chorale") })
    ],
    swiftLanguageModes: [.v6]
)
