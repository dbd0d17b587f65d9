"""What Celery, RQ, Dramatiq, arq and Taskiq do with the same server: enqueue COUNT tasks with a payload of 1 KB, then
work them off with one worker that returns 1 KB, kept as the task's result.

    python peers.py SOCKET COUNT [NAME ...]

Each does it as its own documentation says, in its fastest form that keeps results: batches where there is an API for
them, no fork a task, many tasks at once where it is asynchronous. Prints rates, and processor time each of the client
or worker and of the server's main thread.
"""

import asyncio
import multiprocessing
import os
import resource
import sys
import time

import redis

SOCKET, COUNT = sys.argv[1], int(sys.argv[2])
URL = f"unix://{SOCKET}"
DATABASE = {"celery": 1, "rq": 2, "dramatiq": 3, "arq": 4, "taskiq": 5}
PAYLOAD = "x" * 994
RESULT = "y" * 994
control = redis.Redis(unix_socket_path=SOCKET)


def server_cpu():
    info = control.info("cpu")
    return info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]


def own_cpu():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def timed(name, what, body):
    start, cpu, server = time.monotonic(), own_cpu(), server_cpu()
    body()
    seconds = time.monotonic() - start
    print(
        f"{name:10} {what:16} {COUNT / seconds:10.0f}/s   {(own_cpu() - cpu) / COUNT * 1e6:8.0f} us"
        f"   server {(server_cpu() - server) / COUNT * 1e6:6.0f} us",
        flush=True,
    )


def connection(name):
    return redis.Redis(unix_socket_path=SOCKET, db=DATABASE[name])


def wait_for_results(name, pattern):
    """Until every task's result is there, looking seldom."""
    there = connection(name)
    while sum(1 for _ in there.scan_iter(pattern, count=10_000)) < COUNT:
        time.sleep(0.2)


# Celery: https://docs.celeryq.dev/en/stable/userguide/optimizing.html
def celery_app():
    from celery import Celery

    place = f"redis+socket://{SOCKET}?virtual_host={DATABASE['celery']}"
    app = Celery("peers", broker=place, backend=place)
    app.conf.update(
        task_acks_late=True, worker_prefetch_multiplier=64, task_ignore_result=False, worker_hijack_root_logger=False
    )

    @app.task(name="work")
    def work(payload):
        return RESULT

    return app, work


def celery_worker():
    sys.stdout = sys.stderr = open(os.devnull, "w")
    app, _ = celery_app()
    app.worker_main(["worker", "-P", "solo", "-l", "critical", "--without-gossip", "--without-mingle"])


def run_celery():
    app, work = celery_app()

    def enqueue():
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(COUNT):
                work.apply_async((PAYLOAD,), producer=producer)

    timed("celery", "enqueue", enqueue)

    def consume():
        worker = multiprocessing.Process(target=celery_worker)
        worker.start()
        wait_for_results("celery", "celery-task-meta-*")
        worker.terminate()
        worker.join()

    timed("celery", "work", consume)


# RQ: https://python-rq.org/docs/ (enqueue_many, SimpleWorker)
def rq_work(payload):
    return RESULT


def run_rq():
    import logging

    from rq import Queue, SimpleWorker

    logging.getLogger("rq.worker").setLevel(logging.ERROR)
    there = connection("rq")
    queue = Queue(connection=there)

    def enqueue():
        for start in range(0, COUNT, 500):
            jobs = [
                Queue.prepare_data(rq_work, (PAYLOAD,)) for _ in range(start, min(COUNT, start + 500))
            ]
            with there.pipeline() as pipe:
                queue.enqueue_many(jobs, pipeline=pipe)
                pipe.execute()

    timed("rq", "enqueue", enqueue)
    worker = SimpleWorker([queue], connection=there)
    timed("rq", "work", lambda: worker.work(burst=True, logging_level="ERROR"))


# Dramatiq: https://dramatiq.io/guide.html#message-results
def run_dramatiq():
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(client=connection("dramatiq"))
    broker.add_middleware(Results(backend=RedisBackend(client=connection("dramatiq")), store_results=True))
    dramatiq.set_broker(broker)

    @dramatiq.actor(store_results=True)
    def work(payload):
        return RESULT

    def enqueue():
        for _ in range(COUNT):
            work.send(PAYLOAD)

    timed("dramatiq", "enqueue", enqueue)

    def consume():
        worker = dramatiq.Worker(broker, worker_threads=8, worker_timeout=100)
        worker.start()
        broker.join("default")
        worker.join()
        worker.stop()

    timed("dramatiq", "work", consume)


# arq: https://arq-docs.helpmanual.io
async def arq_work(context, payload):
    return RESULT


def run_arq():
    from arq import create_pool
    from arq.connections import RedisSettings
    from arq.worker import Worker

    settings = RedisSettings(unix_socket_path=SOCKET, database=DATABASE["arq"])

    async def enqueue():
        pool = await create_pool(settings)
        for start in range(0, COUNT, 64):
            await asyncio.gather(
                *(pool.enqueue_job("arq_work", PAYLOAD) for _ in range(start, min(COUNT, start + 64)))
            )
        await pool.aclose()

    timed("arq", "enqueue", lambda: asyncio.run(enqueue()))

    async def consume():
        worker = Worker(
            functions=[arq_work], redis_settings=settings, burst=True, max_jobs=64, handle_signals=False,
            poll_delay=0.01, queue_read_limit=256,
        )
        await worker.main()
        await worker.close()

    timed("arq", "work", lambda: asyncio.run(consume()))


# Taskiq: https://taskiq-python.github.io (RedisStreamBroker acknowledges)
def run_taskiq():
    from taskiq.api import run_receiver_task
    from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

    place = f"unix://{SOCKET}?db={DATABASE['taskiq']}"

    def make():
        backend = RedisAsyncResultBackend(redis_url=place, prefix_str="result")
        broker = RedisStreamBroker(url=place).with_result_backend(backend)

        @broker.task(task_name="work")
        async def work(payload: str) -> str:
            return RESULT

        return broker, work

    async def enqueue():
        broker, work = make()
        await broker.startup()
        for start in range(0, COUNT, 64):
            await asyncio.gather(*(work.kiq(PAYLOAD) for _ in range(start, min(COUNT, start + 64))))
        await broker.shutdown()

    timed("taskiq", "enqueue", lambda: asyncio.run(enqueue()))

    async def consume():
        broker, _ = make()
        receiver = asyncio.create_task(run_receiver_task(broker, max_async_tasks=64, run_startup=True))
        there = connection("taskiq")
        while sum(1 for _ in there.scan_iter("result:*", count=10_000)) < COUNT:
            await asyncio.sleep(0.2)
        receiver.cancel()
        await broker.shutdown()

    timed("taskiq", "work", lambda: asyncio.run(consume()))


if __name__ == "__main__":
    for name in sys.argv[3:] or list(DATABASE):
        connection(name).flushdb()
        globals()[f"run_{name}"]()
        connection(name).flushdb()
