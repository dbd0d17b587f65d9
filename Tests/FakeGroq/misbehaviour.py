"""What can go wrong with a request, and which requests it happens to.

`do` of a rule:
  status            answer with `status`, and `code`, `message`, `retry_after` (seconds) where given; nothing is computed
  late_status       the same after computing
  silence           compute, and never answer
  reset_first       compute, and break the connection before the answer begins
  reset_mid_body    break the connection in the middle of the answer
  stop_mid_body     send half of the answer, then nothing more
  drip              send the answer a byte at a time, `delay_ms` apart
  gigabyte          an answer of `bytes` bytes (default 2**30), as fast as it is taken
  bomb              the same, compressed
  short             promise more bytes than there are, and close
  long              send more bytes than promised
  invalid_json      half of the answer, as if it were whole
  html              a page for people, with status 200
  empty             status 200 without a body
  no_choices        JSON that is no completion
  no_headers        an answer without x-ratelimit headers
  bad_headers       x-ratelimit headers that make no sense
  revoke            the request's key is revoked: from this request on it is invalid
  decommission      the request's model is decommissioned from this request on
  echo_key          an error that repeats the key
"""


class Rules:
    def __init__(self):
        self.rules = []

    def set(self, rules):
        self.rules = [dict(rule, matches=0, used=0) for rule in rules]

    def find(self, model, body):
        """The first rule that applies to a request, or None."""
        for rule in self.rules:
            if "model" in rule and rule["model"] != model:
                continue
            if "contains" in rule and rule["contains"].encode() not in body:
                continue
            if "times" in rule and rule["used"] >= rule["times"]:
                continue
            rule["matches"] += 1
            number = rule["matches"] - rule.get("skip", 0)
            if number <= 0 or number % rule.get("every", 1) != 0:
                continue
            rule["used"] += 1
            return rule
        return None
