// The methods of Python's `str` (https://docs.python.org/3/library/stdtypes.html#string-methods).
extension TemplateText {
    enum Method {
        case strip(Side)
        case split(Direction)
        case partition(Direction)
        case find(Direction)
        case index(Direction)
        case justify(toLeft: Bool)
        case affix(isPrefix: Bool)
        case remove(isPrefix: Bool)
        case change(@Sendable (TemplateText) -> TemplateText)
        case ask(@Sendable (TemplateText) -> Bool)
        case center, count, expandTabs, format, formatMap, join, replace, splitLines, fillZeros
        case unsupported

        /// Looks at the text at most once, and makes no more than one copy.
        var isCheap: Bool {
            switch self {
            case .strip, .affix, .remove, .ask, .format, .formatMap: true
            default: false
            }
        }
    }

    static let methods: [TemplateText: Method] = [
        "strip": .strip(.both), "lstrip": .strip(.left), "rstrip": .strip(.right),
        "split": .split(.forward), "rsplit": .split(.backward),
        "partition": .partition(.forward), "rpartition": .partition(.backward),
        "find": .find(.forward), "rfind": .find(.backward), "index": .index(.forward),
        "rindex": .index(.backward),
        "ljust": .justify(toLeft: true), "rjust": .justify(toLeft: false),
        "startswith": .affix(isPrefix: true), "endswith": .affix(isPrefix: false),
        "removeprefix": .remove(isPrefix: true), "removesuffix": .remove(isPrefix: false),
        "upper": .change { $0.uppercased() }, "lower": .change { $0.lowercased() },
        "capitalize": .change { $0.capitalized() }, "title": .change { $0.titled() },
        "swapcase": .change { $0.swappedCase() },
        "isalnum": .ask { $0.allScalars(\.isPythonAlphanumeric) },
        "isalpha": .ask { $0.allScalars(\.isPythonAlpha) },
        "isascii": .ask { $0.string.utf8.allSatisfy { $0 < 0x80 } },
        "isdecimal": .ask { $0.allScalars { $0.properties.numericType == .decimal } },
        "isdigit": .ask { $0.allScalars(\.isPythonDigit) },
        "isnumeric": .ask { $0.allScalars { $0.properties.numericType != nil } },
        "isspace": .ask { $0.allScalars(\.isPythonSpace) }, "isidentifier": .ask(\.isIdentifier),
        "isprintable": .ask { $0.isEmpty || $0.allScalars(\.isPythonPrintable) },
        "islower": .ask(\.isLower), "isupper": .ask(\.isUpper), "istitle": .ask(\.isTitle),
        "center": .center, "count": .count, "expandtabs": .expandTabs, "format": .format,
        "format_map": .formatMap,
        "join": .join, "replace": .replace, "splitlines": .splitLines, "zfill": .fillZeros,
        "casefold": .unsupported, "encode": .unsupported, "maketrans": .unsupported,
        "translate": .unsupported,
    ]

    private func allScalars(_ holds: (Unicode.Scalar) -> Bool) -> Bool {
        !isEmpty && string.unicodeScalars.allSatisfy(holds)
    }

    var isLower: Bool {
        let cased = string.unicodeScalars.filter(\.properties.isCased)
        return !cased.isEmpty && cased.allSatisfy(\.properties.isLowercase)
    }

    var isUpper: Bool {
        let cased = string.unicodeScalars.filter(\.properties.isCased)
        return !cased.isEmpty && cased.allSatisfy(\.properties.isUppercase)
    }

    private var isIdentifier: Bool {
        string.unicodeScalars.first?.startsIdentifier == true
            && string.unicodeScalars.allSatisfy(\.continuesIdentifier)
    }

    private var isTitle: Bool {
        var wasCased = false
        var hasCased = false
        for scalar in string.unicodeScalars {
            let isCapital =
                scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter
            if isCapital == wasCased, scalar.properties.isCased { return false }
            wasCased = scalar.properties.isCased
            hasCased = hasCased || wasCased
        }
        return hasCased
    }
}
