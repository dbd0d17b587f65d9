#!/usr/bin/env python3
"""millrace_job.py PROGRAM JOB MODEL OUTPUT [OPTION...]: its own summary has the time, loading included."""
import json, subprocess, sys

program, job, model, output = sys.argv[1:5]
done = subprocess.run(
    [program, "run", job, "-o", output, "--model", model, "--quiet", "--json", *sys.argv[5:]], check=True,
    stdout=subprocess.PIPE, text=True)
run = json.loads(done.stdout)["this_run"]
print(json.dumps({
    "startup_seconds": 0, "seconds": run["wall_seconds"], "generated_tokens": run["usage"]["completion_tokens"]}))
