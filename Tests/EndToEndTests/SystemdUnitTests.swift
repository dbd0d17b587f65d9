import Foundation
import Testing

/// `make install`, and what the service manager's own tools say of the units. No service manager runs here, and none
/// is started.
@Suite struct SystemdUnitTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let services = ["millrace-worker@.service", "millrace-forwarder.service"]
    static let all = services + ["millrace.target"]

    /// Where a test installs to.
    struct Place {
        let scratch: Scratch
        var units: String { scratch.url.path + "/units" }

        init() throws { scratch = try Scratch() }

        func make(_ target: String) throws -> (status: Int32, output: String) {
            let base = scratch.url.path
            return try Place.run(
                "make", "-s", "-C", SystemdUnitTests.root.path, target, "BIN=\(MillraceProcess.binary.path)",
                "PREFIX=\(base)/usr", "SYSCONFDIR=\(base)/etc", "UNITDIR=\(units)")
        }

        static func run(_ arguments: String...) throws -> (status: Int32, output: String) {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = arguments
            let plain = ["SYSTEMD_PAGER": "", "LC_ALL": "C"]
            process.environment = ProcessInfo.processInfo.environment.merging(plain) { $1 }
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = pipe
            try process.run()
            let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: output, as: UTF8.self))
        }
    }

    @Test func installsAndUninstalls() throws {
        let place = try Place()
        let installed = try place.make("install")
        #expect(installed.status == 0, "\(installed.output)")
        let base = place.scratch.url.path
        let ran = try Place.run("\(base)/usr/bin/millrace", "--version")
        #expect(ran.status == 0, "\(ran.output)")
        let unit = try String(contentsOfFile: place.units + "/millrace-worker@.service", encoding: .utf8)
        #expect(unit.contains("ExecStart=\(base)/usr/bin/millrace worker --config \(base)/etc/millrace/worker/%i.conf"))
        let keys = try FileManager.default.attributesOfItem(atPath: "\(base)/etc/millrace/keys")
        #expect(keys[.posixPermissions] as? Int == 0o700)
        #expect(try place.make("uninstall").status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.units).isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "\(base)/usr/bin/millrace"))
    }

    /// Unknown keys and wrong values are only told in the output.
    @Test(arguments: all) func isWellFormed(_ unit: String) throws {
        let place = try Place()
        try #require(try place.make("install").status == 0)
        let verified = try Place.run(
            "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", "\(place.units)/\(unit)")
        #expect(verified.status == 0)
        #expect(verified.output == "")
    }

    /// That the check above can fail.
    @Test func anUnknownKeyIsFound() throws {
        let place = try Place()
        try #require(try place.make("install").status == 0)
        let path = place.units + "/millrace-worker@.service"
        let unit = try String(contentsOfFile: path, encoding: .utf8)
        try unit.replacing("WatchdogSec=", with: "WatchdogSecs=").write(toFile: path, atomically: true, encoding: .utf8)
        let verified = try Place.run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", path)
        #expect(verified.output.contains("WatchdogSecs"))
    }

    @Test(arguments: services) func exposesLittle(_ unit: String) throws {
        let rated = try Place.run(
            "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
            Self.root.appending(path: "systemd/\(unit)").path)
        #expect(rated.status == 0, "\(rated.output)")
        #expect(rated.output.contains("Overall exposure level"))
    }

    /// With the drop-in for GPUs too.
    @Test func aGPUExposesLittleMore() throws {
        let place = try Place()
        try #require(try place.make("install").status == 0)
        let folder = place.units + "/millrace-worker@.service.d"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: Self.root.appending(path: "systemd/examples/gpu.conf").path, toPath: folder + "/gpu.conf")
        let path = place.units + "/millrace-worker@.service"
        let verified = try Place.run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", path)
        #expect(verified.output == "")
        let rated = try Place.run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", path)
        #expect(rated.status == 0, "\(rated.output)")
        #expect(rated.output.contains("PrivateDevices"))
    }

    /// The example is a configuration that the worker takes.
    @Test func theExampleIsUnderstood() throws {
        let scratch = try Scratch()
        let text = try String(contentsOf: Self.root.appending(path: "systemd/examples/worker.conf"), encoding: .utf8)
        // Also what stands there as a comment.
        let lines = text.split(separator: "\n").map { line in
            line.hasPrefix("#") && !line.hasPrefix("# ") ? String(line.dropFirst()) : String(line)
        }
        let config = try scratch.write("w.conf", lines.joined(separator: "\n"))
        let ended = try MillraceProcess.run(["worker", "--config", config], in: scratch.url)
        // All that is wrong is that there is no such model.
        #expect(ended.status == 3, "\(ended.errors)")
        #expect(ended.errors.contains("/srv/models/smollm2.gguf"))
    }
}
