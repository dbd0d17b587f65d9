"""A server that behaves as Groq's API does, and misbehaves on command. README.md says how to use it.

Sources: https://console.groq.com/docs/api-reference, https://console.groq.com/docs/rate-limits,
https://console.groq.com/docs/errors, https://console.groq.com/docs/openai
"""

import argparse
import asyncio
import json
import os
import resource
import ssl
import subprocess
import sys
import time

from batches import Batches
from completions import Completions, Refusal
from http1 import HTTP1
from http2 import HTTP2
from limits import Limits
from misbehaviour import Rules
from sending import send
from settings import Settings


class FakeGroq:
    def __init__(self, folder, changes):
        self.settings = Settings(changes)
        self.rules = Rules()
        self.rules.set(self.settings["rules"])
        self.limits = {}
        self.witness = open(os.path.join(folder, "witness.jsonl"), "a", buffering=1)
        self.number = 0
        self.in_flight = 0
        self.gathered = asyncio.Event()
        self.counts = {"requests": 0, "computed": 0, "delivered": 0, "status": {}, "most_at_once": 0}
        self.revoked = set(self.settings["revoked"])
        self.decommissioned = set(self.settings["decommissioned"])
        self.completions = Completions(self)
        self.batches = Batches(self)

    def log(self, **entry):
        entry["t"] = round(time.monotonic(), 4)
        self.witness.write(json.dumps(entry) + "\n")

    async def gather(self):
        """Waits until `gather` requests are in flight; then all go on, and so do those that come later."""
        wanted = self.settings["gather"]
        if self.in_flight >= wanted:
            self.gathered.set()
        await self.gathered.wait()

    def now(self):
        return time.monotonic() * self.settings["time_scale"]

    def limits_of(self, organisation, model):
        found = self.limits.get((organisation, model))
        if found is None:
            found = self.limits[(organisation, model)] = Limits(self.settings, self.now())
        return found

    def organisation(self, request):
        """Of the request's key.
        Raises Refusal."""
        text = request.headers.get("authorization", "")
        key = text[7:] if text.startswith("Bearer ") else ""
        if not key:
            raise Refusal(401, "invalid_api_key", "No API key was given.")
        if key not in self.settings["keys"] or key in self.revoked:
            raise Refusal(401, "invalid_api_key", "Invalid API Key")
        return self.settings["keys"][key], key

    async def serve(self, request, answer):
        path = request.path.split("?", 1)[0]
        if path == "/_control":
            return await self.control(request, answer)
        if path == "/_counts":
            return await answer.whole(200, JSON_TYPE, json.dumps(self.counts).encode())
        self.number += 1
        number = self.number
        self.counts["requests"] += 1
        self.in_flight += 1
        self.counts["most_at_once"] = max(self.counts["most_at_once"], self.in_flight)
        entry = {"number": number, "protocol": request.protocol, "method": request.method, "path": path,
                 "computed": False, "delivered": False, "status": 0}
        self.log(event="arrival", number=number)
        try:
            reply = await self.reply(request, path, entry)
            entry["status"] = reply.status
            entry["delivered"] = await send(reply, answer, request, self.settings)
        except asyncio.CancelledError:
            entry["gone"] = True
            raise
        finally:
            self.in_flight -= 1
            for name in ("computed", "delivered"):
                self.counts[name] += 1 if entry[name] else 0
            status = str(entry["status"])
            self.counts["status"][status] = self.counts["status"].get(status, 0) + 1
            self.log(event="end", **entry)

    async def reply(self, request, path, entry):
        try:
            if path in ("/openai/v1/chat/completions", "/v1/chat/completions", "/v1/completions"):
                return await self.completions.reply(request, path, entry)
            self.organisation(request)
            if path in ("/openai/v1/models", "/v1/models"):
                return self.completions.models()
            if path.startswith("/openai/v1/files") or path.startswith("/openai/v1/batches"):
                return await self.batches.reply(request, path)
            raise Refusal(404, "unknown_url", "Unknown request URL: %s %s." % (request.method, path))
        except Refusal as refusal:
            return refusal.reply()

    async def control(self, request, answer):
        try:
            changes = json.loads(request.body or b"{}")
            self.settings.change(changes)
        except ValueError as error:
            return await answer.whole(400, JSON_TYPE, json.dumps({"error": str(error)}).encode())
        if "rules" in changes:
            self.rules.set(self.settings["rules"])
        if "revoked" in changes:
            self.revoked = set(self.settings["revoked"])
        if "decommissioned" in changes:
            self.decommissioned = set(self.settings["decommissioned"])
        if "finish_batches" in changes:
            self.batches.finish()
        if any("_per_" in name or name.endswith("_s") for name in changes):
            self.limits = {}
        await answer.whole(200, JSON_TYPE, json.dumps(self.settings.values).encode())


JSON_TYPE = [("content-type", "application/json")]


def make_certificates(folder):
    """An authority and a certificate for 127.0.0.1 and localhost."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    openssl("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Fake authority")
    openssl("req", *ec[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "names.cnf"), "w") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "30", "-extfile", "names.cnf", "-out", "server.pem")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--port", type=int, default=0, help="for plain HTTP; 0: any")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    os.makedirs(folder, exist_ok=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    make_certificates(folder)
    fake = FakeGroq(folder, json.loads(arguments.settings))
    loop = asyncio.get_running_loop()

    def context(protocols):
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        found.set_alpn_protocols(protocols)
        return found

    async def listen(factory, tls=None, port=0):
        server = await loop.create_server(lambda: factory(fake.serve), "127.0.0.1", port, ssl=tls, backlog=4096)
        return server.sockets[0].getsockname()[1]

    ready = {
        "http": await listen(HTTP1, port=arguments.port),
        "https1": await listen(HTTP1, context(["http/1.1"])),
        "https2": await listen(HTTP2, context(["h2"])),
        "ca": os.path.join(folder, "ca.pem"),
        "witness": os.path.join(folder, "witness.jsonl"),
    }
    partial = os.path.join(folder, "ready.part")
    with open(partial, "w") as file:
        json.dump(ready, file)
    os.rename(partial, os.path.join(folder, "ready.json"))
    # Whoever started this holds the other end of standard input: when it dies, so does this.
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
