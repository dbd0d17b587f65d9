"""What a store holds, as the checker wants it."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass, field

import redis


COUNTS = ("total", "queued", "leased", "completed", "failed", "cancelled", "expired")


class StoreAway(Exception):
    """It cannot be read now: not begun, killed, or busy."""


@dataclass(frozen=True)
class Result:
    ordinal: int
    custom_id: str
    state: str
    attempt: int
    prompt_tokens: int
    completion_tokens: int
    body: bytes = b""
    code: str = ""
    message: str = ""


@dataclass
class Batch:
    id: str
    key: str
    state: str
    counts: dict
    usage: dict
    results: list = field(default_factory=list)


class SQLiteStore:
    """Reads a queue file: Sources/JobQueue/SQLite/QueueSchema.swift."""

    def __init__(self, path):
        self.path = path

    def _rows(self, *queries):
        try:
            with contextlib.closing(
                    sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("BEGIN")
                return [connection.execute(query).fetchall() for query in queries]
        except sqlite3.OperationalError as error:
            raise StoreAway(str(error)) from error

    def batches(self):
        batches, outcomes = self._rows(
            "SELECT * FROM batch",
            "SELECT outcome.*, request.custom_id FROM outcome JOIN request USING (key) ORDER BY completion")
        found = {}
        for row in batches:
            found[row["seq"]] = Batch(
                row["id"], row["idempotency_key"], row["state"], {name: row[name] for name in COUNTS},
                {name: row[name] for name in ("prompt_tokens", "completion_tokens")})
        for row in outcomes:
            error = json.loads(row["error"]) if row["error"] else {}
            found[row["batch"]].results.append(Result(
                row["key"] & 0xFFFFFFFF, row["custom_id"].decode(), row["state"], row["attempt"],
                row["prompt_tokens"], row["completion_tokens"], row["body"] or b"", error.get("code", ""),
                error.get("message", "")))
        return list(found.values())

    def states(self):
        return {row["id"]: row["state"] for row in self._rows("SELECT id, state FROM batch")[0]}

    def ledger(self):
        (rows,) = self._rows(
            "SELECT sum(completed) AS completed, sum(unsuccessful) AS unsuccessful, "
            "sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens FROM usage")
        return dict(rows[0])

    def leftovers(self):
        (pending,) = self._rows("SELECT count(*) FROM pending")
        return [f"{pending[0][0]} requests are still pending"] if pending[0][0] else []


class RedisStore:
    """Reads a queue on Redis: docs/redis-keys.md."""

    def __init__(self, socket, queue):
        self.client = redis.Redis(unix_socket_path=socket, socket_timeout=30)
        self.prefix = f"millrace:{{{queue}}}:"

    def _read(self, commands):
        """Answers of commands that are carried out together."""
        try:
            pipeline = self.client.pipeline(transaction=True)
            for command in commands:
                pipeline.execute_command(*command)
            return pipeline.execute()
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError) as error:
            raise StoreAway(str(error)) from error

    def tell(self, *command):
        """For faults: what comes of it does not matter."""
        try:
            self.client.execute_command(*command)
        except redis.RedisError:
            pass

    def _ids(self):
        (ids,) = self._read([("ZRANGE", self.prefix + "batches", 0, -1)])
        return [id.decode() for id in ids]

    def batches(self):
        ids = self._ids()
        commands = [("HGETALL", f"{self.prefix}b:{id}") for id in ids]
        commands += [("XRANGE", f"{self.prefix}b:{id}:results", "-", "+") for id in ids]
        answers = self._read(commands) if ids else []
        return [self._batch(id, answers[at], answers[at + len(ids)]) for at, id in enumerate(ids)]

    def _batch(self, id, hash, stream):
        fields = {name.decode(): value.decode() for name, value in hash.items()}
        state = "cancelling" if fields["state"] == "in_progress" and fields.get("ending") else fields["state"]
        batch = Batch(
            id, fields.get("idempotency_key"), state, {name: int(fields[name]) for name in COUNTS},
            {name: int(fields[name]) for name in ("prompt_tokens", "completion_tokens")})
        for _, entry in stream:
            error = json.loads(entry[b"error"]) if entry[b"error"] else {}
            batch.results.append(Result(
                int(entry[b"ordinal"]), entry[b"custom_id"].decode(), entry[b"state"].decode(), int(entry[b"attempt"]),
                int(entry[b"prompt_tokens"]), int(entry[b"completion_tokens"]), entry[b"response"],
                error.get("code", ""), error.get("message", "")))
        return batch

    def states(self):
        ids = self._ids()
        answers = self._read([("HGET", f"{self.prefix}b:{id}", "state") for id in ids]) if ids else []
        return dict(zip(ids, (answer.decode() for answer in answers)))

    def ledger(self):
        sums = dict.fromkeys(("completed", "unsuccessful", "prompt_tokens", "completion_tokens"), 0)
        for key in self.client.scan_iter(self.prefix + "usage:*"):
            for name, value in self.client.hgetall(key).items():
                what = json.loads(name)[3]
                if what in sums:
                    sums[what] += int(value)
        return sums

    def leftovers(self):
        """What only requests that have not ended may have."""
        found = ["part of a transaction that was cut off was carried out"] if self.client.exists("torn") else []
        kept = ("b:*:requests", "b:*:live", "b:*:ids", "b:*:fresh:*", "b:*:back:*", "b:*:suspect:*", "b:*:lines",
                "ready:*", "suspects", "suspects:*", "leases", "delayed", "busy", "open", "waiting", "deadlines",
                "endings", "active:*", "lanes:*", "lane:*", "priorities")
        dead = {key for key in self.client.scan_iter(self.prefix + "b:*:dead")}
        for pattern in kept:
            for key in self.client.scan_iter(self.prefix + pattern):
                # Dead letters keep their requests.
                if pattern == "b:*:requests" and key.removesuffix(b":requests") + b":dead" in dead:
                    if self.client.hlen(key) == self.client.zcard(key.removesuffix(b":requests") + b":dead"):
                        continue
                found.append(f"{key.decode()} is left")
        for key in self.client.scan_iter(self.prefix + "line:*"):
            for name in (b"queued", b"leased", b"delayed", b"tokens"):
                value = int(self.client.hget(key, name))
                if value:
                    found.append(f"{key.decode()} counts {value} {name.decode()}")
        return found
