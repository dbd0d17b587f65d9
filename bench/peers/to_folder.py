#!/usr/bin/env python3
"""to_folder.py GGUF FOLDER: a GGUF file's weights, widened to bfloat16, as a Hugging Face folder, for peers that read only those.

Run it by the python of transformers' environment (~/.cache/millrace/peers/transformers/bin/python).
"""
import os, sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, target = sys.argv[1:3]
folder, name = os.path.split(os.path.abspath(source))
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True))
model.save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
