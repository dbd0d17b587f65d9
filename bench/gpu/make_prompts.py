#!/usr/bin/env python3
"""Writes a batch of random prompts as token ids: make_prompts.py COUNT PROMPT-TOKENS NEW-TOKENS VOCABULARY > FILE"""
import json
import random
import sys

count, length, new, vocabulary = map(int, sys.argv[1:5])
draw = random.Random(1)
for number in range(count):
    body = {
        "prompt": [draw.randrange(300, vocabulary) for _ in range(length)], "max_tokens": new, "temperature": 0,
        "ignore_eos": True, "return_token_ids": True,
    }
    print(json.dumps({"custom_id": f"r{number}", "method": "POST", "url": "/v1/completions", "body": body}))
