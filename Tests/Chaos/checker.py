"""Holds a queue to what its witness says of it: I1 to I7 of docs/ARCHITECTURE.md.

Reads nothing but the store and the witness log, and shares no code with Millrace.
"""

import json
import zlib
from collections import defaultdict

TERMINAL = {"completed", "failed", "cancelled", "expired"}


class Witness:
    """The log of everything that was asked and answered, in order."""

    def __init__(self, path):
        self.opened = defaultdict(set)      # key -> batches
        self.sealed = {}                    # batch -> total
        self.key_of = {}                    # batch -> key
        self.asks = {}                      # (worker, call) -> line number
        self.begins = []                    # (line number, worker, call, lease, custom_id)
        self.computes = defaultdict(list)   # lease -> [(worker, status, digest or code, prompt, completion)]
        self.answers = defaultdict(list)    # lease -> [(worker, done | lost)]
        self.cancelled = {}                 # batch -> line number
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                self._take(number, line.decode().split())

    def _take(self, number, words):
        kind, name, rest = words[0], words[1], words[2:]
        if kind == "ask":
            self.asks[name, rest[0]] = number
        elif kind == "begin":
            self.begins.append((number, name, rest[0], lease(rest[1:4]), rest[4]))
        elif kind == "compute":
            self.computes[lease(rest[:3])].append((name, int(rest[3]), rest[4], int(rest[5]), int(rest[6])))
        elif kind in ("done", "lost"):
            self.answers[lease(rest[:3])].append((name, kind))
        elif kind == "cancelled":
            self.cancelled.setdefault(rest[0], number)
        elif kind == "opened":
            self.opened[rest[0]].add(rest[1])
            self.key_of[rest[1]] = rest[0]
        elif kind == "sealed":
            self.sealed[rest[0]] = int(rest[1])


def lease(words):
    return words[0], int(words[1]), int(words[2])


def check_batch_now(batch):
    """What must hold at any instant: I4, and I1 as far as it goes. Returns problems."""
    problems = []
    states = defaultdict(int)
    for result in batch.results:
        states[result.state] += 1
        if result.state not in TERMINAL:
            problems.append(f"I1 {batch.id}: a result with state {result.state}")
    ordinals = [result.ordinal for result in batch.results]
    if len(set(ordinals)) != len(ordinals):
        problems.append(f"I1 {batch.id}: two outcomes of one request")
    for state in TERMINAL:
        if batch.counts.get(state, 0) != states[state]:
            problems.append(f"I4 {batch.id}: {batch.counts.get(state, 0)} {state} counted, {states[state]} outcomes")
    for name in ("prompt_tokens", "completion_tokens"):
        total = sum(getattr(result, name) for result in batch.results)
        if batch.usage[name] != total:
            problems.append(f"I4 {batch.id}: {name} {batch.usage[name]} counted, {total} in outcomes")
    left = batch.counts.get("queued", 0) + batch.counts.get("leased", 0)
    if left + len(batch.results) != batch.counts["total"]:
        problems.append(f"I1 {batch.id}: {left} left and {len(batch.results)} ended of {batch.counts['total']}")
    return problems


class Checker:
    def __init__(self, store, witness, allowed=None, poison=None):
        """allowed: what requests may end as beside completed: state or error code. poison: key -> ordinals."""
        self.witness = witness
        self.store = store
        self.batches = {batch.id: batch for batch in store.batches()}
        self.allowed = allowed or set()
        self.poison = poison or {}
        self.problems = []
        self.figures = defaultdict(int)

    def say(self, what):
        self.problems.append(what)

    def run(self, snapshots=()):
        self.acceptance()
        for batch in self.batches.values():
            self.problems += check_batch_now(batch)
            self.conservation(batch)
            for result in batch.results:
                self.outcome(batch, result)
        self.fences()
        self.cancels()
        self.ledger()
        self.finality(snapshots)
        for what in self.store.leftovers():
            self.say(f"I1 {what}")
        return self.problems

    def acceptance(self):
        """I2: what was acknowledged is there, once."""
        for key, ids in self.witness.opened.items():
            if len(ids) > 1:
                self.say(f"I2 key {key} opened {len(ids)} batches")
        keys = [batch.key for batch in self.batches.values()]
        for key in {key for key in keys if keys.count(key) > 1}:
            self.say(f"I2 {keys.count(key)} batches of key {key}")
        for id, total in self.witness.sealed.items():
            batch = self.batches.get(id)
            if batch is None:
                self.say(f"I2 {id} was accepted and is not there")
                continue
            self.figures["requests"] += total
            if batch.counts["total"] != total:
                self.say(f"I2 {id} has {batch.counts['total']} requests, {total} were accepted")
            if batch.state == "validating":
                self.say(f"I2 {id} was accepted and is {batch.state}")

    def conservation(self, batch):
        """I1: each request of an accepted batch has ended, once, as what it may end as."""
        if batch.id not in self.witness.sealed:
            self.say(f"I2 {batch.id} is {batch.state}, and nobody was told that it was accepted")
            return
        total = self.witness.sealed[batch.id]
        if batch.state not in ("completed", "cancelled", "expired"):
            self.say(f"I1 {batch.id} is {batch.state}, with {batch.counts}")
        if sorted(result.ordinal for result in batch.results) != list(range(total)):
            self.say(f"I1 {batch.id} has outcomes of {len(batch.results)} requests of {total}")
        if batch.state == "completed" and any(r.state in ("cancelled", "expired") for r in batch.results):
            self.say(f"I1 {batch.id} is completed, with requests that are cancelled or expired")
        if (batch.state == "cancelled") != (batch.id in self.witness.cancelled) and batch.state == "cancelled":
            # A canceller that was cut off may have done it.
            self.figures["cancelled unheard"] += 1

    def outcome(self, batch, result):
        """I3: each outcome is what its attempt computed; I7: each ended as its request deserved."""
        where = f"{batch.id} {result.ordinal}"
        self.figures[result.state] += 1
        if result.attempt > 1:
            self.figures["attempts above 1"] += 1
        if result.custom_id != f"{batch.key}/{result.ordinal}":
            self.say(f"I2 {where} is {result.custom_id}")
        is_poison = result.ordinal in self.poison.get(batch.key, ())
        if result.state == "completed":
            if is_poison:
                self.say(f"I7 {where} kills its worker and is completed")
            computed = self.witness.computes.get((batch.id, result.ordinal, result.attempt), [])
            if (200, str(zlib.crc32(result.body))) not in [(c[1], c[2]) for c in computed]:
                self.say(f"I3 {where}: attempt {result.attempt} has not computed this outcome")
            answer = json.loads(result.body)
            letter, count = chr(ord("a") + result.ordinal % 26), 1 + result.ordinal % 5
            if answer["choices"][0]["text"] != letter * count:
                self.say(f"I8 {where}: {answer['choices'][0]['text']!r}, not {letter * count!r}")
            prompt = len(f"{batch.key}/{result.ordinal} {letter}")
            if (result.prompt_tokens, result.completion_tokens) != (prompt, count):
                self.say(f"I4 {where}: usage {result.prompt_tokens}, {result.completion_tokens}")
        elif is_poison and result.code == "attempts_exhausted":
            self.figures["dead letters"] += 1
        elif result.state not in self.allowed and result.code not in self.allowed:
            self.say(f"I7 {where} is {result.state}: {result.code} {result.message}")

    def fences(self):
        """I3: no attempt is given twice, and only the attempt that holds the lease settles."""
        granted = {}
        for number, worker, call, lease, custom_id in self.witness.begins:
            if lease in granted:
                self.say(f"I3 {lease} was leased to {granted[lease]} and to {worker}")
            granted[lease] = worker
        results = {(b.id, r.ordinal): r for b in self.batches.values() for r in b.results}
        done = {}
        for lease, computed in self.witness.computes.items():
            self.figures["settles repeated"] += len(computed) - 1
            for worker in {c[0] for c in computed}:
                if granted.get(lease) != worker:
                    self.say(f"I3 {worker} computed {lease}, which it was not granted")
        for lease, answers in self.witness.answers.items():
            result = results.get(lease[:2])
            for worker, answer in answers:
                self.figures[f"settles {answer}"] += 1
                if answer == "done":
                    if lease[:2] in done:
                        self.say(f"I3 {lease} and {done[lease[:2]]} were both told that they settled")
                    done[lease[:2]] = lease
                    if result is None or result.attempt != lease[2] or result.state not in ("completed", "failed"):
                        self.say(f"I3 {lease} was told that it settled, and did not: {result}")
                elif result is not None and result.state == "completed" and result.attempt == lease[2]:
                    # Its own, when an earlier answer was lost on the way.
                    if len(self.witness.computes.get(lease, ())) < 2:
                        self.say(f"I3 {lease} was told that it was lost, and it settled")
                    self.figures["answers lost"] += 1

    def cancels(self):
        """I6: nothing that was asked for after a cancel was acknowledged is of its batch."""
        for number, worker, call, lease, custom_id in self.witness.begins:
            if self.witness.asks[worker, call] > self.witness.cancelled.get(lease[0], float("inf")):
                self.say(f"I6 {lease} was begun by {worker} after its batch was cancelled")
        for id in self.witness.cancelled:
            if self.batches[id].state != "cancelled":
                self.say(f"I6 {id} was cancelled and is {self.batches[id].state}")

    def ledger(self):
        """I4: the ledger's sums are those of the outcomes."""
        sums = defaultdict(int)
        for batch in self.batches.values():
            for result in batch.results:
                sums["completed" if result.state == "completed" else "unsuccessful"] += 1
                sums["prompt_tokens"] += result.prompt_tokens
                sums["completion_tokens"] += result.completion_tokens
        ledger = self.store.ledger()
        for name, value in ledger.items():
            if value != sums[name]:
                self.say(f"I4 the ledger has {value} {name}, the outcomes {sums[name]}")

    def finality(self, snapshots):
        """I5: what was seen to have ended is as it was seen."""
        results = {(b.id, r.ordinal): r for b in self.batches.values() for r in b.results}
        for snapshot in snapshots:
            for key, seen in snapshot.results.items():
                if results.get(key) != seen:
                    self.say(f"I5 {key} was {seen} and is {results.get(key)}")
            for id, state in snapshot.states.items():
                if state in ("completed", "cancelled", "expired") and self.batches[id].state != state:
                    self.say(f"I5 {id} was {state} and is {self.batches[id].state}")
            self.figures["snapshots"] += 1


class Snapshot:
    """A store, read while it is at work."""

    def __init__(self, batches):
        self.results = {(b.id, r.ordinal): r for b in batches for r in b.results}
        self.states = {b.id: b.state for b in batches}
        self.problems = [problem for batch in batches for problem in check_batch_now(batch)]
