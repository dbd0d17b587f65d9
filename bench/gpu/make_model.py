#!/usr/bin/env python3
"""Writes a Hugging Face folder with random bfloat16 weights of a Llama shape, for benchmarks: weights are made on the GPU
where torch sees one. The tokenizer has single bytes and filler; prompts are given as token ids.

    make_model.py FOLDER [--shape 8b|1b|tiny]
"""
import argparse
import json
import os

import torch
from safetensors.torch import save_file

SHAPES = {
    "8b": dict(hidden=4096, inner=14336, layers=32, heads=32, kv_heads=8, vocabulary=128256),
    "1b": dict(hidden=2048, inner=8192, layers=16, heads=32, kv_heads=8, vocabulary=128256),
    "tiny": dict(hidden=256, inner=512, layers=2, heads=4, kv_heads=2, vocabulary=1024),
}


def byte_alphabet():
    """GPT-2's printable stand-ins for bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def tokenizer(vocabulary):
    tokens = byte_alphabet()
    tokens += [f"<filler_{i}>" for i in range(len(tokens), vocabulary)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": [],
        },
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--shape", choices=SHAPES, default="8b")
    options = parser.parse_args()
    s = SHAPES[options.shape]
    width = s["hidden"] // s["heads"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)

    def matrix(rows, columns):
        return (torch.randn(rows, columns, device=device, dtype=torch.float32) * 0.02).to(torch.bfloat16).cpu()

    def ones(count):
        return torch.ones(count, dtype=torch.bfloat16)

    os.makedirs(options.folder, exist_ok=True)
    files = {}

    def save(name, tensors):
        save_file(tensors, os.path.join(options.folder, name), metadata={"format": "pt"})
        files.update({tensor: name for tensor in tensors})

    for layer in range(s["layers"]):
        prefix = f"model.layers.{layer}."
        save(f"layer-{layer:02}.safetensors", {
            prefix + "self_attn.q_proj.weight": matrix(s["heads"] * width, s["hidden"]),
            prefix + "self_attn.k_proj.weight": matrix(s["kv_heads"] * width, s["hidden"]),
            prefix + "self_attn.v_proj.weight": matrix(s["kv_heads"] * width, s["hidden"]),
            prefix + "self_attn.o_proj.weight": matrix(s["hidden"], s["heads"] * width),
            prefix + "mlp.gate_proj.weight": matrix(s["inner"], s["hidden"]),
            prefix + "mlp.up_proj.weight": matrix(s["inner"], s["hidden"]),
            prefix + "mlp.down_proj.weight": matrix(s["hidden"], s["inner"]),
            prefix + "input_layernorm.weight": ones(s["hidden"]),
            prefix + "post_attention_layernorm.weight": ones(s["hidden"]),
        })
    save("ends.safetensors", {
        "model.embed_tokens.weight": matrix(s["vocabulary"], s["hidden"]),
        "lm_head.weight": matrix(s["vocabulary"], s["hidden"]),
        "model.norm.weight": ones(s["hidden"]),
    })
    with open(os.path.join(options.folder, "model.safetensors.index.json"), "w") as out:
        json.dump({"metadata": {}, "weight_map": files}, out)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "bfloat16",
        "hidden_size": s["hidden"], "intermediate_size": s["inner"], "num_hidden_layers": s["layers"],
        "num_attention_heads": s["heads"], "num_key_value_heads": s["kv_heads"], "head_dim": width,
        "vocab_size": s["vocabulary"], "max_position_embeddings": 8192, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
    }
    with open(os.path.join(options.folder, "config.json"), "w") as out:
        json.dump(config, out)
    with open(os.path.join(options.folder, "tokenizer.json"), "w") as out:
        json.dump(tokenizer(s["vocabulary"]), out)


if __name__ == "__main__":
    main()
