"""What can go wrong, by name. Each fault is one call on a Stage; a scenario says which of them come how often."""

import signal
from dataclasses import dataclass, field


# Figures that show in the witness as it is written.
LIVE = frozenset({"attempts above 1", "settles lost", "settles repeated", "cancelled"})


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    # Faults by weight.
    faults: dict = field(default_factory=dict)
    # Faults in a small run; a large one has as many for its size.
    count: int = 0
    # What requests may end as beside completed.
    allowed: frozenset = frozenset()
    # What must have come up for the run to mean something: figures of the checker; those in `LIVE` can be waited for.
    expected: tuple = ()
    max_attempts: int = 100_000
    # How long a step of the model takes; None: as the options say. A request takes up to six.
    step_us: int | None = None
    poison: bool = False
    windows: bool = False
    needs_redis: bool = False

    @property
    def expected_live(self):
        return LIVE.intersection(self.expected)


def kill_worker(stage):
    stage.a_worker().kill()


def drain_worker(stage):
    stage.a_worker().signal(signal.SIGTERM)


def pause_worker(stage):
    stage.a_worker().pause(stage.lease_s * stage.random.uniform(0.9, 1.7))


def kill_submitter(stage):
    clients = [client for client in stage.cluster.clients if client.status is None]
    if clients:
        stage.random.choice(clients).kill()


def kill_redis(stage):
    stage.restart_redis(stage.random.uniform(0.0, 0.4), is_torn=stage.random.random() < 0.5)


def rewrite_aof(stage):
    """A kill that comes soon after meets the server in the middle of it."""
    stage.tell_redis("BGREWRITEAOF")


def flush_scripts(stage):
    stage.tell_redis("SCRIPT", "FLUSH")


def kill_clients(stage):
    stage.tell_redis("CLIENT", "KILL", "TYPE", "normal")


def cut_link(stage):
    stage.network.cut(stage.a_link())


def cut_mid_reply(stage):
    stage.network.cut_mid_reply(stage.a_link(), stage.random.choice([0, 1, 3, 20, 300, 5000]))


def darken_link(stage):
    stage.network.darken(stage.a_link(), stage.lease_s * stage.random.uniform(0.2, 1.5))


def slow_link(stage):
    stage.network.slow(stage.a_link(), stage.random.uniform(0.005, 0.1), stage.lease_s)


def hold_link(stage):
    link = stage.a_link()
    stage.network.hold(link, stage.lease_s * stage.random.uniform(0.5, 1.5), stage.lease_s)
    if stage.random.random() < 0.5:
        stage.network.cut(link)


def cancel_batch(stage):
    stage.cancel_one()


WORKERS = {kill_worker: 4, pause_worker: 2, drain_worker: 1}
NETWORK = {cut_link: 2, cut_mid_reply: 4, darken_link: 1, slow_link: 1, hold_link: 2}

ALL = [
    Scenario("calm", "nothing goes wrong"),
    Scenario("worker-kill", "kill -9 of workers", {kill_worker: 1}, 12, expected=("attempts above 1",)),
    Scenario(
        "worker-stop", "SIGSTOP of workers past their leases, which others take over", {pause_worker: 1}, 6,
        expected=("attempts above 1", "settles lost"), step_us=40_000),
    Scenario("worker-drain", "SIGTERM of workers: what runs ends or is handed back", {drain_worker: 1}, 8),
    Scenario("submitter-kill", "kill -9 of submitters, which are run again", {kill_submitter: 1}, 12),
    Scenario(
        "redis-kill", "kill -9 of Redis, also while it rewrites its file; scripts flushed, clients killed",
        {kill_redis: 6, rewrite_aof: 3, flush_scripts: 2, kill_clients: 2}, 12, needs_redis=True),
    Scenario(
        "network", "links cut, cut in the middle of replies, dark, slow and late", NETWORK, 24,
        expected=("settles repeated",), needs_redis=True),
    Scenario(
        "cancel", "batches cancelled while workers are killed", {cancel_batch: 3, kill_worker: 1}, 8,
        allowed=frozenset({"cancelled"}), expected=("cancelled",), step_us=10_000),
    Scenario(
        "window", "batches whose window ends while workers are killed", {kill_worker: 1}, 4,
        allowed=frozenset({"expired"}), windows=True, expected=("expired",)),
    Scenario(
        "poison", "requests that kill their workers, among others", max_attempts=3, poison=True,
        expected=("dead letters",)),
    Scenario(
        "storm", "everything at once",
        {**WORKERS, **NETWORK, kill_submitter: 2, kill_redis: 1, rewrite_aof: 1, flush_scripts: 1, cancel_batch: 1}, 30,
        allowed=frozenset({"cancelled"}), expected=("attempts above 1",), needs_redis=True),
]
BY_NAME = {scenario.name: scenario for scenario in ALL}
