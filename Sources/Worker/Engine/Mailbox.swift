import Dispatch
import Synchronization

/// Messages from anywhere to the one thread that takes them; the taker may wait without burning CPU.
package final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    private let bell = DispatchSemaphore(value: 0)

    package init() {}

    package func post(_ message: Message) {
        let wasEmpty = messages.withLock { messages in
            messages.append(message)
            return messages.count == 1
        }
        if wasEmpty { bell.signal() }
    }

    /// Everything posted since the last take, in order. With `waiting`, blocks until there is something.
    package func take(waiting: Bool) -> [Message] {
        while true {
            let taken = messages.withLock { messages in
                let taken = messages
                messages.removeAll(keepingCapacity: true)
                return taken
            }
            if !taken.isEmpty || !waiting { return taken }
            // A signal may be left over from messages that were taken without waiting; then this turns once more.
            bell.wait()
        }
    }
}
