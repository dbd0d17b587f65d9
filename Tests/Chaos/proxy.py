"""A network that can be broken: unix sockets that lead to a server, each with faults of its own."""

import asyncio
import threading


class Connection:
    """A client's connection and the one behind it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.held = 0
        self.is_closed = False

    def close(self):
        """What is held still arrives at the server."""
        self.is_closed = True
        self.client.close()
        if not self.held:
            self.server.close()


class Link:
    """One socket that leads to the server. Its faults hold for all its connections."""

    def __init__(self, path, target):
        self.path = path
        self.target = target
        self.delay_s = 0.0          # each piece waits this long, in both directions
        self.is_dark = False        # pieces vanish; ends when it is lit again, with all connections closed
        self.cut_after = None       # bytes of replies until the connection is closed
        self.hold_s = None          # pieces to the server arrive this much later, also when the client has gone
        self.connections = set()

    async def serve(self):
        return await asyncio.start_unix_server(self._accept, self.path, limit=1 << 20)

    async def _accept(self, reader, writer):
        if self.is_dark:
            writer.close()
            return
        try:
            server_reader, server = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        connection = Connection(writer, server)
        self.connections.add(connection)
        await asyncio.gather(self._ask(reader, connection), self._answer(server_reader, connection))
        self.connections.discard(connection)

    async def _ask(self, reader, connection):
        try:
            while piece := await reader.read(1 << 18):
                if self.is_dark:
                    continue
                connection.held += 1
                await asyncio.sleep(self.delay_s if self.hold_s is None else self.hold_s)
                connection.server.write(piece)
                await connection.server.drain()
                connection.held -= 1
                if connection.is_closed:
                    break
        except OSError:
            pass
        connection.held = 0
        connection.close()

    async def _answer(self, reader, connection):
        try:
            while piece := await reader.read(1 << 18):
                if self.is_dark or connection.is_closed:
                    continue
                await asyncio.sleep(self.delay_s)
                if self.cut_after is not None:
                    if len(piece) > self.cut_after:
                        connection.client.write(piece[: self.cut_after])
                        await connection.client.drain()
                        self.cut_after = None
                        break
                    self.cut_after -= len(piece)
                connection.client.write(piece)
                await connection.client.drain()
        except OSError:
            pass
        connection.close()

    def close_all(self):
        for connection in list(self.connections):
            connection.close()


class Network:
    """Links in a thread of their own."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.links = []

    def link(self, path, target):
        link = Link(path, target)
        asyncio.run_coroutine_threadsafe(link.serve(), self._loop).result(10)
        self.links.append(link)
        return link

    def _soon(self, action, after_s=0.0):
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(after_s, action))

    def cut(self, link):
        """All its connections end now."""
        self._soon(link.close_all)

    def cut_mid_reply(self, link, after_bytes):
        """The reply is cut off after so many bytes: the server has done what it was asked."""
        self._soon(lambda: setattr(link, "cut_after", after_bytes))

    def darken(self, link, for_s):
        """Everything vanishes for a while, and the connections with it."""

        def light():
            link.is_dark = False
            link.close_all()

        self._soon(lambda: setattr(link, "is_dark", True))
        self._soon(light, for_s)

    def slow(self, link, delay_s, for_s):
        self._soon(lambda: setattr(link, "delay_s", delay_s))
        self._soon(lambda: setattr(link, "delay_s", 0.0), for_s)

    def hold(self, link, hold_s, for_s):
        """Requests arrive late, even when who sent them has given up."""
        self._soon(lambda: setattr(link, "hold_s", hold_s))
        self._soon(lambda: setattr(link, "hold_s", None), for_s)

    def heal(self):
        for link in self.links:
            link.delay_s, link.is_dark, link.cut_after, link.hold_s = 0.0, False, None, None

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
