/// Walks through the model that together take each of its steps at least once.
struct LeasePaths {
    typealias Path = [LeaseWorld.Event]

    /// Each begins with a new batch.
    static let all: [Path] = {
        var paths = LeasePaths()
        paths.takeAll()
        return paths.paths
    }()

    private var paths: [Path] = []
    private var world = LeaseWorld()
    private var path: Path = []
    private var untaken: [UInt64: [LeaseWorld.Event]] = [:]
    private var untakenCount = 0

    private mutating func takeAll() {
        visit()
        while untakenCount > 0 {
            world = LeaseWorld()
            path = []
            // From where everything was taken, the shortest way to where it was not; a new batch when there is none.
            while let way = Self.way(from: world, { untaken[$0.code]?.isEmpty == false }) {
                for event in way { follow(event) }
                guard let next = untaken[world.code]?.last else { break }
                follow(next)
            }
            paths.append(path)
        }
    }

    private mutating func visit() {
        guard untaken[world.code] == nil else { return }
        let events = world.events(.anyone)
        untaken[world.code] = events
        untakenCount += events.count
    }

    private mutating func follow(_ event: LeaseWorld.Event) {
        path.append(event)
        if let at = untaken[world.code]?.firstIndex(of: event) {
            untaken[world.code]?.remove(at: at)
            untakenCount -= 1
        }
        _ = world.take(event, nil)
        visit()
    }

    private static func way(from start: LeaseWorld, _ isWanted: (LeaseWorld) -> Bool) -> Path? {
        if isWanted(start) { return [] }
        var seen: Set<UInt64> = [start.code]
        var frontier: [(world: LeaseWorld, path: Path)] = [(start, [])]
        while !frontier.isEmpty {
            var next: [(world: LeaseWorld, path: Path)] = []
            for (world, path) in frontier {
                for event in world.events(.anyone) {
                    var after = world
                    _ = after.take(event, nil)
                    guard seen.insert(after.code).inserted else { continue }
                    if isWanted(after) { return path + [event] }
                    next.append((after, path + [event]))
                }
            }
            frontier = next
        }
        return nil
    }
}
