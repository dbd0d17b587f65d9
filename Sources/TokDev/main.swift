import Foundation
import JSON
import Models
import Glibc

// dev only: commands as JSON lines
func now() -> Double { var t = timespec(); clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9 }
var tok: (any Tokenizer)!
var parser = JSONParser()

func out(_ j: JSON) { FileHandle.standardOutput.write(Data((j.text + "\n").utf8)) }
while let line = readLine() {
    let c = try parser.parse(line.utf8)
    switch c["cmd"]!.string! {
    case "load":
        let path = c["path"]!.string!
        do {
            let t0 = now()
            if path.hasSuffix(".gguf") {
                let f = try GGUFFile(path: path)
                let t1 = now()
                tok = try TokenizerLoader.make(gguf: f.metadata)
                out(["ok": true, "read": .double(t1 - t0), "make": .double(now() - t1), "size": .int(Int64(tok.vocabularySize))])
            } else if path.hasSuffix(".json") {
                let j = try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
                let t1 = now()
                tok = try TokenizerLoader.make(tokenizerJSON: j)
                out(["ok": true, "read": .double(t1 - t0), "make": .double(now() - t1), "size": .int(Int64(tok.vocabularySize))])
            } else {
                tok = try TokenizerLoader.make(folder: path)
                out(["ok": true, "make": .double(now() - t0), "size": .int(Int64(tok.vocabularySize))])
            }
        } catch { out(["ok": false, "error": .string("\(error)")]) }
    case "encode":
        let ids = tok.encode(c["text"]!.string!, parseSpecial: c["special"]?.bool ?? true, addSpecial: c["add"]?.bool ?? false)
        out(.array(ids.map { .int(Int64($0)) }))
    case "decode":
        let ids = c["ids"]!.array!.map { Int32($0.int!) }
        let skip = c["skip"]?.bool ?? false
        var d = tok.makeStreamDecoder(skipSpecial: skip)
        var s = ids.map { d.push($0) }.joined(); s += d.finish()
        out(["text": .string(tok.decode(ids, skipSpecial: skip)), "stream": .string(s)])
    case "special":
        let s = tok.special
        out(.string("\(s)"))
    case "time":
        let text = c["file"] != nil ? String(decoding: try Data(contentsOf: URL(fileURLWithPath: c["file"]!.string!)), as: UTF8.self) : c["text"]!.string!
        let big = String(repeating: text, count: c["times"]?.int ?? 1)
        let t0 = now(); let n = tok.encode(big, parseSpecial: true, addSpecial: false).count
        let t1 = now(); let ids = tok.encode(big, parseSpecial: true, addSpecial: false); let t2 = now()
        let d = tok.decodeBytes(ids, skipSpecial: false).count; let t3 = now()
        var r = rusage(); getrusage(0, &r)
        out(["bytes": .int(Int64(big.utf8.count)), "ids": .int(Int64(n)), "s1": .double(t1 - t0), "s2": .double(t2 - t1), "MBs": .double(Double(big.utf8.count) / 1e6 / (t2 - t1)), "decodeMBs": .double(Double(d) / 1e6 / (t3 - t2)), "maxrssMB": .int(Int64(r.ru_maxrss / 1024))])
    default: out("?")
    }
}
