"""What the engines' scripts share: reading the job, and saying what came of it."""
import json


def prompts(path):
    """The prompts and the new tokens that each is to get."""
    bodies = [json.loads(line) for line in open(path, encoding="utf-8")]
    return [body["prompt"] for body in bodies], bodies[0]["max_tokens"]


def report(startup, seconds, generated):
    print(json.dumps(
        {"startup_seconds": round(startup, 3), "seconds": round(seconds, 3), "generated_tokens": generated}), flush=True)
