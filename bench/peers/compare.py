#!/usr/bin/env python3
"""Run one bulk job through Millrace and its peers in turn, on this machine: compare.py [options] ENGINE...

Engines: millrace, millrace-int8, openvino, llama, vllm, transformers. Each peer gets a virtual environment of its own in the cache
(~/.cache/millrace/peers), made once from requirements/ENGINE.txt; llama's has a compiler build in it. Rounds go through the
engines in turn (A B A B), so that a machine that slows down slows all of them; the table has medians.

Nothing else should run meanwhile. Each engine prints one JSON line; all of them go to --log.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "millrace"


def python_of(engine):
    """The interpreter of an engine's environment, made if it is not there."""
    folder = CACHE / "peers" / engine
    done = folder / "done"
    wanted = (HERE / "requirements" / f"{engine}.txt").read_text()
    if not done.exists() or done.read_text() != wanted:
        print(f"compare: making {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        requirements = HERE / "requirements" / f"{engine}.txt"
        hashes = ["--require-hashes"] if "--hash=" in wanted else []
        subprocess.run([folder / "bin/pip", "install", "--quiet", *hashes, "-r", requirements], check=True)
        if engine == "vllm":
            # Its optional companions on the index are made for another torch, and importing them fails.
            subprocess.run(
                [folder / "bin/pip", "uninstall", "--quiet", "--yes", "torchvision", "torchaudio", "torchcodec"], check=True)
        done.write_text(wanted)
    return folder / "bin/python"


def command(engine, job, options, out):
    """What runs one engine once, and its environment."""
    environment = dict(os.environ)
    if options.isa and engine.startswith("millrace"):
        environment["MILLRACE_ISA"] = options.isa
    if engine.startswith("millrace"):
        extra = ["--weights", "int8"] if engine == "millrace-int8" else []
        return [sys.executable, HERE / "millrace_job.py", options.millrace, job, options.model, out, *extra], environment
    arguments = [python_of(engine), HERE / f"{engine}_job.py", job, options.checkpoint(engine), str(options.threads)]
    if engine == "llama":
        arguments += [CACHE / "peers/llama", options.isa or "best"]
    return arguments, environment


def run(engine, job, options):
    with tempfile.TemporaryDirectory() as folder:
        arguments, environment = command(engine, job, options, f"{folder}/results.jsonl")
        times = f"{folder}/time"
        done = subprocess.run(
            ["/usr/bin/time", "-f", "%e %U %S %M", "-o", times, *map(str, arguments)], env=environment,
            stdout=subprocess.PIPE, stderr=None if options.verbose else subprocess.DEVNULL, text=True)
        if done.returncode != 0:
            sys.exit(f"compare: {engine} failed ({done.returncode}); run with --verbose")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        wall, user, system, peak = pathlib.Path(times).read_text().split()[-4:]
        found.update(engine=engine, wall=float(wall), cpu=float(user) + float(system), peak_mib=int(peak) >> 10)
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", default="smollm2", help="a fetched model's name")
    parser.add_argument("--gguf", help="another GGUF file for the peers that read one (say, F16)")
    parser.add_argument("--folder", help="a Hugging Face folder for vllm and transformers")
    parser.add_argument("--isa", help="avx2 or avx512: hold millrace and llama to it")
    parser.add_argument("--millrace", default=ROOT / ".build/release/millrace")
    parser.add_argument("--log", default="peers.jsonl")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    gguf = options.gguf or CACHE / f"models/{options.model}.gguf"
    options.checkpoint = lambda engine: (
        options.folder if options.folder and engine in ("vllm", "transformers") else gguf)
    found = {engine: [] for engine in options.engines}
    with tempfile.TemporaryDirectory() as folder, open(options.log, "a") as log:
        job = f"{folder}/bulk.jsonl"
        subprocess.run([ROOT / "bench/bulk-prompts", job, str(options.requests)], check=True)
        for number in range(options.rounds):
            for engine in options.engines:
                result = run(engine, job, options)
                found[engine].append(result)
                print(json.dumps(result), file=log, flush=True)
                print(f"round {number + 1}: {engine}: {result['wall']:.1f} s with start-up", file=sys.stderr)
    row = "{:14} {:>8} {:>10} {:>13} {:>16} {:>9} {:>9}"
    print(row.format("ENGINE", "WALL S", "START-UP S", "JOB S", "GENERATED TOK/S", "CPU S", "PEAK MIB"))
    for engine, results in found.items():
        def median(key):
            return statistics.median(result[key] for result in results)

        spread = f"{min(r['seconds'] for r in results):.1f}-{max(r['seconds'] for r in results):.1f}"
        tokens = results[0]["generated_tokens"]
        print(row.format(
            engine, f"{median('wall'):.1f}", f"{median('startup_seconds'):.1f}", spread,
            f"{tokens / median('seconds'):.0f}", f"{median('cpu'):.1f}", f"{median('peak_mib'):.0f}"))


main()
