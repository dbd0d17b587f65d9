"""HTTP/2 (RFC 9113) over the h2 library, with the means to break it on purpose."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from http1 import Closed, Request


class HTTP2(asyncio.Protocol):
    def __init__(self, serve):
        self.serve = serve
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.transport = None
        self.streams = {}
        self.room = asyncio.Event()
        self.is_closed = False

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        # As much at once as many servers allow.
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 250})
        self.flush()

    def connection_lost(self, error):
        self.is_closed = True
        self.room.set()
        for stream in self.streams.values():
            if stream["task"] is not None:
                stream["task"].cancel()

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.is_closed:
            self.transport.write(data)

    def data_received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.transport.close()
            return
        for event in events:
            self.take(event)
        self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = {"headers": dict(event.headers), "body": bytearray(), "task": None}
        elif isinstance(event, h2.events.DataReceived):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                stream["body"] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                headers = stream["headers"]
                request = Request(headers[":method"], headers[":path"], headers, bytes(stream["body"]), "2")
                loop = asyncio.get_running_loop()
                stream["task"] = loop.create_task(self.answer(request, event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            stream = self.streams.pop(event.stream_id, None)
            if stream is not None and stream["task"] is not None:
                stream["task"].cancel()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            room, self.room = self.room, asyncio.Event()
            room.set()

    async def answer(self, request, stream_id):
        try:
            await self.serve(request, Answer2(self, stream_id))
        except (Closed, h2.exceptions.ProtocolError):
            pass
        finally:
            self.streams.pop(stream_id, None)


class Answer2:
    def __init__(self, connection, stream_id):
        self.connection = connection
        self.stream_id = stream_id

    def check(self):
        if self.connection.is_closed or self.stream_id not in self.connection.streams:
            raise Closed()

    async def head(self, status, headers, length):
        self.check()
        found = [(":status", str(status))] + [(name.lower(), value) for name, value in headers]
        if length is not None:
            found.append(("content-length", str(length)))
        self.connection.h2.send_headers(self.stream_id, found)
        self.connection.flush()

    async def body(self, data, last=False):
        view = memoryview(data)
        while len(view) > 0:
            self.check()
            room = self.connection.h2.local_flow_control_window(self.stream_id)
            if room <= 0:
                await self.connection.room.wait()
                continue
            size = min(room, self.connection.h2.max_outbound_frame_size, len(view))
            self.connection.h2.send_data(self.stream_id, bytes(view[:size]))
            self.connection.flush()
            view = view[size:]
        if last:
            self.check()
            self.connection.h2.end_stream(self.stream_id)
            self.connection.flush()

    async def whole(self, status, headers, body):
        await self.head(status, headers, len(body))
        await self.body(body, last=True)

    def reset(self):
        self.connection.h2.reset_stream(self.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self.connection.flush()

    def close(self):
        self.reset()
