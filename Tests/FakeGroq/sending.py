"""Puts an answer on the wire, well or badly."""

import asyncio
import email.utils
import gzip
import time

from http1 import Closed

HTML = b"<html><body><h1>Bad gateway</h1></body></html>"


async def send(reply, answer, request, settings):
    """Whether the whole answer was given to the network."""
    rule = reply.rule or {}
    action = rule.get("do")
    body = reply.body
    headers = [("content-type", "application/json"), ("server", "fake"), ("x-request-id", "req_fake"),
               ("date", email.utils.formatdate(time.time() + settings["skew_s"], usegmt=True))]
    if action == "html":
        headers[0] = ("content-type", "text/html")
        body = HTML
    if action == "invalid_json":
        body = body[: len(body) // 2]
    if action == "empty":
        body = b""
    if action == "no_choices":
        body = b'{"object":"something else"}'
    if action == "bad_headers":
        reply.headers = [("x-ratelimit-limit-tokens", "lots"), ("x-ratelimit-remaining-tokens", "-5"),
                         ("x-ratelimit-reset-tokens", "yesterday"), ("x-ratelimit-reset-requests", "")]
    if action != "no_headers":
        headers += reply.headers
    try:
        if action in BROKEN:
            return await BROKEN[action](answer, reply, headers, body, rule)
        if settings["gzip"] and "gzip" in request.headers.get("accept-encoding", ""):
            headers.append(("content-encoding", "gzip"))
            body = gzip.compress(body)
        await answer.whole(reply.status, headers, body)
        return True
    except Closed:
        return False


async def reset_first(answer, reply, headers, body, rule):
    answer.reset()
    return False


async def reset_mid_body(answer, reply, headers, body, rule):
    await answer.head(reply.status, headers, len(body))
    await answer.body(body[: len(body) // 2])
    # So that the first half is received before the reset overtakes it.
    await asyncio.sleep(0.05)
    answer.reset()
    return False


async def stop_mid_body(answer, reply, headers, body, rule):
    await answer.head(reply.status, headers, len(body))
    await answer.body(body[: len(body) // 2])
    await asyncio.sleep(86400)
    return False


async def drip(answer, reply, headers, body, rule):
    await answer.head(reply.status, headers, len(body))
    for i in range(len(body)):
        await answer.body(body[i : i + 1], last=i + 1 == len(body))
        await asyncio.sleep(rule.get("delay_ms", 1) / 1000)
    return True


async def gigabyte(answer, reply, headers, body, rule):
    total = rule.get("bytes", 1 << 30)
    part = b'{"choices": [' + b" " * 65536
    await answer.head(reply.status, headers, total)
    while total > 0:
        await answer.body(part[:total], last=total <= len(part))
        total -= len(part)
    return True


async def bomb(answer, reply, headers, body, rule):
    squeezed = gzip.compress(b" " * rule.get("bytes", 1 << 26))
    await answer.whole(reply.status, headers + [("content-encoding", "gzip")], squeezed)
    return True


async def short(answer, reply, headers, body, rule):
    await answer.head(reply.status, headers, len(body) + 100)
    await answer.body(body)
    answer.close()
    return False


async def long(answer, reply, headers, body, rule):
    await answer.head(reply.status, headers, len(body) // 2)
    await answer.body(body)
    answer.close()
    return False


BROKEN = {function.__name__: function for function in (
    reset_first, reset_mid_body, stop_mid_body, drip, gigabyte, bomb, short, long)}
