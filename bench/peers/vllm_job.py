#!/usr/bin/env python3
"""vLLM's CPU build: vllm_job.py JOB MODEL THREADS"""
import os, sys, time

import job

path, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{threads - 1}")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


def main():
    from vllm import LLM, SamplingParams

    prompts, new = job.prompts(path)
    start = time.time()
    llm = LLM(model=model, dtype="bfloat16", max_model_len=2048, max_num_seqs=128, enable_prefix_caching=False)
    settings = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True)
    loaded = time.time()
    results = llm.generate(prompts, settings, use_tqdm=False)
    ended = time.time()
    job.report(loaded - start, ended - loaded, sum(len(r.outputs[0].token_ids) for r in results))


if __name__ == "__main__":
    main()
