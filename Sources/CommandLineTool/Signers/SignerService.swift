import LibP2P
import Secp256k1
import Signing
import SigningNode

// Signers who advertise.

extension NodeService {
    /// The signers that a command looks for, each as it is told to programs and with a line for people.
    func findSigners(_ request: NodeRequest) async throws(ControlError) -> [JSONValue] {
        var query = SignerQuery()
        if try request.optionalText("signer") != nil { query.signer = try request.key("signer") }
        query.kinds = try Self.kinds(in: request)
        query.amount = try request.optionalInteger("amount", Self.amounts).map(UInt64.init)
        query.feeMax = try request.optionalInteger("fee_max", Self.amounts).map(UInt64.init)
        query.responseSecondsMax = try request.optionalInteger("response_seconds", 1...Int(UInt32.max)).map { UInt32(clamping: $0) }
        let found: [SignerAdvertisement]
        do throws(SigningNodeError) {
            found = try await self.node.findSigners(matching: query, asksTable: !request.isOn("is_local"))
        } catch { throw Self.failure(error) }
        var shown: [JSONValue] = []
        for advertisement in found {
            guard case .object(let members) = SignerWords.json(advertisement) else { continue }
            let names = try await self.names(of: advertisement.signers)
            let isOwn = advertisement.identity == self.node.enrolment.identity
            shown.append(
                .object(members + [("is_own", .bool(isOwn)), ("text", .string(SignerWords.line(advertisement, names)))]))
        }
        return shown
    }

    func advertise(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let (least, most) = (
            try request.optionalInteger("least", Self.amounts) ?? 0, try request.optionalInteger("most", Self.amounts)
        )
        guard least <= most ?? least else { throw .failed("the least amount is above the most") }
        let fee = SignerOffer.Fee(
            flat: UInt64(try request.optionalInteger("fee", Self.amounts) ?? 0),
            partsPerMillion: UInt32(clamping: try request.optionalInteger("fee_ppm", 0...1_000_000) ?? 0))
        let response = try request.optionalInteger("response_seconds", 0...Int(UInt32.max)) ?? 0
        let life = try request.optionalInteger("seconds", 1...Int(SignerAdvertisement.lifeMax)) ?? Int(SignerAdvertisement.lifeMax)
        let offer: SignerOffer
        do throws(SignerOfferError) {
            offer = try SignerOffer(
                kinds: try Self.kindsToOffer(in: request), amounts: UInt64(least)...(most.map { UInt64($0) } ?? .max),
                nickname: Self.text("nickname", in: request), details: Self.text("details", in: request), fee: fee,
                responseSeconds: UInt32(clamping: response))
        } catch { throw .failed("\(error)") }
        do throws(SigningNodeError) { return Self.json(try await self.node.advertise(offer, life: UInt64(life))) } catch {
            throw Self.failure(error)
        }
    }

    func withdrawAdvertisement() async throws(ControlError) -> JSONValue {
        do throws(SigningNodeError) { return Self.json(try await self.node.withdrawAdvertisement()) } catch { throw Self.failure(error) }
    }

    /// All bitcoin there can be, in satoshi.
    static let amounts = 0...2_100_000_000_000_000

    private static func json(_ report: AdvertisementReport) -> JSONValue {
        guard case .object(let members) = SignerWords.json(report.advertisement) else { return .null }
        return .object(
            members + [("told_peers", .integer(report.peerCount)), ("kept_by", .integer(report.holderCount))])
    }

    private static func text(_ name: String, in request: NodeRequest) -> String { (try? request.optionalText(name)) ?? "" }

    private static func kinds(in request: NodeRequest) throws(ControlError) -> TransactionKinds {
        var kinds: TransactionKinds = []
        for name in request.texts("kinds") {
            guard let known = TransactionKinds.named.first(where: { $0.name == name }) else {
                throw .failed(
                    "there is no kind of transaction \(name.printable): \(TransactionKinds.named.map(\.name).joined(separator: ", "))")
            }
            kinds.insert(known.kind)
        }
        return kinds
    }

    static func kindsToOffer(in request: NodeRequest) throws(SignerOfferError) -> TransactionKinds {
        do throws(ControlError) { return try Self.kinds(in: request) } catch { throw .invalid(error.message) }
    }
}
