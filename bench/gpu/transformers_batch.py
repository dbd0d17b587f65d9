#!/usr/bin/env python3
"""Times transformers' continuous batching: transformers_batch.py MODEL COUNT PROMPT-TOKENS NEW-TOKENS"""
import random
import sys
import time

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

path, count, length, new = sys.argv[1], *map(int, sys.argv[2:5])
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
draw = random.Random(1)
prompts = [[draw.randrange(300, model.config.vocab_size - 256) for _ in range(length)] for _ in range(count)]
settings = GenerationConfig(
    max_new_tokens=new, min_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0, bos_token_id=1)
for number in (8, count):
    start = time.time()
    found = model.generate_batch(inputs=prompts[:number], generation_config=settings)
    seconds = time.time() - start
    tokens = sum(len(output.generated_tokens) for output in found.values())
    print(f"transformers generate_batch: {number} requests in {seconds:.1f} s, {tokens / seconds:.0f} generated tok/s",
          flush=True)
