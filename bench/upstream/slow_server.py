"""An HTTP/1.1 server that answers each POST after a while: slow_server.py LATENCY_MS [CERTIFICATE KEY]

Prints its port, and ends when its standard input does. It does as little as it can, so that the client is what is measured.
"""

import asyncio
import ssl
import sys

CONTENT = "word " * 128
BODY = (
    '{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":160,'
    '"completion_tokens":128,"total_tokens":288}}' % CONTENT
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


class Slow(asyncio.Protocol):
    delay = 0.5

    def connection_made(self, transport):
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.need = -1
        self.have = 0
        self.head = b""

    def data_received(self, data):
        if self.need < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self.head.lower().find(b"content-length:")
            length = int(self.head[at + 15 : self.head.find(b"\r\n", at)]) if at >= 0 else 0
            self.need = end + 4 + length
            self.have = len(self.head)
            self.head = b""
        else:
            self.have += len(data)
        if self.have >= self.need:
            self.need = -1
            self.loop.call_later(self.delay, self.answer)

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main():
    Slow.delay = float(sys.argv[1]) / 1000
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0, ssl=context, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
