"""A network that can be broken: unix sockets that lead to a server, each with faults of its own."""

import asyncio
import threading


class Link:
    """One socket that leads to the server. What `faults` says holds for all its connections."""

    def __init__(self, path, target):
        self.path = path
        self.target = target
        self.delay_s = 0.0          # each piece waits this long, in both directions
        self.is_dark = False        # pieces vanish; ends when it is lit again, with all connections closed
        self.cut_after = None       # bytes of replies until the connection is closed
        self.hold_s = None          # pieces to the server arrive this much later, also when the client has gone
        self.refuses = False        # new connections are closed at once
        self.connections = set()
        self.cuts = 0

    async def serve(self):
        return await asyncio.start_unix_server(self._accept, self.path)

    async def _accept(self, reader, writer):
        if self.refuses or self.is_dark:
            writer.close()
            return
        try:
            back_reader, back_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        pair = (writer, back_writer)
        self.connections.add(pair)
        await asyncio.gather(self._pump(reader, back_writer, pair, True), self._pump(back_reader, writer, pair, False))
        self._close(pair)

    async def _pump(self, reader, writer, pair, to_server):
        try:
            while True:
                piece = await reader.read(65536)
                if not piece:
                    break
                if self.is_dark:
                    continue
                if to_server and self.hold_s is not None:
                    await asyncio.sleep(self.hold_s)
                elif self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if not to_server and self.cut_after is not None:
                    if len(piece) > self.cut_after:
                        writer.write(piece[: self.cut_after])
                        await writer.drain()
                        self.cut_after = None
                        self.cuts += 1
                        break
                    self.cut_after -= len(piece)
                writer.write(piece)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        self._close(pair)

    def _close(self, pair):
        self.connections.discard(pair)
        for writer in pair:
            try:
                writer.close()
            except OSError:
                pass

    def _close_all(self):
        for pair in list(self.connections):
            self._close(pair)


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
        self._soon(link._close_all)

    def cut_mid_reply(self, link, after_bytes):
        """The reply is cut off after so many bytes: the server has done what it was asked."""
        self._soon(lambda: setattr(link, "cut_after", after_bytes))

    def darken(self, link, for_s):
        """Everything vanishes for a while, and the connections with it."""

        def light():
            link.is_dark = False
            link._close_all()

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
            link.delay_s, link.is_dark, link.cut_after, link.hold_s, link.refuses = 0.0, False, None, None, False

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
