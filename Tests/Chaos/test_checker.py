#!/usr/bin/python3
"""The checker finds what it is there to find: a small history that is right, and each way of it being wrong."""

import copy
import json
import os
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checker import Checker, Snapshot, Witness
from store import Batch, Result


def body(ordinal):
    return json.dumps({"choices": [{"text": chr(97 + ordinal % 26) * (1 + ordinal % 5)}]}).encode()


def result(ordinal, attempt=1, key="k"):
    return Result(ordinal, f"{key}/{ordinal}", "completed", attempt, len(f"{key}/{ordinal} a"), 1 + ordinal % 5,
                  body(ordinal))


def line(kind, worker, ordinal, attempt, call=1):
    digest = zlib.crc32(body(ordinal))
    usage = f"{len(f'k/{ordinal} a')} {1 + ordinal % 5}"
    return {
        "begin": f"begin {worker} {call} b {ordinal} {attempt} k/{ordinal} 0",
        "compute": f"compute {worker} b {ordinal} {attempt} 200 {digest} {usage}",
    }.get(kind, f"{kind} {worker} b {ordinal} {attempt}")


HISTORY = [
    "open s k", "opened s k b", "appended s b 3", "seal s b 3", "sealed s b 3",
    "ask w 1", line("begin", "w", 0, 1), line("begin", "w", 1, 1),
    line("compute", "w", 0, 1), line("done", "w", 0, 1),
    # v takes over what w was too slow for.
    "ask v 1", line("begin", "v", 1, 2), line("begin", "v", 2, 1),
    line("compute", "w", 1, 1), line("lost", "w", 1, 1),
    line("compute", "v", 1, 2), line("compute", "v", 2, 1), line("done", "v", 1, 2), line("done", "v", 2, 1),
]


class Store:
    def __init__(self):
        results = [result(0), result(1, 2), result(2)]
        counts = {"total": 3, "queued": 0, "leased": 0, "completed": 3, "failed": 0, "cancelled": 0, "expired": 0}
        sums = {name: sum(getattr(r, name) for r in results) for name in ("prompt_tokens", "completion_tokens")}
        self.batch = Batch("b", "k", "completed", counts, sums, results)
        self.more = []
        self.sums = {"completed": 3, "unsuccessful": 0, **sums}
        self.left = []

    def batches(self):
        return [self.batch, *self.more]

    def ledger(self):
        return self.sums

    def leftovers(self):
        return self.left


class CheckerTests(unittest.TestCase):
    def setUp(self):
        self.store, self.history, self.allowed, self.poison = Store(), list(HISTORY), set(), {}
        self.snapshots = []

    def problems(self):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
            file.write("".join(line + "\n" for line in self.history))
            file.flush()
            checker = Checker(self.store, Witness(file.name), self.allowed, self.poison)
            return checker.run(self.snapshots)

    def expect(self, invariant):
        problems = self.problems()
        self.assertTrue([p for p in problems if p.startswith(invariant)], f"no {invariant} in {problems}")

    def change(self, at, **changes):
        old = self.store.batch.results[at]
        self.store.batch.results[at] = Result(**{**old.__dict__, **changes})

    def test_right_history(self):
        self.assertEqual(self.problems(), [])

    def test_missing_outcome(self):
        del self.store.batch.results[1]
        self.expect("I1")

    def test_two_outcomes(self):
        self.store.batch.results.append(result(1, 1))
        self.expect("I1")

    def test_unfinished_batch(self):
        self.store.batch.state = "in_progress"
        self.expect("I1")

    def test_leftovers(self):
        self.store.left = ["leases is left"]
        self.expect("I1")

    def test_lost_batch(self):
        self.history.append("sealed s c 3")
        self.expect("I2")

    def test_short_batch(self):
        self.history[4] = "sealed s b 4"
        self.expect("I2")

    def test_doubled_submit(self):
        self.history.append("opened s k c")
        self.expect("I2")

    def test_two_batches_of_a_key(self):
        other = copy.deepcopy(self.store.batch)
        other.id = "c"
        self.store.more = [other]
        self.expect("I2")

    def test_renamed_request(self):
        self.change(1, custom_id="k/7")
        self.expect("I2")

    def test_outcome_of_the_lost_attempt(self):
        self.change(1, attempt=1)
        self.expect("I3")

    def test_outcome_that_nobody_computed(self):
        self.change(1, body=body(1) + b" ")
        self.expect("I3")

    def test_attempt_granted_twice(self):
        self.history.append(line("begin", "w", 1, 2))
        self.expect("I3")

    def test_two_told_that_they_settled(self):
        self.history[self.history.index(line("lost", "w", 1, 1))] = line("done", "w", 1, 1)
        self.expect("I3")

    def test_computed_without_a_lease(self):
        self.history.append(line("compute", "u", 1, 3))
        self.expect("I3")

    def test_settler_told_that_it_lost(self):
        self.history[self.history.index(line("done", "w", 0, 1))] = line("lost", "w", 0, 1)
        self.expect("I3")

    def test_lost_answer_is_no_problem(self):
        at = self.history.index(line("done", "w", 0, 1))
        self.history[at:at + 1] = [line("compute", "w", 0, 1), line("lost", "w", 0, 1)]
        self.assertEqual(self.problems(), [])

    def test_wrong_count(self):
        self.store.batch.counts["completed"] = 2
        self.expect("I4")

    def test_wrong_usage(self):
        self.store.batch.usage["prompt_tokens"] += 1
        self.expect("I4")

    def test_wrong_ledger(self):
        self.store.sums["completed"] = 4
        self.expect("I4")

    def test_changed_outcome(self):
        other = copy.deepcopy(self.store.batch)
        other.results[0] = result(0, 3)
        self.snapshots = [Snapshot([other])]
        self.expect("I5")

    def test_batch_that_came_back(self):
        other = copy.deepcopy(self.store.batch)
        other.state, other.results = "expired", []
        self.snapshots = [Snapshot([other])]
        self.expect("I5")

    def test_begun_after_cancel(self):
        self.history[10:10] = ["cancel c b", "cancelled c b"]
        self.store.batch.state = "cancelled"
        self.expect("I6")

    def test_cancel_without_effect(self):
        self.history += ["cancel c b", "cancelled c b"]
        self.expect("I6")

    def test_innocent_that_failed(self):
        self.change(2, state="failed", code="attempts_exhausted", body=b"")
        self.expect("I7")

    def test_poison_that_completed(self):
        self.poison = {"k": [2]}
        self.expect("I7")

    def test_wrong_text(self):
        self.change(2, body=body(3))
        self.expect("I8")


if __name__ == "__main__":
    unittest.main()
