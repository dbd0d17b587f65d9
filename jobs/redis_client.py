#!/usr/bin/env python3
"""Hands a batch to a Millrace queue and prints its results, with plain Redis commands (docs/redis-keys.md).

    redis_client.py [--url redis://localhost] [--queue default] FILE.jsonl

FILE has a request a line, as in OpenAI's batch files. Needs redis-py (Debian: python3-redis).
"""

import argparse
import json
import secrets
import sys

import redis

CHUNK = 500


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--url", default="redis://localhost", help="redis://, rediss:// or unix://")
    parser.add_argument("--queue", default="default")
    parser.add_argument("--tenant", default="default")
    arguments = parser.parse_args()
    with open(arguments.file, encoding="utf-8") as file:
        requests = [json.loads(line) for line in file if line.strip()]

    server = redis.Redis.from_url(arguments.url)
    prefix = f"millrace:{{{arguments.queue}}}:"
    batch = "batch_" + secrets.token_hex(16)

    # In documents of bounded size. The last one says how many requests there are: then the batch is whole, and workers
    # begin. All of it may be sent again under the same name when it is not known whether it arrived.
    for start in range(0, max(1, len(requests)), CHUNK):
        document = {
            "batch": batch,
            "tenant": arguments.tenant,
            "from": start,
            "requests": [
                {"custom_id": r["custom_id"], "url": r["url"], "body": r["body"]} for r in requests[start : start + CHUNK]
            ],
        }
        if start + CHUNK >= len(requests):
            document["total"] = len(requests)
        server.rpush(prefix + "inbox", json.dumps(document))
    print(f"submitted {len(requests)} requests as {batch}", file=sys.stderr)

    # Results come as they are settled; the last one's id is where to go on after an interruption.
    key, last = f"{prefix}b:{batch}", "0"
    while True:
        found = server.xread({f"{key}:results": last}, count=100, block=1000)
        for last, fields in found[0][1] if found else []:
            result = {"custom_id": fields[b"custom_id"].decode(), "status": int(fields[b"status"])}
            if fields[b"error"]:
                result["error"] = json.loads(fields[b"error"])
            else:
                result["response"] = json.loads(fields[b"response"])
            print(json.dumps(result), flush=True)
        if found:
            continue
        refused = server.hget(prefix + "refused", batch)
        if refused:
            sys.exit(f"the queue refused the batch: {refused.decode()}")
        state = server.hget(key, "state")
        if state in (b"completed", b"cancelled", b"expired"):
            # What was settled between the last look and this one.
            if not server.xread({f"{key}:results": last}, count=1):
                break
    usage = server.hmget(key, "prompt_tokens", "completion_tokens")
    print(f"{state.decode()}: {int(usage[0])} prompt and {int(usage[1])} completion tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
