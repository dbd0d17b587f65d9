#!/usr/bin/env python3
"""Compares the texts of two result files of the same greedy requests: compare_results.py A B [LEAST-SHARE]. Fails when
fewer than LEAST-SHARE (0.95) of them are equal. Where both have log-probabilities, shows how near the tie was at which two
texts part."""
import json
import sys


def results(path):
    found = {}
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            choice = record["response"]["body"]["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            found[record["custom_id"]] = (text, choice.get("logprobs"))
    return found


def margin(logprobs, place):
    """Between the two most likely tokens at a place, in nats."""
    content = (logprobs or {}).get("content")
    if content and place < len(content) and len(content[place]["top_logprobs"]) > 1:
        first, second = content[place]["top_logprobs"][:2]
        return first["logprob"] - second["logprob"]
    top = (logprobs or {}).get("top_logprobs")
    if top and place < len(top) and len(top[place]) > 1:
        values = sorted(top[place].values(), reverse=True)
        return values[0] - values[1]
    return None


def tokens(logprobs):
    if not logprobs:
        return None
    if logprobs.get("content"):
        return [token["token"] for token in logprobs["content"]]
    return logprobs.get("tokens")


def main():
    a, b = results(sys.argv[1]), results(sys.argv[2])
    least = float(sys.argv[3]) if len(sys.argv) > 3 else 0.95
    equal = 0
    for name in a:
        if a[name][0] == b[name][0]:
            equal += 1
            continue
        first, second = tokens(a[name][1]), tokens(b[name][1])
        if first and second:
            place = next((i for i, (x, y) in enumerate(zip(first, second)) if x != y), min(len(first), len(second)))
            gap = margin(a[name][1], place)
            print(f"{name} parts at token {place}, where the two most likely are {gap} nats apart")
        else:
            print(f"{name} differs")
    print(f"{equal} of {len(a)} texts are equal")
    sys.exit(0 if a.keys() == b.keys() and equal >= least * len(a) else 1)


if __name__ == "__main__":
    main()
