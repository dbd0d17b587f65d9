/// Text as it lies on a terminal.
extension String {
    /// Columns that it takes: two for the wide characters of East Asia and for pictures.
    ///
    /// Source: https://www.unicode.org/reports/tr11/ (the blocks that are wide as a whole)
    var columns: Int { reduce(0) { $0 + $1.columns } }

    /// At most so many columns; what is cut ends in `…`.
    func fitted(to width: Int) -> String {
        guard columns > width else { return self }
        var (text, used) = ("", 0)
        for character in self {
            if used + character.columns > width - 1 { break }
            text.append(character)
            used += character.columns
        }
        return width > 0 ? text + "…" : ""
    }

    /// Names are their clients': what would move the cursor, or colour the rest, is shown as `?`.
    var shown: String {
        String(String.UnicodeScalarView(unicodeScalars.map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator, .surrogate: "?"
            // Directions that turn the rest of the line around.
            case .format where (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value):
                "?"
            default: scalar
            }
        }))
    }
}

extension Character {
    fileprivate var columns: Int {
        guard let scalar = unicodeScalars.first else { return 0 }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }
}
