"""Ends a process at an exact step of a call to Redis, each step in turn, and sees what the others make of it.

Steps are named as in Sources/JobQueue/Failpoint.swift: before a call is sent, between sending and answer, and with
the answer in hand.
"""

import os
import signal
import time

from checker import Checker, Witness
from cluster import Cluster
from store import RedisStore

STRUCK = 86
STEPS = ("before", "sent", "replied")
# Who makes the call, and which of its calls are struck: the first, and one in the middle of things.
CALLS = {
    "open": ("submit", (1,)), "append": ("submit", (1, 3)), "seal": ("submit", (1,)),
    "lease": ("worker", (1, 2, 3)), "settle": ("worker", (1, 2)), "renew": ("worker", (1, 2)),
    "release": ("worker", (1,)), "reclaim": ("worker", (1, 3)), "goOn": ("worker", (1,)), "forget": ("worker", (1,)),
    "heartbeat": ("worker", (1, 2)), "forgetWorker": ("worker", (1,)), "cancel": ("cancel", (1,)),
    "goOn ": ("cancel", (1, 2)),
}
ALL = [
    (call.strip(), kind, f"{call.strip()}.{step}:{count}")
    for call, (kind, counts) in CALLS.items() for step in STEPS for count in counts
]


class Failpoints:
    """All failpoints, one after the other, each on a queue of its own in one server."""

    def __init__(self, server, options, folder, seed):
        self.server, self.options, self.folder, self.seed = server, options, folder, seed

    def run(self):
        problems, struck = [], 0
        for number, (call, kind, point) in enumerate(ALL):
            folder = os.path.join(self.folder, str(number))
            os.mkdir(folder)
            cluster = Cluster(folder, self.options.node, self.seed, 300, 1000)
            try:
                found = self.strike(cluster, f"q{number}", call, kind, point)
            finally:
                cluster.kill_all()
            problems += [f"{point} in {kind}: {problem} ({folder})" for problem in found]
            struck += 1
        return problems, {"failpoints": struck}

    def strike(self, cluster, queue, call, kind, point):
        url = f"unix://{self.server.socket}?queue={queue}"
        environment = {"MILLRACE_FAILPOINT": point}
        # A cancel ends so many in three steps.
        count, chunk = (1200, 400) if kind == "cancel" else (60, 10)
        submitted = self.wait_for(
            cluster,
            cluster.submit(url, "k0", count, chunk, 1000, environment=environment if kind == "submit" else None))
        if kind == "submit":
            if submitted.status != STRUCK:
                return [f"the failpoint was not struck: the submitter ended with {submitted.status}"]
            submitted.start()
            self.wait_for(cluster, submitted)
        allowed = set()
        if kind == "cancel":
            victim = cluster.cancel(url, cluster_batch(cluster), environment=environment)
            allowed.add("cancelled")
        elif kind == "worker":
            # Alone, and slow enough to renew and to be asked to stop with work in hand.
            cluster.step_us = 40_000 if call in ("renew", "release") else 1000
            victim = cluster.add_worker(url, environment, drain_ms=50)
            if call in ("release", "forgetWorker"):
                self.wait_until(lambda: "begin" in open(cluster.witness).read())
                victim.signal(signal.SIGTERM)
        if kind != "submit":
            victim.is_wanted = False
            self.wait_until(lambda: victim.status is not None)
            if victim.status != STRUCK:
                return [f"the failpoint was not struck: the {kind} ended with {victim.status}"]
            if kind == "cancel":
                victim.start()
                self.wait_until(lambda: victim.status is not None)
        cluster.step_us = 1000
        for _ in range(2):
            cluster.add_worker(url)
        store = RedisStore(self.server.socket, queue)
        over = ("completed", "cancelled", "expired")
        self.wait_until(lambda: all(state in over for state in store.states().values()), cluster)
        cluster.stop()
        checker = Checker(store, Witness(cluster.witness), allowed)
        return checker.run() + cluster.trouble

    def wait_for(self, cluster, node):
        node.is_wanted = False
        self.wait_until(lambda: node.status is not None)
        cluster.watch()
        return node

    def wait_until(self, is_so, cluster=None):
        until = time.monotonic() + 30
        while not is_so() and time.monotonic() < until:
            if cluster:
                cluster.tend()
            time.sleep(0.01)


def cluster_batch(cluster):
    cluster.watch()
    return next(iter(cluster.sealed))
