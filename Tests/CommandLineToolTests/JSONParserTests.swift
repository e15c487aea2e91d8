import Testing

@testable import CommandLineTool

@Suite struct JSONParserTests {
    private static func parse(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

    @Test(arguments: [
        #"null"#, #"true"#, #"false"#, #"0"#, #"-1"#, #"18446744073709551615"#, #"-9223372036854775808"#, #"1.5"#, #""""#, #"[]"#, #"{}"#,
        #"{"a":[1,{"b":null}],"":"ä\n\"\\\u0001"}"#,
    ])
    func `what the writer writes is read as the same`(text: String) throws {
        #expect(try Self.parse(text).text == text)
    }

    @Test func `white space may stand between all parts`() throws {
        #expect(try Self.parse(" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } ").text == #"{"a":[1,2],"b":{}}"#)
    }

    @Test func `escapes stand for characters, halves for one together`() throws {
        #expect(try Self.parse(#""\/\b\f\n\r\t\u00e4\ud83d\ude00\u0000""#).text == Self.parse("\"/\\b\\f\\n\\r\\tä😀\\u0000\"").text)
    }

    @Test func `numbers keep what their kind can hold`() throws {
        guard case .integer(9_223_372_036_854_775_807) = try Self.parse("9223372036854775807") else { throw Wrong() }
        guard case .unsigned(9_223_372_036_854_775_808) = try Self.parse("9223372036854775808") else { throw Wrong() }
        guard case .number(-0.25e2) = try Self.parse("-2.5E+1") else { throw Wrong() }
        guard case .number(1e20) = try Self.parse("100000000000000000000") else { throw Wrong() }
    }

    private struct Wrong: Error {}

    @Test(arguments: [
        "", " ", "nul", "truefalse", "True", "01", "-", "+1", ".5", "1.", "1e", "1e+", "1e999", "0x10", "NaN", "\"", "\"\\\"", "\"\\x\"",
        "\"\\u12\"", "\"\\u+123\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "[", "[1", "[1,]", "[,1]", "[1 2]", "]",
        "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1,\"a\":2}", "1 2", "{} x", "'a'",
    ])
    func `what is no JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try Self.parse(text) }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xff, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xed, 0xa0, 0x80, 0x22]) }
    }

    @Test func `depth has a bound, for each level takes a part of the stack`() throws {
        let deep = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(throws: Never.self) { try Self.parse(deep(32)) }
        #expect(throws: JSONError.self) { try Self.parse(deep(33)) }
        #expect(throws: JSONError.self) { try Self.parse(String(repeating: "[", count: 1_000_000)) }
    }

    @Test(arguments: UInt64(0)..<200)
    func `changed bytes end in a value or an error`(seed: UInt64) {
        var generator = Linear(state: seed)
        var bytes = Array(#"{"id":1,"cmd":"stream","proto":["/a\u00e4","/b"],"n":-1.5e3,"t":[true,false,null,{"x":""}]}"#.utf8)
        for _ in 0...Int.random(in: 0..<6, using: &generator) {
            let index = Int.random(in: bytes.indices, using: &generator)
            switch Int.random(in: 0..<3, using: &generator) {
            case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
            case 1: bytes.remove(at: index)
            default: bytes.removeSubrange(index...)
            }
            if bytes.isEmpty { break }
        }
        if let value = try? JSONValue(parsing: bytes) {
            // What could be read can be written, and read again.
            #expect((try? JSONValue(parsing: Array(value.text.utf8)))?.text == value.text)
        }
    }

    private struct Linear: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (self.state ^ self.state >> 29) &* 0x9e37_79b9_7f4a_7c15
        }
    }
}
