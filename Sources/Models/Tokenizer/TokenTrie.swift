/// Finds which of a set of byte strings begin at a place of a text.
struct TokenTrie: Sendable {
    private struct Edge {
        var byte: UInt8
        var node: UInt32
    }

    /// Edges of node i: `edges[firstEdge[i]..<firstEdge[i + 1]]`, by byte.
    private var edges: [Edge] = []
    private var firstEdge: [UInt32] = []
    /// What the string that ends at a node was entered with; -1 where none ends.
    private var values: [Int32] = []
    /// The root's children, for a quick no; 0 for none.
    private var roots = [UInt32](repeating: 0, count: 256)

    var isEmpty: Bool { edges.isEmpty }

    /// - Parameter entries: strings, not empty, with values of 0 or more; of equal strings the last counts.
    init(_ entries: [(bytes: [UInt8], value: Int32)]) {
        let sorted = entries.enumerated().sorted { a, b in
            if a.element.bytes == b.element.bytes { return a.offset < b.offset }
            return a.element.bytes.lexicographicallyPrecedes(b.element.bytes)
        }.map(\.element)
        // Breadth first, so that a node's edges lie together. A node is a run of entries that share `depth`
        // bytes.
        var runs: [(range: Range<Int>, depth: Int)] = [(0..<sorted.count, 0)]
        var node = 0
        while node < runs.count {
            let (range, depth) = runs[node]
            firstEdge.append(UInt32(edges.count))
            var value: Int32 = -1
            var at = range.lowerBound
            while at < range.upperBound, sorted[at].bytes.count == depth {
                value = sorted[at].value
                at += 1
            }
            values.append(value)
            while at < range.upperBound {
                let byte = sorted[at].bytes[depth]
                var end = at + 1
                while end < range.upperBound, sorted[end].bytes[depth] == byte { end += 1 }
                edges.append(Edge(byte: byte, node: UInt32(runs.count)))
                runs.append((at..<end, depth + 1))
                at = end
            }
            node += 1
        }
        firstEdge.append(UInt32(edges.count))
        for edge in edges[..<Int(firstEdge[1])] { roots[Int(edge.byte)] = edge.node }
    }

    /// Whether any string begins with this byte.
    func begins(with byte: UInt8) -> Bool { roots[Int(byte)] != 0 }

    /// The longest string at `text[start..<end]` that `accepts` its value; nil if none.
    func longest(
        in text: [UInt8], from start: Int, to end: Int, accepts: (Int32) -> Bool = { _ in true }
    ) -> (value: Int32, end: Int)? {
        var found: (Int32, Int)?
        var node = 0
        var at = start
        while at < end, let child = child(of: node, text[at]) {
            node = child
            at += 1
            if values[node] >= 0 && accepts(values[node]) { found = (values[node], at) }
        }
        return found
    }

    /// Calls `body` with every string at `text[start..<end]`, shortest first.
    func forEach(in text: [UInt8], from start: Int, to end: Int, _ body: (_ value: Int32, _ end: Int) -> Void)
    {
        var node = 0
        var at = start
        while at < end, let child = child(of: node, text[at]) {
            node = child
            at += 1
            if values[node] >= 0 { body(values[node], at) }
        }
    }

    private func child(of node: Int, _ byte: UInt8) -> Int? {
        if node == 0 { return roots[Int(byte)] == 0 ? nil : Int(roots[Int(byte)]) }
        var low = Int(firstEdge[node])
        var high = Int(firstEdge[node + 1])
        while low < high {
            let middle = (low + high) / 2
            if edges[middle].byte < byte { low = middle + 1 } else { high = middle }
        }
        return low < Int(firstEdge[node + 1]) && edges[low].byte == byte ? Int(edges[low].node) : nil
    }
}
