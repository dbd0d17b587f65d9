"""What a store holds, as the checker wants it."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass, field


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
            names = ("total", "queued", "leased", "completed", "failed", "cancelled", "expired")
            found[row["seq"]] = Batch(
                row["id"], row["idempotency_key"], row["state"], {name: row[name] for name in names},
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
        self.socket = socket
