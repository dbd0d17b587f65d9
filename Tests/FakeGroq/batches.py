"""Groq's Batch API: files in, a batch, files out. Source: https://console.groq.com/docs/batch"""

import asyncio
import json
import time
from urllib.parse import parse_qs

from completions import Refusal, Reply
from http1 import Request


class Batches:
    def __init__(self, fake):
        self.fake = fake
        self.files = {}
        self.added = 0
        self.batches = {}

    def document(self, value):
        return Reply(200, json.dumps(value).encode())

    async def reply(self, request, path):
        parts = path.split("/")[3:]
        if parts == ["files"] and request.method == "POST":
            await asyncio.sleep(self.fake.settings["upload_ms"] / 1000)
            return self.document(self.upload(request))
        if len(parts) >= 2 and parts[0] == "files" and parts[1] in self.files:
            found = self.files[parts[1]]
            if parts[2:] == ["content"]:
                if self.fake.settings["content_status"] != 200:
                    raise Refusal(self.fake.settings["content_status"], "told_to", "Told not to give it.")
                return Reply(200, found["data"])
            if request.method == "DELETE":
                return self.document(self.delete(parts[1]))
            return self.document(self.describe(parts[1]))
        if parts == ["batches"] and request.method == "POST":
            return self.document(self.create(json.loads(request.body), request.headers.get("authorization")))
        if parts == ["batches"]:
            return self.document(await self.list(parse_qs(request.path.partition("?")[2])))
        if len(parts) == 3 and parts[2] == "cancel" and parts[1] in self.batches:
            found = self.batches[parts[1]]
            if found["status"] == "in_progress":
                found["status"] = "cancelled"
            return self.document(self.shown(parts[1]))
        if len(parts) == 2 and parts[0] == "batches" and parts[1] in self.batches:
            if self.fake.settings["state_status"] != 200:
                raise Refusal(self.fake.settings["state_status"], "told_to", "Told not to say.")
            return self.document(await self.state(parts[1]))
        raise Refusal(404, "not_found", "No such file or batch.")

    def finish(self):
        for batch in self.batches.values():
            batch["ready"] = 0

    def describe(self, name):
        found = self.files[name]
        return {"id": name, "object": "file", "bytes": len(found["data"]), "created_at": found["at"],
                "filename": found["name"], "purpose": found["purpose"]}

    def delete(self, name):
        if self.fake.settings["delete_status"] != 200:
            raise Refusal(self.fake.settings["delete_status"], "told_to", "Told not to delete.")
        del self.files[name]
        self.fake.counts["files"] = len(self.files)
        return {"id": name, "object": "file", "deleted": True}

    def add(self, data, name, purpose):
        self.added += 1
        number = "file_%08d" % self.added
        self.fake.counts["files"] = len(self.files) + 1
        self.files[number] = {"data": data, "name": name, "purpose": purpose, "at": int(time.time())}
        return number

    def upload(self, request):
        kind = request.headers.get("content-type", "")
        boundary = kind.partition("boundary=")[2].strip('"')
        if not boundary:
            raise Refusal(400, "invalid_request", "A file is uploaded as multipart/form-data.")
        fields = {}
        for part in request.body.split(b"--" + boundary.encode())[1:-1]:
            head, _, data = part[2:-2].partition(b"\r\n\r\n")
            name = head.partition(b'name="')[2].partition(b'"')[0].decode()
            fields[name] = data
        if fields.get("purpose") != b"batch" or "file" not in fields:
            raise Refusal(400, "invalid_request", "purpose must be batch, and there must be a file.")
        return self.describe(self.add(fields["file"], "input.jsonl", "batch"))

    async def list(self, query):
        names = sorted(self.batches, reverse=True)
        if "after" in query:
            names = names[names.index(query["after"][0]) + 1:]
        page = names[:int(query.get("limit", ["20"])[0])]
        return {"object": "list", "data": [await self.state(name) for name in page],
                "first_id": page[0] if page else None, "last_id": page[-1] if page else None,
                "has_more": len(page) < len(names)}

    def create(self, body, authorization):
        if body.get("input_file_id") not in self.files:
            raise Refusal(400, "invalid_request", "input_file_id names no file.", param="input_file_id")
        name = "batch_%08d" % (len(self.batches) + 1)
        self.fake.counts["batches"] = len(self.batches) + 1
        now = time.time()
        self.batches[name] = {"id": name, "object": "batch", "endpoint": body.get("endpoint"), "errors": None,
                              "input_file_id": body["input_file_id"], "status": "in_progress",
                              "completion_window": body.get("completion_window"), "created_at": int(now),
                              "output_file_id": None, "error_file_id": None, "metadata": body.get("metadata"),
                              "request_counts": {"total": 0, "completed": 0, "failed": 0},
                              "ready": now + self.fake.settings["batch_ms"] / 1000, "authorization": authorization}
        return self.shown(name)

    def shown(self, name):
        return {key: value for key, value in self.batches[name].items() if key not in ("ready", "authorization")}

    async def state(self, name):
        batch = self.batches[name]
        if batch["status"] == "in_progress" and time.time() >= batch["ready"]:
            await self.run(batch)
        return self.shown(name)

    async def run(self, batch):
        good, bad = [], []
        # Before the first await: two polls at once must not run it twice.
        batch["status"] = "finalizing"
        end = self.fake.settings["batch_end"]
        lines = [line for line in self.files[batch["input_file_id"]]["data"].splitlines() if line.strip()]
        if end == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "invalid", "line": 1, "message": "Told to fail."}]}
            batch["status"] = end
            return
        for line in lines[:len(lines) // 2] if end == "expired" else lines:
            wanted = json.loads(line)
            self.fake.number += 1
            entry = {"number": self.fake.number, "batch": batch["id"], "computed": False}
            headers = {"authorization": batch["authorization"]}
            request = Request("POST", batch["endpoint"], headers, json.dumps(wanted["body"]).encode(), "batch")
            try:
                reply = await self.fake.completions.reply(request, "/openai" + batch["endpoint"], entry)
            except Refusal as refusal:
                reply = refusal.reply()
            self.fake.log(event="end", status=reply.status, delivered=True, **entry)
            response = {"status_code": reply.status, "request_id": "req_fake", "body": json.loads(reply.body)}
            out = {"id": "batch_req_%d" % entry["number"], "custom_id": wanted["custom_id"], "response": response,
                   "error": None}
            (good if reply.status == 200 else bad).append(json.dumps(out))
        batch["request_counts"] = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}
        if good:
            batch["output_file_id"] = self.add("\n".join(good).encode() + b"\n", "output.jsonl", "batch_output")
        if bad:
            batch["error_file_id"] = self.add("\n".join(bad).encode() + b"\n", "errors.jsonl", "batch_output")
        batch["status"] = end
