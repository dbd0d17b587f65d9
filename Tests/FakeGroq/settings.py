"""What the fake can be told, and its defaults."""

import copy

DEFAULTS = {
    # Keys and the organisation that each belongs to: limits are per organisation (and model).
    "keys": {"gsk_fakefakefakefakefakefake0001": "org_fake"},
    "revoked": [],
    "models": ["llama-3.1-8b-instant", "llama-3.3-70b-versatile", "openai/gpt-oss-20b"],
    "decommissioned": ["mixtral-8x7b-32768"],
    # Limits; null: none. Requests per minute are in no header.
    "requests_per_day": None,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    # "bucket": windows are buckets that refill evenly, as Groq's headers show; "fixed", "rolling": spans.
    "counts_by": "bucket",
    # How long a minute and a day last, so that tests need not wait for real ones.
    "minute_s": 60.0,
    "day_s": 86400.0,
    # How much faster the server's clock runs than everybody's: its limits, its latency, its headers.
    "time_scale": 1.0,
    # "reserved": what a request may use at most is held against the limit until it ends, as Groq does;
    # "actual": only what it used counts.
    "admits_by": "reserved",
    # From the request to the answer.
    "latency_ms": 0,
    # Nobody is answered before so many requests are there at once.
    "gather": 0,
    # Tokens of an answer, where the request does not allow fewer.
    "completion_tokens": 8,
    # Answers are compressed for clients that take it.
    "gzip": False,
    # Leave the x-ratelimit headers out.
    "silent": False,
    # Added to the server's clock in `date`, and to the resets in its headers.
    "skew_s": 0.0,
    # See misbehaviour.py.
    "rules": [],
    # How long the batch API takes for a batch.
    "batch_ms": 0,
    # How it ends: "completed"; "expired" after half of its lines; "failed" without any.
    "batch_end": "completed",
    # Batches under way are due when it is set.
    "finish_batches": False,
    # How long it takes a file in.
    "upload_ms": 0,
    # What asking it to delete a file is answered with, if not 200.
    "delete_status": 200,
    # The same of what files hold, and of how a batch stands.
    "content_status": 200,
    "state_status": 200,
}


class Settings:
    def __init__(self, changes=None):
        self.values = copy.deepcopy(DEFAULTS)
        self.change(changes or {})

    def change(self, changes):
        for name, value in changes.items():
            if name not in DEFAULTS:
                raise ValueError("no such setting: %s" % name)
            self.values[name] = value

    def __getitem__(self, name):
        return self.values[name]
