#!/usr/bin/env python3
"""OpenVINO GenAI with continuous batching: openvino_job.py JOB GGUF THREADS"""
import sys, time

import openvino_genai

import job

path, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
prompts, new = job.prompts(path)
start = time.time()
scheduler = openvino_genai.SchedulerConfig()
scheduler.cache_size = 2
scheduler.max_num_seqs = 256
scheduler.max_num_batched_tokens = 512
scheduler.enable_prefix_caching = False
pipeline = openvino_genai.ContinuousBatchingPipeline(
    model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 1})
settings = openvino_genai.GenerationConfig()
settings.max_new_tokens = new
settings.ignore_eos = True
settings.do_sample = False
settings.apply_chat_template = False
loaded = time.time()
results = pipeline.generate(prompts, [settings] * len(prompts))
ended = time.time()
assert len(results) == len(prompts)
job.report(loaded - start, ended - loaded, new * len(prompts))
