"""Rate limits: buckets that refill evenly, as Groq's headers describe them; fixed and rolling spans, as others have.

Source: https://console.groq.com/docs/rate-limits
"""

import collections
import math


class Bucket:
    """Holds `limit` units and refills in `window_s`; starts full."""

    def __init__(self, limit, window_s, now):
        self.limit = limit
        self.rate = limit / window_s
        self.level = float(limit)
        self.at = now

    def refill(self, now):
        self.level = min(float(self.limit), self.level + (now - self.at) * self.rate)
        self.at = now

    def wait_s(self, amount):
        """Until `amount` would be there; infinite when it never will."""
        if amount > self.limit:
            return math.inf
        return max(0.0, (amount - self.level) / self.rate)

    def reset_s(self):
        return max(0.0, (self.limit - self.level) / self.rate)

    def take(self, amount):
        self.level -= amount

    def give_back(self, amount):
        self.level = min(float(self.limit), self.level + amount)


class Fixed:
    """Allows `limit` units in each span; the first one begins with the first request."""

    def __init__(self, limit, window_s, now):
        self.limit = limit
        self.window_s = window_s
        self.level = float(limit)
        self.start = None
        self.at = now

    def refill(self, now):
        self.at = now
        if self.start is not None and now >= self.start + self.window_s:
            self.start += (now - self.start) // self.window_s * self.window_s
            self.level = float(self.limit)

    def wait_s(self, amount):
        if amount > self.limit:
            return math.inf
        return 0.0 if amount <= self.level else self.reset_s()

    def reset_s(self):
        return 0.0 if self.start is None else self.start + self.window_s - self.at

    def take(self, amount):
        if self.start is None:
            self.start = self.at
        self.level -= amount

    def give_back(self, amount):
        self.level = min(float(self.limit), self.level + amount)


class Rolling:
    """Allows `limit` units in any span."""

    def __init__(self, limit, window_s, now):
        self.limit = limit
        self.window_s = window_s
        self.level = float(limit)
        self.taken = collections.deque()
        self.at = now

    def refill(self, now):
        self.at = now
        while self.taken and now >= self.taken[0][0] + self.window_s:
            self.level += self.taken.popleft()[1]

    def wait_s(self, amount):
        if amount > self.limit:
            return math.inf
        level = self.level
        if amount <= level:
            return 0.0
        for time, taken in self.taken:
            level += taken
            if amount <= level:
                return time + self.window_s - self.at
        return self.window_s

    def reset_s(self):
        return self.taken[0][0] + self.window_s - self.at if self.taken else 0.0

    def take(self, amount):
        self.level -= amount
        self.taken.append((self.at, amount))

    def give_back(self, amount):
        if amount:
            self.take(-amount)


KINDS = {"bucket": Bucket, "fixed": Fixed, "rolling": Rolling}


class Limits:
    """Those of one organisation and model."""

    def __init__(self, settings, now):
        def bucket(name, window):
            limit = settings[name]
            kind = KINDS[settings["counts_by"]]
            return None if limit is None else kind(limit, settings[window], now)

        self.day = bucket("requests_per_day", "day_s")
        self.minute = bucket("requests_per_minute", "minute_s")
        self.tokens = bucket("tokens_per_minute", "minute_s")

    def admit(self, tokens, now):
        """(admitted, which limit, wait in seconds)."""
        wanted = [
            (self.tokens, tokens, "tokens per minute (TPM)"),
            (self.minute, 1, "requests per minute (RPM)"),
            (self.day, 1, "requests per day (RPD)"),
        ]
        for bucket, amount, name in wanted:
            if bucket is None:
                continue
            bucket.refill(now)
            wait = bucket.wait_s(amount)
            if wait > 0:
                return False, name, wait
        for bucket, amount, _ in wanted:
            if bucket is not None:
                bucket.take(amount)
        return True, None, 0.0

    def correct(self, reserved, used, now):
        if self.tokens is not None:
            self.tokens.refill(now)
            self.tokens.give_back(reserved - used)

    def headers(self, now, skew_s):
        found = []
        for bucket, kind in ((self.day, "requests"), (self.tokens, "tokens")):
            if bucket is None:
                continue
            bucket.refill(now)
            found += [
                ("x-ratelimit-limit-" + kind, str(bucket.limit)),
                ("x-ratelimit-remaining-" + kind, str(max(0, int(bucket.level)))),
                ("x-ratelimit-reset-" + kind, duration(bucket.reset_s() + skew_s)),
            ]
        return found


def duration(seconds):
    """As Go prints durations: 2m59.56s, 120ms, 1h2m3s."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 1:
        return ("%.6f" % (seconds * 1000)).rstrip("0").rstrip(".") + "ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = ("%.3f" % rest).rstrip("0").rstrip(".") + "s"
    if minutes or hours:
        text = "%dm%s" % (minutes, text)
    if hours:
        text = "%dh%s" % (hours, text)
    return text
