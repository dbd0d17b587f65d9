"""Writes Tests/Fixtures/groups: tiny random models as GPTQ and AWQ exporters store them.

    python3 Tests/Fixtures/groups_cases.py [--peers FOLDER]

Needs numpy, torch and transformers. Packs integers, zero points and scales straight from the formats' definitions, and
keeps the weights that they were made of, so that what a reader makes of the files has something to be compared with.
--peers FOLDER: holds auto_gptq (0.7.1) and awq (0.2.9) unpacked; their own unpacking is tried on every layer.

Formats: GPTQ as https://github.com/AutoGPTQ/AutoGPTQ packs it (words along inputs; zero points one less, and since
https://github.com/ModelCloud/GPTQModel's "gptq_v2" as they are, where the older form is the word minus 0x1111...);
AWQ as https://github.com/casper-hansen/AutoAWQ packs it ("gemm": words along outputs in the order 0 2 4 6 1 3 5 7).
"""

import argparse
import importlib.util
import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
HIDDEN, INNER, HEADS, KV_HEADS, WIDTH, VOCABULARY = 64, 96, 4, 2, 16, 384


def bfloat16_bits(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Tensor:
    def __init__(self, dtype, array):
        self.dtype, self.array = dtype, np.ascontiguousarray(array)


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in sorted(tensors.items()):
        raw = tensor.array.tobytes()
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def pack_inputs(numbers, bits):
    """[inputs, outputs] -> words [inputs * bits / 32, outputs]"""
    per = 32 // bits
    words = np.zeros((numbers.shape[0] // per, numbers.shape[1]), np.uint32)
    for place in range(per):
        words |= numbers[place::per].astype(np.uint32) << np.uint32(bits * place)
    return words


def pack_outputs(numbers, bits, order=None):
    """[rows, outputs] -> words [rows, outputs * bits / 32]"""
    per = 32 // bits
    words = np.zeros((numbers.shape[0], numbers.shape[1] // per), np.uint32)
    for place in range(per):
        words |= numbers[:, (order[place] if order else place)::per].astype(np.uint32) << np.uint32(bits * place)
    return words


class Layer:
    """A linear layer: numbers [inputs, outputs], zeros and scales [groups, outputs], group_of [inputs]."""

    def __init__(self, random, model, inputs, outputs, order, zero_points):
        self.model, bits = model, model["bits"]
        group = inputs if model["group_size"] == -1 else model["group_size"]
        groups = -(-inputs // group)
        top = 1 << bits
        self.numbers = random.integers(0, top, (inputs, outputs))
        if zero_points == "symmetric":
            self.zeros = np.full((groups, outputs), top // 2)
        else:
            self.zeros = random.integers(1 if zero_points == "positive" else 0, top, (groups, outputs))
        scales = random.uniform(0.1, 0.3, (groups, outputs)).astype(np.float32) / (top / 4)
        if model.get("scales") == "BF16":
            self.stored_scales = Tensor("BF16", bfloat16_bits(scales))
            self.scales = widened(self.stored_scales.array)
        else:
            self.stored_scales = Tensor("F16", scales.astype(np.float16))
            self.scales = self.stored_scales.array.astype(np.float32)
        self.group_of = np.arange(inputs) // group
        if order is not None:
            self.group_of = np.empty(inputs, int)
            self.group_of[order] = np.arange(inputs) // group

    @property
    def weight(self):
        """[outputs, inputs], exact."""
        difference = (self.numbers - self.zeros[self.group_of]).astype(np.float64)
        exact = self.scales[self.group_of].astype(np.float64) * difference
        assert (exact.astype(np.float32).astype(np.float64) == exact).all()
        return np.ascontiguousarray(exact.astype(np.float32).T)

    def tensors(self, name):
        bits = self.model["bits"]
        if self.model["method"] == "awq":
            packed = {"qweight": pack_outputs(self.numbers, bits, AWQ_ORDER),
                      "qzeros": pack_outputs(self.zeros, bits, AWQ_ORDER)}
        else:
            zeros = pack_outputs(self.zeros, bits)
            if self.model["format"] == "gptq":
                zeros = zeros - np.uint32(0x11111111 if bits == 4 else 0x01010101)
            packed = {"qweight": pack_inputs(self.numbers, bits), "qzeros": zeros, "g_idx": self.group_of}
        out = {f"{name}.{key}": Tensor("I32", value.astype(np.uint32).view(np.int32)) for key, value in packed.items()}
        out[name + ".scales"] = self.stored_scales
        return out


MODELS = {
    # Zero points of 0 among others, which borrow from their neighbours; zero biases, as older exporters write them.
    "gptq-4bit-llama": dict(
        family="llama", method="gptq", bits=4, group_size=32, format="gptq", zeros="any", empty_bias=True),
    "gptq-4bit-act-llama": dict(
        family="llama", method="gptq", bits=4, group_size=32, format="gptq", zeros="symmetric", act=True, tied=True,
        odd_order=True),
    "gptq-8bit-qwen2": dict(
        family="qwen2", method="gptq", bits=8, group_size=-1, format="gptq_v2", zeros="positive", scales="BF16",
        tied=True),
    # Groups that no device keeps as they are.
    "gptq-8bit-act-gemma": dict(
        family="gemma", method="gptq", bits=8, group_size=16, format="gptq", zeros="positive", act=True, tied=True),
    "gptq-4bit-mixtral": dict(
        family="mixtral", method="gptq", bits=4, group_size=32, format="gptq", zeros="positive", layers=1),
    "awq-4bit-mistral": dict(
        family="mistral", method="awq", bits=4, group_size=32, zeros="any", plain=["down_proj"], scales="F16"),
}


def configuration(model):
    family = model["family"]
    config = {
        "architectures": [family.capitalize() + "ForCausalLM"], "model_type": family, "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": WIDTH,
        "num_hidden_layers": model.get("layers", 2), "vocab_size": VOCABULARY, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "bos_token_id": 381, "eos_token_id": 382,
        "tie_word_embeddings": model.get("tied", False), "torch_dtype": "float16",
    }
    config["hidden_activation" if family == "gemma" else "hidden_act"] = (
        "gelu_pytorch_tanh" if family == "gemma" else "silu")
    if family == "mixtral":
        config |= {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
    if family == "mistral":
        config["sliding_window"] = 24
    if family == "qwen2":
        config |= {"use_sliding_window": False}
        del config["head_dim"]
    return config


def quantization(model):
    shared = {"bits": model["bits"], "group_size": model["group_size"], "quant_method": model["method"]}
    if model["method"] == "awq":
        return shared | {"modules_to_not_convert": model["plain"], "version": "gemm", "zero_point": True}
    return shared | {
        "checkpoint_format": model["format"], "damp_percent": 0.01, "desc_act": model.get("act", False),
        "sym": model["zeros"] == "symmetric", "true_sequential": True, "static_groups": False}


def build(name, model, random):
    """The checkpoint's tensors; the layers that are quantised; all weights in float32 by name."""
    tensors, layers, weights = {}, {}, {}

    def plain(key, shape, scale=0.3, center=0.0):
        bits = bfloat16_bits(random.normal(center, scale, shape))
        tensors[key], weights[key] = Tensor("BF16", bits), widened(bits)

    def linear(key, inputs, outputs, order=None):
        if any(part in key for part in model.get("plain", [])):
            return plain(key + ".weight", (outputs, inputs), 0.15)
        layer = Layer(random, model, inputs, outputs, order, model["zeros"])
        layers[key] = layer
        tensors.update(layer.tensors(key))
        weights[key + ".weight"] = layer.weight
        if model.get("empty_bias"):
            tensors[key + ".bias"] = Tensor("F16", np.zeros(outputs, np.float16))

    plain("model.embed_tokens.weight", (VOCABULARY, HIDDEN), 0.5)
    norm = 0.0 if model["family"] == "gemma" else 1.0
    for number in range(model.get("layers", 2)):
        at = f"model.layers.{number}."
        orders = [random.permutation(n) if model.get("act") else None for n in (HIDDEN, HIDDEN, HIDDEN, INNER)]
        for part, outputs in (("q", HEADS * WIDTH), ("k", KV_HEADS * WIDTH), ("v", KV_HEADS * WIDTH)):
            order = orders[0]
            if model.get("odd_order") and part == "k" and number == 1:
                order = random.permutation(HIDDEN)
            linear(f"{at}self_attn.{part}_proj", HIDDEN, outputs, order)
            if model["family"] == "qwen2":
                plain(f"{at}self_attn.{part}_proj.bias", (outputs,), 0.2)
        linear(at + "self_attn.o_proj", HEADS * WIDTH, HIDDEN, orders[1])
        if model["family"] == "mixtral":
            plain(at + "block_sparse_moe.gate.weight", (4, HIDDEN), 0.3)
            for expert in range(4):
                for part, inputs, outputs in (("w1", HIDDEN, INNER), ("w2", INNER, HIDDEN), ("w3", HIDDEN, INNER)):
                    linear(f"{at}block_sparse_moe.experts.{expert}.{part}", inputs, outputs)
        else:
            linear(at + "mlp.gate_proj", HIDDEN, INNER, orders[2])
            linear(at + "mlp.up_proj", HIDDEN, INNER, orders[2])
            linear(at + "mlp.down_proj", INNER, HIDDEN, orders[3])
        for part in ("input_layernorm", "post_attention_layernorm"):
            plain(f"{at}{part}.weight", (HIDDEN,), 0.1, norm)
    plain("model.norm.weight", (HIDDEN,), 0.1, norm)
    if not model.get("tied"):
        plain("lm_head.weight", (VOCABULARY, HIDDEN), 0.3)
    return tensors, layers, weights


def reference(config, weights, random):
    """Greedy continuations by transformers, in float32, of the weights as they were made."""
    import torch
    import transformers

    settings = transformers.AutoConfig.for_model(**{k: v for k, v in config.items() if k != "torch_dtype"})
    settings.experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(settings, attn_implementation="eager").float().eval()
    state = {key: torch.from_numpy(value.copy()) for key, value in weights.items()}
    if config["model_type"] == "mixtral":
        state = stack_experts(state, set(model.state_dict()))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    prompts = []
    for length in (5, 23):
        ids = random.integers(3, VOCABULARY, length).tolist()
        with torch.no_grad():
            row = list(ids)
            for step in range(12):
                logits = model(torch.tensor([row])).logits[0, -1]
                if step == 0:
                    last = logits.tolist()
                row.append(int(logits.argmax()))
        prompts.append({"ids": ids, "greedy_ids": row[length:], "last_logits": [round(x, 5) for x in last]})
    return {"prompts": prompts}


def stack_experts(state, wanted):
    import torch

    if any("experts.0." in key for key in wanted):
        return state
    out = {}
    for key, value in state.items():
        if ".block_sparse_moe.experts." not in key:
            out[key.replace("block_sparse_moe", "mlp")] = value
    for key in wanted:
        if key.endswith("experts.gate_up_proj"):
            at = key.replace("mlp.experts.gate_up_proj", "block_sparse_moe.experts.")
            out[key] = torch.stack([torch.cat([state[f"{at}{e}.w1.weight"], state[f"{at}{e}.w3.weight"]])
                                    for e in range(4)])
        elif key.endswith("experts.down_proj"):
            at = key.replace("mlp.experts.down_proj", "block_sparse_moe.experts.")
            out[key] = torch.stack([state[f"{at}{e}.w2.weight"] for e in range(4)])
    return out


class Peers:
    """The exporters' own code, on layers as we packed them."""

    def __init__(self, folder):
        self.gptq = self.load(folder / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
        self.awq = self.load(next(folder.glob("**/awq/utils/packing_utils.py")))
        self.compared = 0

    @staticmethod
    def load(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def compare(self, name, layer, tensors):
        import torch

        def words(key):
            return torch.from_numpy(tensors[f"{name}.{key}"].array.copy())

        model, scales = layer.model, torch.from_numpy(layer.scales.copy())
        inputs, outputs = layer.numbers.shape
        group = inputs if model["group_size"] == -1 else model["group_size"]
        if model["method"] == "awq":
            found = self.awq.dequantize_gemm(words("qweight"), words("qzeros"), scales, 4, group).T
        else:
            if (layer.zeros == 0).any():
                return  # AutoGPTQ takes these for 16; GPTQModel adds to whole words, as we do.
            peer = self.gptq.QuantLinear(model["bits"], group, inputs, outputs, False, kernel_switch_threshold=1)
            # The exporter's own packing of the same weights has the same words.
            linear = torch.nn.Linear(inputs, outputs, bias=False)
            linear.weight.data = torch.from_numpy(layer.weight.copy())
            peer.pack(linear, scales.T.contiguous(), torch.from_numpy(layer.zeros.T.astype(np.float32).copy()),
                      torch.from_numpy(layer.group_of.astype(np.int32)))
            assert (peer.qweight == words("qweight")).all(), name
            if model["format"] == "gptq":
                assert (peer.qzeros == words("qzeros")).all(), name
            peer.scales, peer.g_idx = scales, words("g_idx")
            found = peer(torch.eye(inputs)).T
        assert (found.numpy() == layer.weight).all(), name
        self.compared += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=pathlib.Path)
    options = parser.parse_args()
    peers = options.peers and Peers(options.peers)
    for index, (name, model) in enumerate(MODELS.items()):
        random = np.random.default_rng(100 + index)
        folder = HERE / "groups" / name
        (folder / "plain").mkdir(parents=True, exist_ok=True)
        tensors, layers, weights = build(name, model, random)
        if peers:
            for key, layer in layers.items():
                peers.compare(key, layer, tensors)
        config = configuration(model)
        found = reference(config, weights, random)
        (folder / "reference.json").write_text(json.dumps(found) + "\n")
        (folder / "plain" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        config["quantization_config"] = quantization(model)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        write_safetensors(folder / "model.safetensors", tensors)
        plain = {key: value for key, value in tensors.items() if key in weights}
        plain |= {key + ".weight": Tensor("F32", layer.weight) for key, layer in layers.items()}
        write_safetensors(folder / "plain" / "model.safetensors", plain)
        print(f"{name}: {len(layers)} layers in groups")
    if peers:
        print(f"{peers.compared} layers are the same to AutoGPTQ's and AutoAWQ's code")


if __name__ == "__main__":
    main()
