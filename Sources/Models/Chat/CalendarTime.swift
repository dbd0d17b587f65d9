import Foundation

/// A date and time on the wall, for templates that print today's.
package struct CalendarTime: Sendable, Equatable {
    package var year: Int
    package var month: Int
    package var day: Int
    package var hour: Int
    package var minute: Int
    package var second: Int

    package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        precondition((1...12).contains(month) && (1...31).contains(day) && year > 0, "no such day")
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
    }

    /// The time in `timeZone` at `date`.
    package init(_ date: Date, in timeZone: TimeZone = .current) {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = timeZone
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: date)
        self.init(
            year: parts.year ?? 1970, month: parts.month ?? 1, day: parts.day ?? 1, hour: parts.hour ?? 0,
            minute: parts.minute ?? 0, second: parts.second ?? 0)
    }

    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
    ]
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November",
        "December",
    ]

    private var isLeapYear: Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    /// From 1.
    private var dayOfYear: Int {
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        return before[month - 1] + day + (month > 2 && isLeapYear ? 1 : 0)
    }

    /// 0 is Sunday.
    private var weekday: Int {
        let before = year - 1
        return (before + before / 4 - before / 100 + before / 400 + dayOfYear) % 7
    }

    /// ISO 8601's year and week.
    private var isoWeek: (year: Int, week: Int) {
        let thursday = dayOfYear + 4 - (weekday + 6) % 7 - 1
        if thursday < 1 {
            let end = CalendarTime(year: year - 1, month: 12, day: 31)
            return (year - 1, (end.dayOfYear + thursday - 1) / 7 + 1)
        }
        let daysInYear = isLeapYear ? 366 : 365
        return thursday > daysInYear ? (year + 1, 1) : (year, (thursday - 1) / 7 + 1)
    }

    /// As C's `strftime` in the C locale, with glibc's flags `-`, `_`, `0` and `^`.
    func formatted(_ format: String) throws(TemplateError) -> String {
        var out = ""
        var rest = Substring(format).unicodeScalars
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                out.unicodeScalars.append(scalar)
                continue
            }
            var flag: Unicode.Scalar?
            while let next = rest.first, ["-", "_", "0", "^"].contains(next) { flag = rest.removeFirst() }
            guard let directive = rest.popFirst() else {
                out += "%"
                break
            }
            out += try text(of: directive, flag)
        }
        return out
    }

    private func text(of directive: Unicode.Scalar, _ flag: Unicode.Scalar?) throws(TemplateError) -> String {
        if let (value, width, pad) = number(for: directive) { return Self.padded(value, width, pad, flag) }
        let text: String
        switch directive {
        case "a": text = String(Self.weekdays[weekday].prefix(3))
        case "A": text = Self.weekdays[weekday]
        case "b", "h": text = String(Self.months[month - 1].prefix(3))
        case "B": text = Self.months[month - 1]
        case "p": text = hour < 12 ? "AM" : "PM"
        case "P": text = hour < 12 ? "am" : "pm"
        case "c": text = try formatted("%a %b %e %H:%M:%S %Y")
        case "D", "x": text = try formatted("%m/%d/%y")
        case "F": text = try formatted("%Y-%m-%d")
        case "R": text = try formatted("%H:%M")
        case "r": text = try formatted("%I:%M:%S %p")
        case "T", "X": text = try formatted("%H:%M:%S")
        case "f": text = "000000"
        case "n": text = "\n"
        case "t": text = "\t"
        case "z", "Z": text = ""
        case "%": text = "%"
        default:
            throw TemplateError(.unsupported, "strftime_now does not support %\(directive)")
        }
        return flag == "^" ? text.uppercased() : text
    }

    private func number(for directive: Unicode.Scalar) -> (value: Int, width: Int, pad: Character)? {
        switch directive {
        case "C": (year / 100, 2, "0")
        case "d": (day, 2, "0")
        case "e": (day, 2, " ")
        case "g": (isoWeek.year % 100, 2, "0")
        case "G": (isoWeek.year, 4, "0")
        case "H": (hour, 2, "0")
        case "I": ((hour + 11) % 12 + 1, 2, "0")
        case "j": (dayOfYear, 3, "0")
        case "k": (hour, 2, " ")
        case "l": ((hour + 11) % 12 + 1, 2, " ")
        case "m": (month, 2, "0")
        case "M": (minute, 2, "0")
        case "S": (second, 2, "0")
        case "u": ((weekday + 6) % 7 + 1, 1, "0")
        case "U": ((dayOfYear + 6 - weekday) / 7, 2, "0")
        case "V": (isoWeek.week, 2, "0")
        case "w": (weekday, 1, "0")
        case "W": ((dayOfYear + 6 - (weekday + 6) % 7) / 7, 2, "0")
        case "y": (year % 100, 2, "0")
        case "Y": (year, 1, "0")
        default: nil
        }
    }

    private static func padded(_ value: Int, _ width: Int, _ pad: Character, _ flag: Unicode.Scalar?)
        -> String
    {
        let digits = String(value)
        let filling: Character = flag == "_" ? " " : flag == "0" ? "0" : pad
        if flag == "-" { return digits }
        return String(repeating: filling, count: max(0, width - digits.count)) + digits
    }
}
