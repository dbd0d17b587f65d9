#!/usr/bin/python3
"""Runs the chaos scenarios: real processes, a real Redis, seeded faults, and then the checker. See README.md."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scenarios
from checker import Checker, Snapshot, Witness
from cluster import Cluster, RedisServer
from failpoints import Failpoints
from proxy import Network
from store import RedisStore, SQLiteStore, StoreAway


class Stage:
    """A scenario at work."""

    def __init__(self, scenario, options, folder, seed):
        self.scenario, self.options, self.folder = scenario, options, folder
        self.lease_s = options.lease_ms / 1000
        self.cluster = Cluster(folder, options.node, seed, options.lease_ms, scenario.step_us or options.step_us)
        self.random = self.cluster.random
        self.network = Network()
        self.server = None
        self.redis_returns = None
        self.sizes = []
        self.poison = {}
        self.faults = {}
        self.snapshots = []
        if options.store == "redis":
            self.server = RedisServer(folder)
            self.server.start()
            self.store = RedisStore(self.server.socket, "chaos")
        else:
            self.path = os.path.join(folder, "queue.sqlite")
            self.store = SQLiteStore(self.path)

    # MARK: Who there is

    def url(self, name):
        """Everyone has a link of their own."""
        if self.options.store == "sqlite":
            return self.path
        path = os.path.join(self.folder, f"{name}.sock")
        self.network.link(path, self.server.socket)
        return f"unix://{path}?queue=chaos"

    def a_worker(self):
        return self.random.choice(self.cluster.workers)

    def a_link(self):
        return self.random.choice(self.network.links)

    def restart_redis(self, after_s, is_torn):
        if self.redis_returns is None:
            self.server.kill()
            if is_torn:
                self.server.tear()
            self.redis_returns = time.monotonic() + after_s

    def tell_redis(self, *command):
        if self.redis_returns is None:
            self.store.tell(*command)

    def cancel_one(self):
        cancelled = [client.arguments[0] for client in self.cluster.clients if client.kind == "cancel"]
        # Not the last one: something has to complete.
        left = [batch for batch in self.cluster.sealed if batch not in cancelled][:-1]
        if left:
            self.cluster.cancel(self.url(f"c{len(self.cluster.clients)}"), self.random.choice(left))

    # MARK: The run

    def run(self):
        for number in range(self.options.workers):
            self.cluster.add_worker(self.url(f"w{number}"))
        for _ in range(self.options.batches):
            self.submit()
        for _ in range(self.options.rounds):
            self.disturb()
            if self.cluster.seen.issuperset(self.scenario.expected_live):
                break
            # Chance has it that nothing came of it: once more, with another batch.
            self.submit()
        self.finish()

    def submit(self):
        number, size = len(self.sizes), self.options.requests // self.options.batches
        key, more = f"k{number}", [f"tenant=t{number % 3}"]
        if self.scenario.poison and number % 2 == 0:
            self.poison[key] = sorted(self.random.sample(range(size), max(1, min(size // 100, 5))))
            more.append("poison=" + ",".join(map(str, self.poison[key])))
        if self.scenario.windows and number % 2 == 0:
            # The first one's ends at once.
            more.append(f"window={self.random.randint(300, 3000) if number else 1}")
        self.sizes.append(size)
        self.cluster.submit(
            self.url(f"s{number}"), key, size, max(1, size // 10), self.scenario.max_attempts, *more)

    def disturb(self):
        """Faults at points of the progress that the seed names; when nothing moves, the next one comes anyway."""
        count = self.scenario.count * max(1, self.options.requests // 1000)
        before, left = self.cluster.done, sum(self.sizes) - self.cluster.done
        points = sorted(before + self.random.uniform(0, 0.9) * left for _ in range(count))
        faults = self.random.choices(list(self.scenario.faults), list(self.scenario.faults.values()), k=count) \
            if count else []
        moved, last, looked = time.monotonic(), -1, 0.0
        for point, fault in zip(points, faults):
            while True:
                self.tend()
                now = time.monotonic()
                progress = self.cluster.done + len(self.cluster.sealed) + len(self.cluster.opened)
                if progress != last:
                    moved, last = now, progress
                if self.cluster.done >= point:
                    break
                if now - moved > self.lease_s:
                    if self.is_over():
                        return
                    break
                looked = self.look(looked)
                time.sleep(0.01)
            moved = time.monotonic()
            self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
            fault(self)

    def tend(self):
        if self.redis_returns is not None and time.monotonic() >= self.redis_returns:
            self.redis_returns = None
            self.server.start()
        self.cluster.tend()
        self.cluster.watch()

    def look(self, last):
        """Now and then a snapshot, for I4 and I5."""
        now = time.monotonic()
        if now - last < self.options.look_s or self.redis_returns is not None:
            return last
        try:
            self.snapshots.append(Snapshot(self.store.batches()))
        except StoreAway:
            pass
        return time.monotonic()

    def is_over(self):
        """Whether everyone was told that they have submitted, and everything has ended."""
        if self.redis_returns is not None or any(client.is_wanted for client in self.cluster.clients):
            return False
        try:
            states = self.store.states()
        except StoreAway:
            return False
        return bool(states) and all(state in ("completed", "cancelled", "expired") for state in states.values())

    def finish(self):
        """Without faults, until everything has ended."""
        self.network.heal()
        began = time.monotonic()
        limit, looked = self.options.patience_s, 0.0
        while True:
            self.tend()
            looked = self.look(looked)
            if self.is_over():
                break
            if time.monotonic() - began > limit:
                self.cluster.trouble.append(f"not finished after {limit} s")
                break
            time.sleep(0.05)
        self.cluster.stop()
        self.cluster.watch()

    def check(self):
        checker = Checker(
            self.store, Witness(self.cluster.witness), set(self.scenario.allowed), self.poison)
        problems = checker.run(self.snapshots)
        problems += [problem for snapshot in self.snapshots for problem in snapshot.problems]
        problems += self.cluster.trouble
        if self.server:
            checker.figures["files mended"] = self.server.mended
            if self.server.mended < self.server.torn:
                problems.append(f"{self.server.torn} files were torn and {self.server.mended} mended")
        for figure in self.scenario.expected:
            if not checker.figures[figure]:
                problems.append(f"the scenario shows nothing: no {figure}")
        return problems, checker.figures

    def close(self):
        self.cluster.kill_all()
        self.network.stop()
        if self.server:
            self.server.stop()


def run(scenario, options, seed):
    """Returns whether everything held."""
    folder = tempfile.mkdtemp(prefix="chaos-", dir=options.folder)
    began = time.monotonic()
    stage = Stage(scenario, options, folder, f"{seed}/{scenario.name}")
    try:
        stage.run()
        problems, figures = stage.check()
    finally:
        stage.close()
    figures = {**stage.faults, **dict(sorted(figures.items()))}
    return report(scenario.name, seed, began, problems, figures, folder, options)


def report(name, seed, began, problems, figures, folder, options):
    print(f"{'ok  ' if not problems else 'FAIL'} {name} seed {seed} ({time.monotonic() - began:.1f} s): "
          + ", ".join(f"{figure} {value}" for figure, value in figures.items() if value), flush=True)
    for problem in problems[:20]:
        print(f"     {problem}")
    if len(problems) > 20:
        print(f"     and {len(problems) - 20} more")
    if problems or options.keep:
        print(f"     kept: {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return not problems


def run_failpoints(options, seed):
    folder = tempfile.mkdtemp(prefix="chaos-", dir=options.folder)
    began = time.monotonic()
    server = RedisServer(folder)
    server.start()
    try:
        problems, figures = Failpoints(server, options, folder, seed).run()
    finally:
        server.stop()
    return report("failpoints", seed, began, problems, figures, folder, options)


def main():
    names = [scenario.name for scenario in scenarios.ALL] + ["failpoints"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--node", required=True, help="path of the ChaosNode program")
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--lease-ms", type=int, default=1000)
    parser.add_argument("--step-us", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10, help="at most, until what a scenario is about has come up")
    parser.add_argument("--look-s", type=float, default=0.5, help="seconds between snapshots")
    parser.add_argument("--patience-s", type=float, default=120)
    parser.add_argument("--folder", help="where the processes' files are (default: the temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep them, also of runs without problems")
    options = parser.parse_args()
    for name in options.scenario:
        if name not in names:
            parser.error(f"no scenario {name}: {', '.join(names)}")
    chosen = [scenarios.BY_NAME[name] for name in options.scenario or names if name in scenarios.BY_NAME]
    if options.store == "sqlite":
        chosen = [scenario for scenario in chosen if not scenario.needs_redis]
    with_failpoints = options.store == "redis" and "failpoints" in (options.scenario or names)
    # So that it takes its processes along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    held = True
    for seed in range(options.seed, options.seed + options.seeds):
        for scenario in chosen:
            held = run(scenario, options, seed) and held
        if with_failpoints:
            held = run_failpoints(options, seed) and held
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
