#!/usr/bin/env python3
"""transformers' generate in batches of 32, sorted by length: transformers_job.py JOB MODEL THREADS"""
import os, sys, time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import job

path, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
prompts, new = job.prompts(path)
torch.set_num_threads(threads)
start = time.time()
source = {"gguf_file": os.path.basename(model)} if model.endswith(".gguf") else {}
folder = os.path.dirname(model) if source else model
tokenizer = AutoTokenizer.from_pretrained(folder, **source)
network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **source).eval()
tokenizer.padding_side = "left"
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
loaded = time.time()
ordered = sorted(prompts, key=len)
generated = 0
with torch.inference_mode():
    for first in range(0, len(ordered), 32):
        inputs = tokenizer(ordered[first:first + 32], return_tensors="pt", padding=True)
        found = network.generate(**inputs, max_new_tokens=new, min_new_tokens=new, do_sample=False)
        generated += found.shape[0] * (found.shape[1] - inputs["input_ids"].shape[1])
ended = time.time()
job.report(loaded - start, ended - loaded, generated)
