import LibP2P
import Secp256k1
import Signing
import SigningNode

/// What signers say of themselves, for programs and for people.
enum SignerWords {
    // MARK: - For programs

    static func json(_ advertisement: SignerAdvertisement) -> JSONValue {
        var members: [(name: String, value: JSONValue)] = [
            ("public_keys", .array(advertisement.signers.map { .string("\($0)") })),
            ("peer_id", .string("\(PeerID(of: advertisement.identity))")), ("network", .string(advertisement.network.rawValue)),
            ("created", .unsigned(advertisement.createdAt)), ("expiry", .unsigned(advertisement.expiry)),
        ]
        if let offer = advertisement.offer {
            members += [
                ("nickname", .string(offer.nickname)), ("details", .string(offer.details)),
                ("kinds", .array(offer.kinds.names.map(JSONValue.string))), ("least", .unsigned(offer.amounts.lowerBound)),
                // No amount is as large as the largest number: it says that there is no bound.
                ("most", offer.amounts.upperBound == .max ? .null : .unsigned(offer.amounts.upperBound)),
                ("fee", .unsigned(offer.fee.flat)), ("fee_ppm", .unsigned(UInt64(offer.fee.partsPerMillion))),
                ("response_seconds", offer.responseSeconds == 0 ? .null : .unsigned(UInt64(offer.responseSeconds))),
                ("addresses", .array(offer.addresses.map { .string("\($0)") })),
            ]
        }
        return .object(members)
    }

    static func json(_ announcement: PublicAnnouncement) -> JSONValue {
        .object([
            "public_key": .string("\(announcement.enrolment.signer)"),
            "peer_id": .string("\(PeerID(of: announcement.enrolment.identity))"), "request": .string("\(announcement.request)"),
            "request_expiry": .unsigned(announcement.requestExpiry), "kinds": .array(announcement.kinds.names.map(JSONValue.string)),
            "amount": .unsigned(announcement.amount), "wanted_count": .unsigned(UInt64(announcement.wantedCount)),
            "note": .string(announcement.note), "addresses": .array(announcement.addresses.map { .string("\($0)") }),
        ])
    }

    // MARK: - For people

    /// One line, of which strangers chose the texts: whoever prints it makes it printable.
    static func line(_ advertisement: SignerAdvertisement, _ names: SignerNames) -> String {
        let signers = advertisement.signers.map(names.short).joined(separator: ", ")
        guard let offer = advertisement.offer else { return signers }
        let nickname = offer.nickname.isEmpty ? "" : "  “\(offer.nickname)”"
        return "\(signers)\(nickname)  \(Self.kinds(offer.kinds))  \(Self.amounts(offer.amounts))  \(Self.fee(offer.fee))"
    }

    static func line(_ announcement: PublicAnnouncement, _ names: SignerNames) -> String {
        let count = Amounts.count(Int(announcement.wantedCount), "signer")
        let note = announcement.note.isEmpty ? "" : "  “\(announcement.note)”"
        return "\(names.short(announcement.enrolment.signer)) wants \(count)  \(Self.kinds(announcement.kinds))  "
            + "\(Amounts.bitcoin(announcement.amount))\(note)"
    }

    private static func kinds(_ kinds: TransactionKinds) -> String {
        kinds.names.isEmpty ? "(kinds that this version does not know)" : kinds.names.joined(separator: ",")
    }

    private static func amounts(_ amounts: ClosedRange<UInt64>) -> String {
        switch (amounts.lowerBound, amounts.upperBound) {
        case (0, .max): "any amount"
        case (0, let most): "up to \(Amounts.bitcoin(most))"
        case (let least, .max): "from \(Amounts.bitcoin(least))"
        case (let least, let most): "\(Amounts.bitcoin(least)) to \(Amounts.bitcoin(most))"
        }
    }

    static func fee(_ fee: SignerOffer.Fee) -> String {
        switch (fee.flat, fee.partsPerMillion) {
        case (0, 0): "no fee"
        case (let flat, 0): Amounts.satoshi(flat)
        case (0, let share): "\(Amounts.grouped(share)) ppm"
        case (let flat, let share): "\(Amounts.satoshi(flat)) and \(Amounts.grouped(share)) ppm"
        }
    }
}
