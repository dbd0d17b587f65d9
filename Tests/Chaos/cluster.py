"""Processes of a scenario: a Redis server, workers, submitters, cancellers; and how they are killed."""

import os
import random
import signal
import subprocess
import time


# The exit status of a process that could not reach the store.
AWAY = 75
# Before a command: the kernel kills it when this process ends, however it does.
ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL"]


class RedisServer:
    """A server that keeps everything it acknowledged: AOF, appendfsync always; and that is mended as README.md says."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = os.path.join(folder, "redis.sock")
        self.log = os.path.join(folder, "redis.log")
        self.files = os.path.join(folder, "appendonlydir")
        self.process = None
        self.torn = 0
        self.mended = 0

    def start(self):
        if not self._start():
            # A write was cut off: what was not acknowledged is taken away, whole transactions of it.
            with open(self.log, "ab") as log:
                subprocess.run(
                    ["redis-check-aof", "--fix", os.path.join(self.files, "appendonly.aof.manifest")], input=b"y\n",
                    stdout=log, stderr=log, check=True)
            self.mended += 1
            if not self._start():
                raise RuntimeError(f"redis-server does not start: see {self.log}")

    def _start(self, for_s=60):
        import redis
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*ENDS_WITH_US, "redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder,
                 "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no"],
                stdout=log, stderr=log)
        until = time.monotonic() + for_s
        client = redis.Redis(unix_socket_path=self.socket)
        while True:
            try:
                client.ping()
                client.close()
                return True
            except redis.RedisError:
                if self.process.poll() is not None:
                    return False
                if time.monotonic() > until:
                    raise RuntimeError(f"redis-server does not answer: see {self.log}")
                time.sleep(0.01)

    def tear(self):
        """What a kill in the middle of a write leaves: part of a transaction that nobody was told of."""
        with open(os.path.join(self.files, "appendonly.aof.manifest")) as manifest:
            name = [line.split()[1] for line in manifest if line.split()[5] == "i"][-1]
        with open(os.path.join(self.files, name), "ab") as file:
            file.write(b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$5")
        self.torn += 1

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.kill()


class Node:
    """A ChaosNode process that is started again under the same name when it dies; each life is numbered."""

    def __init__(self, cluster, kind, name, url, arguments):
        self.cluster, self.kind, self.name, self.url, self.arguments = cluster, kind, name, url, arguments
        self.process = None
        self.lives = 0
        self.stopped_until = None
        self.is_wanted = True

    def start(self, environment=None):
        self.lives += 1
        log = open(os.path.join(self.cluster.folder, f"{self.kind}.log"), "ab")
        self.process = subprocess.Popen(
            [*ENDS_WITH_US, self.cluster.program, self.kind, self.url, self.cluster.witness,
             f"{self.name}.{self.lives}", *[str(argument) for argument in self.arguments]],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        log.close()

    def signal(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def pause(self, for_s):
        self.signal(signal.SIGSTOP)
        self.stopped_until = time.monotonic() + for_s

    def go_on(self):
        if self.stopped_until is not None:
            self.signal(signal.SIGCONT)
            self.stopped_until = None

    @property
    def status(self):
        """Its exit status; None while it runs."""
        return self.process.poll()


class Cluster:
    """Everything that runs in one scenario, and the faults that can be done to it."""

    def __init__(self, folder, program, seed, lease_ms, step_us):
        self.folder, self.program = folder, program
        self.witness = os.path.join(folder, "witness.log")
        open(self.witness, "ab").close()
        self.random = random.Random(seed)
        self.lease_ms, self.step_us = lease_ms, step_us
        self.workers, self.clients = [], []
        self.deaths = 0
        self._read = 0
        self._tail = b""
        self.done = 0
        self.seen = set()
        self.computed = set()
        self.sealed = {}
        self.opened = {}
        self.trouble = []

    def add_worker(self, url, environment=None, drain_ms=2000):
        worker = Node(self, "worker", f"w{len(self.workers)}", url, [self.lease_ms, self.step_us, drain_ms])
        worker.start(environment)
        self.workers.append(worker)
        return worker

    def submit(self, url, key, count, chunk, max_attempts, *options, environment=None):
        client = Node(self, "submit", f"s{len(self.clients)}", url, [key, count, chunk, max_attempts, *options])
        client.start(environment)
        self.clients.append(client)
        return client

    def cancel(self, url, batch, environment=None):
        client = Node(self, "cancel", f"c{len(self.clients)}", url, [batch])
        client.start(environment)
        self.clients.append(client)
        return client

    def watch(self):
        """Reads what was witnessed since the last look."""
        with open(self.witness, "rb") as file:
            file.seek(self._read)
            piece = file.read()
        self._read += len(piece)
        *lines, self._tail = (self._tail + piece).split(b"\n")
        for line in lines:
            words = line.decode().split()
            if words[0] == "done":
                self.done += 1
            elif words[0] == "begin" and int(words[5]) > 1:
                self.seen.add("attempts above 1")
            elif words[0] == "compute":
                if tuple(words[2:5]) in self.computed:
                    self.seen.add("settles repeated")
                self.computed.add(tuple(words[2:5]))
            elif words[0] == "lost":
                self.seen.add("settles lost")
            elif words[0] == "cancelled":
                self.seen.add("cancelled")
            elif words[0] == "sealed":
                self.sealed[words[2]] = int(words[3])
            elif words[0] == "opened":
                self.opened[words[2]] = words[3]

    def tend(self):
        """Restarts what died and is still wanted, and wakes what has slept long enough."""
        now = time.monotonic()
        for node in self.workers + self.clients:
            if node.stopped_until is not None and now >= node.stopped_until:
                node.go_on()
            if not node.is_wanted or node.status is None:
                continue
            if node.kind == "worker":
                self.deaths += 1
                # A worker ends by itself only when it was asked to, or when it finds no store as it starts.
                if node.status not in (0, AWAY, -signal.SIGKILL, -signal.SIGTERM):
                    self.trouble.append(f"{node.name}.{node.lives} ended with {node.status}")
                node.start()
            elif node.status == 0:
                node.is_wanted = False
            elif node.status in (AWAY, -signal.SIGKILL):
                node.start()
            elif node.kind == "cancel" and node.status == 1:
                node.is_wanted = False      # the batch had ended: wrongState
            else:
                self.trouble.append(f"{node.kind} {node.arguments} ended with {node.status}")
                node.is_wanted = False

    def stop(self):
        """Drains the workers and kills what does not end."""
        for node in self.workers + self.clients:
            node.is_wanted = False
            node.go_on()
            node.signal(signal.SIGTERM)
        until = time.monotonic() + 15
        for node in self.workers + self.clients:
            while node.status is None and time.monotonic() < until:
                time.sleep(0.02)
            if node.status is None:
                self.trouble.append(f"{node.name}.{node.lives} does not drain")
                node.kill()

    def kill_all(self):
        for node in self.workers + self.clients:
            node.is_wanted = False
            if node.process and node.status is None:
                node.kill()
