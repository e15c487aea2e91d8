import Foundation
import Testing

@testable import CommandLineTool

@Suite struct TextTests {
    @Test func `JSON says again what was written, whatever the characters`() throws {
        let nasty = "quote \" backslash \\ tab \t line \n bell \u{7} escape \u{1b} C1 \u{9b} DEL \u{7f} é 日本 🔑 \u{2028} NUL \u{0}"
        let value = JSONValue.object([
            "text": .string(nasty), nasty: .null, "yes": .bool(true), "least": .integer(.min), "most": .unsigned(.max),
            "half": .number(0.5), "nothing": .number(.infinity), "list": .array([.integer(1), .array([]), .object([])]),
        ])
        let parsed = try #require(JSONSerialization.jsonObject(with: Data(value.text.utf8)) as? [String: Any])
        #expect(parsed["text"] as? String == nasty)
        #expect(parsed.keys.contains(nasty))
        #expect(parsed["yes"] as? Bool == true)
        #expect((parsed["least"] as? NSNumber)?.int64Value == .min)
        #expect((parsed["most"] as? NSNumber)?.uint64Value == .max)
        #expect(parsed["half"] as? Double == 0.5)
        #expect(parsed["nothing"] is NSNull)
        #expect((parsed["list"] as? [Any])?.count == 3)
        #expect(value.text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) })
    }

    @Test func `an object's members keep their order`() {
        #expect(JSONValue.object(["b": .integer(1), "a": .integer(2)]).text == #"{"b":1,"a":2}"#)
    }

    @Test func `amounts are shown in full`() {
        #expect(Amounts.bitcoin(0) == "0.00000000 BTC")
        #expect(Amounts.bitcoin(1) == "0.00000001 BTC")
        #expect(Amounts.bitcoin(2_100_000_000_000_000) == "21,000,000.00000000 BTC")
        #expect(Amounts.bitcoin(.max) == "184,467,440,737.09551615 BTC")
        #expect(Amounts.satoshi(1_234_567) == "1,234,567 sat")
        #expect(Amounts.grouped(-1_234) == "-1,234")
        #expect(Amounts.grouped(Int.min) == "-9,223,372,036,854,775,808")
        #expect(Amounts.feeRate(fee: 1_000, virtualSize: 111) == "9.00 sat/vB")
        #expect(Amounts.feeRate(fee: 1, virtualSize: 400) == "0.00 sat/vB")
        #expect(Amounts.count(1, "input") == "1 input")
        #expect(Amounts.count(0, "input") == "0 inputs")
    }

    @Test func `a stranger's text cannot command the terminal`() {
        #expect("a\u{1b}[31mb\u{202e}c\u{9b}d\ne".printable == "a\\u{1b}[31mb\\u{202e}c\\u{9b}d\\u{a}e")
        #expect("plain é 日本 🔑".printable == "plain é 日本 🔑")
    }

    @Test func `text is broken between words, and long words stay whole`() {
        #expect(TextLayout.lines(of: ["aaa", "bbb", "ccc"], width: 7) == ["aaa bbb", "ccc"])
        #expect(TextLayout.lines(of: ["aaaaaaaaaa", "b"], width: 5) == ["aaaaaaaaaa", "b"])
        #expect(TextLayout.lines(of: [], width: 5) == [])
        #expect(TextLayout.lines(of: ["a", "b"], width: 1, continuation: "  ") == ["a", "  b"])
    }

    @Test func `measurements are rounded to their decimals`() {
        #expect(Amounts.decimals(0.0625, 2) == "0.06")
        #expect(Amounts.decimals(1.006, 2) == "1.01")
        #expect(Amounts.decimals(12.999, 2) == "13.00")
        #expect(Amounts.decimals(-0.5, 1) == "-0.5")
        #expect(Amounts.decimals(2.6, 0) == "3")
        #expect(Amounts.decimals(.infinity, 2) == "inf")
    }
}
