// Searching, splitting and slicing a Python `str`. All of it takes time linear in the lengths.
extension TemplateText {
    enum Direction { case forward, backward }

    /// The byte offsets at which `needle` (not empty) starts, not overlapping, at most `limit` of them: the
    /// first ones going forward in ascending order, the last ones going backward in descending order.
    func offsets(of needle: TemplateText, _ direction: Direction = .forward, limit: Int = .max) -> [Int] {
        let text = bytes
        let pattern = needle.bytes
        switch direction {
        case .forward: return Self.offsets(of: pattern, in: text, limit: limit)
        case .backward:
            return Self.offsets(of: pattern.reversed(), in: text.reversed(), limit: limit)
                .map { text.count - $0 - pattern.count }
        }
    }

    /// Knuth, Morris and Pratt, "Fast pattern matching in strings" (https://doi.org/10.1137/0206024).
    private static func offsets(of pattern: [UInt8], in text: [UInt8], limit: Int) -> [Int] {
        guard !pattern.isEmpty, pattern.count <= text.count, limit > 0 else { return [] }
        var fallback = [Int](repeating: 0, count: pattern.count)
        var matched = 0
        for i in 1..<pattern.count {
            while matched > 0, pattern[i] != pattern[matched] { matched = fallback[matched - 1] }
            if pattern[i] == pattern[matched] { matched += 1 }
            fallback[i] = matched
        }
        var found: [Int] = []
        matched = 0
        for (i, byte) in text.enumerated() {
            while matched > 0, byte != pattern[matched] { matched = fallback[matched - 1] }
            if byte == pattern[matched] { matched += 1 }
            if matched == pattern.count {
                found.append(i + 1 - pattern.count)
                if found.count == limit { break }
                matched = 0
            }
        }
        return found
    }

    func contains(_ needle: TemplateText) -> Bool {
        needle.isEmpty || !offsets(of: needle, limit: 1).isEmpty
    }

    /// The position (in code points) of the first or last `needle`.
    func position(of needle: TemplateText, _ direction: Direction) -> Int? {
        if needle.isEmpty { return direction == .forward ? 0 : count }
        return offsets(of: needle, direction, limit: 1).first.map { offset in
            string.utf8.prefix(offset).reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        }
    }

    func occurrences(of needle: TemplateText) -> Int {
        needle.isEmpty ? count + 1 : offsets(of: needle).count
    }

    func hasPrefix(_ prefix: TemplateText) -> Bool { string.utf8.starts(with: prefix.string.utf8) }

    func hasSuffix(_ suffix: TemplateText) -> Bool {
        byteCount >= suffix.byteCount
            && string.utf8.suffix(suffix.byteCount).elementsEqual(suffix.string.utf8)
    }

    func removingPrefix(_ prefix: TemplateText) -> TemplateText {
        hasPrefix(prefix)
            ? with(String(decoding: string.utf8.dropFirst(prefix.byteCount), as: UTF8.self)) : self
    }

    func removingSuffix(_ suffix: TemplateText) -> TemplateText {
        hasSuffix(suffix)
            ? with(String(decoding: string.utf8.dropLast(suffix.byteCount), as: UTF8.self)) : self
    }

    /// At most `limit` replacements, from the start; all if negative.
    func replacing(_ old: TemplateText, with new: TemplateText, limit: Int = -1) -> TemplateText {
        let limit = limit < 0 ? Int.max : limit
        if old.isEmpty { return interleaved(with: new, limit: limit) }
        let places = offsets(of: old, limit: limit)
        if places.isEmpty { return self }
        let text = bytes
        let replacement = new.bytes
        var out: [UInt8] = []
        out.reserveCapacity(text.count + places.count * (replacement.count - old.byteCount))
        var from = 0
        for place in places {
            out += text[from..<place]
            out += replacement
            from = place + old.byteCount
        }
        out += text[from...]
        return TemplateText(out, isMarkup: isMarkup)
    }

    private func interleaved(with new: TemplateText, limit: Int) -> TemplateText {
        var out = ""
        var made = 0
        for scalar in string.unicodeScalars {
            if made < limit {
                out += new.string
                made += 1
            }
            out.unicodeScalars.append(scalar)
        }
        if made < limit { out += new.string }
        return with(out)
    }

    /// The parts between `separator` (not empty), at most `limit` splits if not negative, counted from
    /// `direction`.
    func split(by separator: TemplateText, limit: Int = -1, _ direction: Direction = .forward)
        -> [TemplateText]
    {
        var places = offsets(of: separator, direction, limit: limit < 0 ? .max : limit)
        if direction == .backward { places.reverse() }
        let text = bytes
        var parts: [TemplateText] = []
        var from = 0
        for place in places {
            parts.append(TemplateText(text[from..<place], isMarkup: isMarkup))
            from = place + separator.byteCount
        }
        parts.append(TemplateText(text[from...], isMarkup: isMarkup))
        return parts
    }

    /// The words between runs of white space, at most `limit` splits if not negative, counted from
    /// `direction`.
    func words(limit: Int = -1, _ direction: Direction = .forward) -> [TemplateText] {
        var limit = limit < 0 ? Int.max : limit
        let rest = direction == .forward ? scalars : scalars.reversed()
        var words: [ArraySlice<Unicode.Scalar>] = []
        var from = 0
        while let start = rest[from...].firstIndex(where: { !$0.isPythonSpace }) {
            let end = limit == 0 ? nil : rest[start...].firstIndex(where: \.isPythonSpace)
            guard let end else {
                words.append(rest[start...])
                break
            }
            words.append(rest[start..<end])
            limit -= 1
            from = end
        }
        switch direction {
        case .forward: return words.map { TemplateText(scalars: $0, isMarkup: isMarkup) }
        case .backward:
            return words.reversed().map { TemplateText(scalars: $0.reversed(), isMarkup: isMarkup) }
        }
    }

    /// The lines, without what ends them unless `keepEnds`. No last empty line.
    func lines(keepEnds: Bool = false) -> [TemplateText] {
        let all = scalars
        var lines: [TemplateText] = []
        var from = 0
        while from < all.count {
            var end = from
            while end < all.count, !all[end].isPythonLineBreak { end += 1 }
            var next = min(end + 1, all.count)
            if end + 1 < all.count, all[end] == "\r", all[end + 1] == "\n" { next = end + 2 }
            lines.append(TemplateText(scalars: all[from..<(keepEnds ? next : end)], isMarkup: isMarkup))
            from = next
        }
        return lines
    }

    /// The code points from `start` up to `end`, both within `0...count`.
    func slice(_ start: Int, _ end: Int) -> TemplateText {
        guard start < end else { return with("") }
        let view = string.unicodeScalars
        let from = view.index(view.startIndex, offsetBy: start)
        let to = view.index(from, offsetBy: end - start)
        return with(String(view[from..<to]))
    }

    /// The code point at `index`, negative from the end; nil outside.
    func scalar(at index: Int) -> Unicode.Scalar? {
        let view = string.unicodeScalars
        if index >= 0 {
            return view.index(view.startIndex, offsetBy: index, limitedBy: view.endIndex)
                .flatMap { $0 < view.endIndex ? view[$0] : nil }
        }
        return view.index(view.endIndex, offsetBy: index, limitedBy: view.startIndex).map { view[$0] }
    }
}
