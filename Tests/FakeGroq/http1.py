"""HTTP/1.1 (RFC 9112), as far as clients of an API need it, with the means to break it on purpose."""

import asyncio
import socket
import struct


class Closed(Exception):
    """The client has gone."""


class Request:
    __slots__ = ("method", "path", "headers", "body", "protocol")

    def __init__(self, method, path, headers, body, protocol):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.protocol = protocol


class HTTP1(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(self, serve):
        self.serve = serve
        self.buffer = bytearray()
        self.task = None
        self.transport = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.is_closed = False

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error):
        self.is_closed = True
        self.writable.set()
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def data_received(self, data):
        self.buffer += data
        self.next()

    def next(self):
        if self.task is not None or self.is_closed:
            return
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > 65536:
                self.transport.abort()
            return
        lines = bytes(self.buffer[:end]).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if len(self.buffer) < end + 4 + length:
            return
        method, path, _ = lines[0].split(" ", 2)
        if path.startswith("http://"):
            # As a proxy is asked: everything is here.
            path = "/" + path.split("/", 3)[3]
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        del self.buffer[: end + 4 + length]
        request = Request(method, path, headers, body, "1.1")
        self.task = asyncio.get_running_loop().create_task(self.answer(request))

    async def answer(self, request):
        try:
            await self.serve(request, Answer1(self))
        except Closed:
            pass
        finally:
            self.task = None
        self.next()

    async def write(self, data):
        if self.is_closed or self.transport.is_closing():
            raise Closed()
        self.transport.write(data)
        if not self.writable.is_set():
            await self.writable.wait()
            if self.is_closed:
                raise Closed()


class Answer1:
    def __init__(self, connection):
        self.connection = connection

    async def head(self, status, headers, length):
        """`length` None: the end of the connection ends the body."""
        lines = ["HTTP/1.1 %d Whatever" % status]
        lines += ["%s: %s" % header for header in headers]
        lines.append("connection: close" if length is None else "content-length: %d" % length)
        await self.connection.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def body(self, data, last=False):
        await self.connection.write(data)

    async def whole(self, status, headers, body):
        lines = ["HTTP/1.1 %d Whatever" % status]
        lines += ["%s: %s" % header for header in headers]
        lines.append("content-length: %d" % len(body))
        await self.connection.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    def reset(self):
        """So that the other side sees a reset, not an end."""
        sock = self.connection.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.transport.abort()

    def close(self):
        self.connection.transport.close()
