/// Numbers as people read them at a glance.
extension Int {
    /// `12,345`
    var grouped: String {
        var text = ""
        for (index, digit) in String(magnitude).enumerated() {
            if index > 0, (String(magnitude).count - index).isMultiple(of: 3) { text += "," }
            text.append(digit)
        }
        return (self < 0 ? "-" : "") + text
    }

    /// Of billionths of a dollar: `$1,204.50`, `$0.000034`; cents at least, and as many digits as say it exactly.
    package var dollars: String {
        let unit = 1_000_000_000
        var fraction = String((magnitude % UInt(unit)) + UInt(unit)).dropFirst()
        while fraction.count > 2, fraction.last == "0" { fraction.removeLast() }
        return (self < 0 ? "-$" : "$") + abs(self / unit).grouped + "." + fraction
    }
}

extension Double {
    /// Three digits that count: `4.2`, `345`, `12.3k`.
    var brief: String {
        switch self {
        case ..<9.95: decimal(1)
        case ..<999.5: decimal(0)
        case ..<99_950: (self / 1000).decimal(1) + "k"
        case ..<999_500: (self / 1000).decimal(0) + "k"
        default: (self / 1_000_000).decimal(1) + "M"
        }
    }

    /// The same of a number of things.
    var whole: String { self < 999.5 ? String(Int(rounded())) : brief }

    /// With 0 or 1 digits behind the point.
    private func decimal(_ digits: Int) -> String {
        let text = String((self * (digits == 0 ? 1 : 10)).rounded() / (digits == 0 ? 1 : 10))
        return digits == 0 && text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}

extension Duration {
    init(milliseconds: Int64) { self = .milliseconds(milliseconds) }

    /// `4.2 s`, `42 s`, `3m05s`, `2h03m`, `5d04h`
    var text: String {
        let tenths = (Double(components.seconds) + Double(components.attoseconds) / 1e18) * 10
        if tenths < 99.5 { return "\(tenths.rounded() / 10) s" }
        let seconds = Int((tenths / 10).rounded())
        switch seconds {
        case ..<100: return "\(seconds) s"
        case ..<3600: return Self.pair(seconds / 60, "m", seconds % 60, "s")
        case ..<86_400: return Self.pair(seconds / 3600, "h", seconds % 3600 / 60, "m")
        default: return Self.pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h")
        }
    }

    private static func pair(_ large: Int, _ unit: String, _ small: Int, _ smallUnit: String) -> String {
        "\(large)\(unit)\(small < 10 ? "0" : "")\(small)\(smallUnit)"
    }
}
