import JSON
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        "null", "true", "[]", "{}", "-9223372036854775808", "1.5", "\"a\\u0000\\\"b\"",
        "{\"b\":1,\"a\":[1,2.5,{\"x\":null}],\"é\":\"😀\"}",
    ])
    func roundTrips(_ text: String) throws {
        let value = try JSON(parsing: text)
        #expect(try JSON(parsing: value.text) == value)
    }

    @Test func keepsOrderAndRepeatedNames() throws {
        let value = try JSON(parsing: "{\"z\":1,\"a\":2,\"z\":3}")
        #expect(value.object?.names == ["z", "a", "z"])
        #expect(value.object?.repeatedNames == ["z"])
        #expect(value["z"]?.int == 3)
    }

    @Test func numbersStayExactOrSayNo() throws {
        #expect(try JSON(parsing: "3.0").int == 3)
        #expect(try JSON(parsing: "3.5").int == nil)
        #expect(try JSON(parsing: "9007199254740993").int == 9_007_199_254_740_993)
        #expect(try JSON(parsing: "true").int == nil)
        #expect(JSON.double(.nan).text == "null")
    }

    @Test(arguments: ["", "{", "[1,]", "{\"a\":1}x", "\"\u{1}\"", "nul", "{'a':1}"])
    func refusesWhatIsNotJSON(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: text) }
    }

    @Test func refusesBrokenUTF8() {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: [0x22, 0xC3, 0x28, 0x22]) }
    }

    @Test func largeObjectsAreIndexed() throws {
        var object = JSONObject((0..<100).map { ("k\($0)", .int(Int64($0))) })
        object["k5"] = nil
        object["new"] = true
        #expect(object["k5"] == nil)
        #expect(object["k99"]?.int == 99)
        #expect(object["new"]?.bool == true)
        #expect(object.count == 100)
    }
}
