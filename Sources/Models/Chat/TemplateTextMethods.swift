// Calling the methods of `TemplateText.Method`.
extension TemplateInterpreter {
    func call(
        _ text: TemplateText, _ name: TemplateText, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let function = name.string
        let method = TemplateText.methods[name] ?? .unsupported
        try budget.charge(text.byteCount * (method.isCheap ? 1 : 8))
        switch method {
        case .strip(let side):
            let given = try arguments.bind(function, ["chars"])
            return .text(text.stripped(side, of: try characters(given, 0, function)))
        case .split(let direction): return try split(text, function, arguments, direction)
        case .partition(let direction):
            return try partition(text, try need(onlyArgument(function, arguments), 0), direction)
        case .find(let direction):
            return .int(try position(in: text, function, arguments, direction) ?? -1)
        case .index(let direction):
            guard let at = try position(in: text, function, arguments, direction) else {
                throw TemplateError(.runtime, "substring not found")
            }
            return .int(at)
        case .justify, .center, .fillZeros: return try padded(text, name, arguments)
        case .affix(let isPrefix): return .bool(try hasAffix(text, function, arguments, isPrefix))
        case .remove(let isPrefix):
            let affix = try need(onlyArgument(function, arguments), 0)
            return .text(isPrefix ? text.removingPrefix(affix) : text.removingSuffix(affix))
        case .change(let change):
            try refuse(name, arguments)
            return .text(change(text))
        case .ask(let ask):
            try refuse(name, arguments)
            return .bool(ask(text))
        case .count:
            let given = try searchArguments(function, arguments)
            let wanted = try need(given, 0)
            guard let (range, _) = try part(of: text, given) else { return .int(0) }
            return .int(range.occurrences(of: wanted))
        case .expandTabs:
            return .text(try expandedTabs(text, try arguments.bind(function, ["tabsize"]).int(0) ?? 8))
        case .format: return .text(try TemplateBraceFormat.text(text, arguments, self))
        case .formatMap:
            let given = try onlyArgument(function, arguments)
            return .text(try TemplateBraceFormat.text(text, mapping: given[0] ?? .none, self))
        case .join: return try join(text, try onlyArgument(function, arguments)[0] ?? .none)
        case .replace:
            let count = arguments.positional.count
            guard count >= 2 else {
                throw TemplateError(.runtime, "replace expected at least 2 arguments, got \(count)")
            }
            let given = try arguments.bind(function, ["old", "new", "count"], required: 2)
            return .text(try replaced(text, try need(given, 0), try need(given, 1), try given.int(2) ?? -1))
        case .splitLines:
            let keepEnds = try arguments.bind(function, ["keepends"]).isTrue(0)
            return try texts(text.lines(keepEnds: keepEnds))
        case .unsupported: throw TemplateError(.unsupported, "the method str.\(function) is not supported")
        }
    }

    private func onlyArgument(
        _ function: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> BoundTemplateArguments {
        guard arguments.positional.count == 1, arguments.named.isEmpty else {
            let given = "(\(arguments.positional.count) given)"
            throw TemplateError(
                .runtime,
                arguments.named.isEmpty
                    ? "str.\(function)() takes exactly one argument \(given)"
                    : "str.\(function)() takes no keyword arguments")
        }
        return BoundTemplateArguments(function: function, values: [arguments.positional[0]])
    }

    private func need(_ given: BoundTemplateArguments, _ at: Int) throws(TemplateError) -> TemplateText {
        guard case .text(let text)? = given[at] else {
            let type = given[at]?.typeName ?? "NoneType"
            let message: String
            switch given.function {
            case "find", "rfind", "index", "rindex", "count", "partition", "rpartition":
                message = "must be str, not \(type)"
            case "replace": message = "replace() argument \(at + 1) must be str, not \(type)"
            default: message = "\(given.function)() argument must be str, not \(type)"
            }
            throw TemplateError(.runtime, message)
        }
        return text
    }

    private func refuse(_ name: TemplateText, _ arguments: TemplateArguments) throws(TemplateError) {
        guard arguments.positional.isEmpty, arguments.named.isEmpty else {
            let count = arguments.positional.count
            throw TemplateError(
                .runtime, "str.\(name.string)() takes no arguments (\(count) given)")
        }
    }

    private func texts(_ parts: [TemplateText]) throws(TemplateError) -> TemplateValue {
        try budget.list(parts.map { .text($0) })
    }

    private func split(
        _ text: TemplateText, _ function: String, _ arguments: TemplateArguments,
        _ direction: TemplateText.Direction
    ) throws(TemplateError) -> TemplateValue {
        let given = try arguments.bind(function, ["sep", "maxsplit"])
        let limit = try given.int(1) ?? -1
        if given.isAbsent(0) { return try texts(text.words(limit: limit, direction)) }
        guard case .text(let separator)? = given[0] else {
            throw TemplateError(.runtime, "must be str or None, not \(given[0]?.typeName ?? "NoneType")")
        }
        guard !separator.isEmpty else { throw TemplateError(.runtime, "empty separator") }
        return try texts(text.split(by: separator, limit: limit, direction))
    }

    private func partition(
        _ text: TemplateText, _ separator: TemplateText, _ direction: TemplateText.Direction
    ) throws(TemplateError) -> TemplateValue {
        guard !separator.isEmpty else { throw TemplateError(.runtime, "empty separator") }
        let parts = text.split(by: separator, limit: 1, direction)
        let empty = text.with("")
        switch (parts.count, direction) {
        case (2, _): return try budget.tuple([.text(parts[0]), .text(separator), .text(parts[1])])
        case (_, .forward): return try budget.tuple([.text(text), .text(empty), .text(empty)])
        case (_, .backward): return try budget.tuple([.text(empty), .text(empty), .text(text)])
        }
    }

    private func searchArguments(
        _ function: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> BoundTemplateArguments {
        if arguments.positional.isEmpty {
            throw TemplateError(.runtime, "\(function)() takes at least 1 argument (0 given)")
        }
        return try arguments.bind(function, ["sub", "start", "end"], required: 1)
    }

    /// The part of a text that `start` and `end` arguments (at 1 and 2) mark, and its position; nil if
    /// `start` is beyond.
    private func part(
        of text: TemplateText, _ given: BoundTemplateArguments
    ) throws(TemplateError) -> (TemplateText, Int)? {
        if given.isAbsent(1), given.isAbsent(2) { return (text, 0) }
        let count = text.count
        func bound(_ index: Int) -> Int { min(count, index < 0 ? max(0, index + count) : index) }
        let start = given.isAbsent(1) ? 0 : try given.int(1) ?? 0
        if start > count { return nil }
        let end = given.isAbsent(2) ? count : bound(try given.int(2) ?? count)
        if bound(start) > end { return nil }
        return (text.slice(bound(start), end), bound(start))
    }

    private func position(
        in text: TemplateText, _ function: String, _ arguments: TemplateArguments,
        _ direction: TemplateText.Direction
    ) throws(TemplateError) -> Int? {
        let given = try searchArguments(function, arguments)
        let wanted = try need(given, 0)
        guard let (range, offset) = try part(of: text, given) else { return nil }
        return range.position(of: wanted, direction).map { $0 + offset }
    }

    private func hasAffix(
        _ text: TemplateText, _ function: String, _ arguments: TemplateArguments, _ isPrefix: Bool
    ) throws(TemplateError) -> Bool {
        let given = try arguments.bind(function, ["prefix", "start", "end"], required: 1)
        var affixes: [TemplateValue] = [given[0] ?? .none]
        if case .tuple(let items)? = given[0] { affixes = items.values }
        guard let (range, _) = try part(of: text, given) else { return false }
        for affix in affixes {
            guard case .text(let affix) = affix else {
                throw TemplateError(
                    .runtime,
                    "\(function) first arg must be str or a tuple of str, not \(affix.typeName)")
            }
            try budget.charge(affix.byteCount)
            if isPrefix ? range.hasPrefix(affix) : range.hasSuffix(affix) { return true }
        }
        return false
    }

    private func padded(
        _ text: TemplateText, _ name: TemplateText, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try arguments.bind(name.string, ["width", "fillchar"], required: 1)
        let width = try given.int(0) ?? 0
        var fill: TemplateText = name == "zfill" ? "0" : " "
        if let value = given[1] {
            guard case .text(let text) = value else {
                throw TemplateError(
                    .runtime, "The fill character must be a unicode character, not \(value.typeName)")
            }
            fill = text
        }
        guard fill.count == 1 else {
            throw TemplateError(.runtime, "The fill character must be exactly one character long")
        }
        if name == "center" { return .text(try centered(text, width: width, fill: fill)) }
        let count = text.count
        let missing = width > count ? width - count : 0
        try budget.charge(missing, of: fill.byteCount)
        let filling = String(repeating: fill.string, count: missing)
        if name == "ljust" { return .text(text.with(text.string + filling)) }
        if name == "zfill", let sign = text.string.unicodeScalars.first, sign == "-" || sign == "+" {
            return .text(text.with(String(Character(sign)) + filling + text.slice(1, text.count).string))
        }
        return .text(text.with(filling + text.string))
    }

    private func expandedTabs(_ text: TemplateText, _ size: Int) throws(TemplateError) -> TemplateText {
        var out = ""
        var column = 0
        for scalar in text.string.unicodeScalars {
            if scalar == "\t" {
                let spaces = size > 0 ? size - column % size : 0
                try budget.charge(spaces)
                out += String(repeating: " ", count: spaces)
                column += spaces
            } else {
                out.unicodeScalars.append(scalar)
                column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
            }
        }
        return text.with(out)
    }

    private func join(_ separator: TemplateText, _ value: TemplateValue) throws(TemplateError)
        -> TemplateValue
    {
        guard isIterable(value) else { throw TemplateError(.runtime, "can only join an iterable") }
        var out = separator.with("")
        for (i, item) in try items(of: value).enumerated() {
            guard case .text(let part) = item else {
                if separator.isMarkup { throw TemplateError(.unsupported, "Markup.join of other than texts") }
                throw TemplateError(
                    .runtime, "sequence item \(i): expected str instance, \(item.typeName) found")
            }
            try budget.charge(separator.byteCount + part.byteCount)
            if i > 0 { out.string += separator.string }
            out.string += separator.isMarkup ? part.escaped().string : part.string
        }
        return .text(out)
    }
}
