import Synchronization

/// Messages from any thread to one asynchronous loop. The bell rings at least once after each post; what was posted by
/// then is taken together, so a busy loop works in groups.
final class SignalInbox<Message: Sendable>: Sendable {
    let bell: AsyncStream<Void>
    private let ring: AsyncStream<Void>.Continuation
    private let messages = Mutex<[Message]>([])

    init() {
        (bell, ring) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func post(_ message: Message) {
        messages.withLock { $0.append(message) }
        ring.yield()
    }

    func take() -> [Message] {
        messages.withLock { messages in
            let taken = messages
            messages = []
            return taken
        }
    }
}
