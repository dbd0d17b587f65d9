import GRDB

/// Says what an SQLite error means to whoever can act on it.
///
/// Source: https://www.sqlite.org/rescode.html
enum QueueFailure {
    static func describe(_ error: any Error, path: String) -> JobQueueError {
        switch error {
        case let error as JobQueueError: error
        case let error as DatabaseError: describe(error, path: path)
        case let error as RowDecodingError: damaged(path, "\(error)")
        default: .unavailable("\(path): \(error)")
        }
    }

    static func damaged(_ path: String, _ what: String) -> JobQueueError {
        .unusableStore("\(path) is damaged (\(what)): restore it from a copy, or start over with another file")
    }

    private static func describe(_ error: DatabaseError, path: String) -> JobQueueError {
        let detail = error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"
        switch error.resultCode {
        case .SQLITE_FULL:
            return .unavailable("\(path): no space left on the disk, or the queue's size limit is reached: "
                + "make room and try again; nothing that was accepted is lost")
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return .unavailable("\(path) is locked by another process: wait until it is done and try again")
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
            return .unavailable("\(path) cannot be written: check the permissions of the file and its folder")
        case .SQLITE_CANTOPEN:
            return .unavailable("\(path) cannot be opened: check that its folder exists and can be written")
        case .SQLITE_IOERR:
            return .unavailable("\(path) cannot be read or written (\(detail), code "
                + "\(error.extendedResultCode.rawValue)): check the disk")
        case .SQLITE_NOTADB:
            return .unusableStore("\(path) is not a queue (no SQLite database): name another file")
        case .SQLITE_CORRUPT, .SQLITE_FORMAT, .SQLITE_SCHEMA, .SQLITE_CONSTRAINT, .SQLITE_MISMATCH:
            return damaged(path, detail)
        case .SQLITE_ERROR where detail.hasPrefix("no such ") || detail.hasPrefix("malformed"):
            return damaged(path, detail)
        default:
            return .unavailable("\(path): \(detail)")
        }
    }

    /// Whether a statement's failure was the store's, not the caller's: worth trying again alone.
    static func isOfStore(_ error: any Error) -> Bool { error is DatabaseError }
}
