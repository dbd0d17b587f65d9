"""Chats and completions, checked, limited, counted and answered as Groq does it."""

import asyncio
import hashlib
import json
import math
import time


class Reply:
    def __init__(self, status, body, headers=None, rule=None):
        self.status = status
        self.body = body
        self.headers = headers or []
        self.rule = rule


class Refusal(Exception):
    def __init__(self, status, code, message, kind="invalid_request_error", param=None, headers=None):
        super().__init__(message)
        self.status = status
        self.headers = headers or []
        error = {"message": message, "type": kind, "code": code}
        if param is not None:
            error["param"] = param
        self.body = {"error": error}

    def reply(self):
        return Reply(self.status, json.dumps(self.body).encode(), self.headers)


def count_tokens(text):
    """About as many as a tokenizer would make."""
    return max(1, (len(text) + 3) // 4)


def prompt_text(body):
    parts = []
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        parts.append(prompt)
    elif isinstance(prompt, list):
        parts += [str(part) for part in prompt]
    for message in body.get("messages") or []:
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        for part in content if isinstance(content, list) else []:
            if part.get("type") == "text":
                parts.append(part.get("text", ""))
            elif part.get("type") == "image_url":
                parts.append("[image %s]" % hashlib.sha256(json.dumps(part).encode()).hexdigest()[:8])
    return " ".join(parts)


class Completions:
    def __init__(self, fake):
        self.fake = fake

    def models(self):
        data = [{"id": name, "object": "model", "created": 1, "owned_by": "fake", "active": True,
                 "context_window": 131072} for name in self.fake.settings["models"]]
        return Reply(200, json.dumps({"object": "list", "data": data}).encode())

    async def reply(self, request, path, entry):
        fake = self.fake
        is_groq = path.startswith("/openai/")
        entry["hash"] = hashlib.sha256(request.body).hexdigest()[:16]
        if len(request.body) <= 4096:
            entry["body"] = request.body.decode("utf-8", "replace")
        organisation, key = fake.organisation(request)
        try:
            body = json.loads(request.body)
            assert isinstance(body, dict)
        except (ValueError, AssertionError):
            raise Refusal(400, "invalid_request", "The body is not a JSON object.")
        model = body.get("model")
        if isinstance(body.get("user"), str):
            entry["user"] = body["user"]
        rule = fake.rules.find(model, request.body)
        action = rule["do"] if rule else None
        if action == "revoke":
            fake.revoked.add(key)
            fake.organisation(request)
        if action == "decommission":
            fake.decommissioned.add(model)
        if action == "echo_key":
            raise Refusal(400, "invalid_request", "Odd request with the key %s." % key)
        if action == "status":
            raise self.told(rule)
        self.check(body, model, is_groq)
        limits = fake.limits_of(organisation, model)
        prompt = count_tokens(prompt_text(body))
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        completion = min(most or math.inf, fake.settings["completion_tokens"])
        if fake.settings["admits_by"] == "reserved":
            reserved = prompt + (most or completion)
        else:
            reserved = prompt + completion
        self.admit(limits, reserved, model, organisation)
        fake.log(event="begin", number=entry["number"], user=entry.get("user"), hash=entry["hash"])
        started = fake.now()
        await fake.gather()
        latency = fake.settings["latency_ms"] / 1000
        if latency > 0:
            await asyncio.sleep(latency / fake.settings["time_scale"])
        entry["computed"] = True
        entry["tokens"] = prompt + completion
        limits.correct(reserved, prompt + completion, fake.now())
        if action == "late_status":
            raise self.told(rule)
        if action == "silence":
            await asyncio.sleep(86400)
        document = self.answer(body, path, prompt, completion, fake.now() - started, entry["number"])
        return Reply(200, document, self.headers(limits), rule)

    def headers(self, limits):
        if self.fake.settings["silent"]:
            return []
        return limits.headers(self.fake.now(), self.fake.settings["skew_s"])

    @staticmethod
    def told(rule):
        headers = []
        if "retry_after" in rule:
            headers.append(("retry-after", str(rule["retry_after"])))
        status = rule.get("status", 503)
        default = {429: "rate_limit_exceeded", 498: "capacity_exceeded"}.get(status, "service_unavailable")
        return Refusal(status, rule.get("code", default), rule.get("message", "Told to fail."),
                       kind="server_error" if status >= 500 else "invalid_request_error", headers=headers)

    def check(self, body, model, is_groq):
        fake = self.fake
        if model in fake.decommissioned:
            raise Refusal(400, "model_decommissioned",
                          "The model `%s` has been decommissioned and is no longer supported." % model)
        if model not in fake.settings["models"]:
            raise Refusal(404, "model_not_found",
                          "The model `%s` does not exist or you do not have access to it." % model)
        if body.get("stream"):
            raise Refusal(400, "invalid_request", "This server does not stream.", param="stream")
        if not is_groq:
            return
        for name in ("logprobs", "top_logprobs", "logit_bias"):
            if body.get(name):
                raise Refusal(400, "invalid_request", "property '%s' is unsupported" % name, param=name)
        if body.get("n", 1) not in (None, 1):
            raise Refusal(400, "invalid_request", "'n' must be 1", param="n")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal(400, "invalid_request", "'messages' : minimum number of items is 1", param="messages")
        for index, message in enumerate(messages):
            if "name" in message:
                raise Refusal(400, "invalid_request", "'messages.%d' : property 'name' is unsupported" % index)
        if body.get("service_tier") not in (None, "auto", "on_demand", "flex", "performance"):
            raise Refusal(400, "invalid_request", "unknown service tier", param="service_tier")

    def admit(self, limits, tokens, model, organisation):
        now = self.fake.now()
        admitted, name, wait = limits.admit(tokens, now)
        if admitted:
            return
        place = "model `%s` in organization `%s` service tier `on_demand` on %s" % (model, organisation, name)
        kind = "tokens" if "TPM" in name else "requests"
        if math.isinf(wait):
            raise Refusal(413, "rate_limit_exceeded", "Request too large for %s: Limit %d, Requested %d, please "
                          "reduce your message size and try again." % (place, limits.tokens.limit, tokens), kind=kind)
        headers = self.headers(limits)
        # Whole seconds, as retry-after has it.
        headers.append(("retry-after", str(max(1, math.ceil(wait)))))
        raise Refusal(429, "rate_limit_exceeded", "Rate limit reached for %s: Please try again in %.3fs."
                      % (place, wait), kind=kind, headers=headers)

    def answer(self, body, path, prompt, completion, took, number):
        text = "echo " + prompt_text(body)
        words = text.split()
        content = " ".join(words[i % len(words)] for i in range(int(completion)))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or math.inf
        reason = "length" if completion >= limit else "stop"
        usage = {
            "queue_time": 0.0125, "prompt_tokens": prompt, "prompt_time": round(took * 0.2, 6),
            "completion_tokens": int(completion), "completion_time": round(took * 0.8, 6),
            "total_tokens": prompt + int(completion), "total_time": round(took, 6),
            "prompt_tokens_details": {"cached_tokens": prompt // 2},
            "completion_tokens_details": {"reasoning_tokens": int(completion) // 4},
        }
        if path.endswith("/chat/completions"):
            choice = {"index": 0, "message": {"role": "assistant", "content": content}, "logprobs": None,
                      "finish_reason": reason}
            kind = "chat.completion"
        else:
            choice = {"index": 0, "text": content, "logprobs": None, "finish_reason": reason}
            kind = "text_completion"
        document = {"id": "chatcmpl-%08d" % number, "object": kind, "created": int(time.time()),
                    "model": body["model"], "choices": [choice], "usage": usage,
                    "system_fingerprint": "fp_fake", "x_groq": {"id": "req_%08d" % number}}
        if body.get("service_tier"):
            document["service_tier"] = body["service_tier"]
        return json.dumps(document).encode()
