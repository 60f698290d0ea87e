"""Writes the golden gpt-oss checkpoint again in OpenAI's own layout, as the folder original/ of a release has it.

Run by a maintainer, never needed to install or test (packages as in logits.py):
    python tools/golden/original.py crates/engine/tests/golden-original

The names are those of openai/gpt-oss torch/model.py and weights.py; two files without an index, as 120b has several.
"""

import json
import pathlib
import re
import sys

import torch
from safetensors.torch import load_file, save_file

SOURCE = pathlib.Path(__file__).parents[2] / "crates/engine/tests/golden-gpt-oss"
FIXED = {"model.embed_tokens.weight": "embedding.weight", "model.norm.weight": "norm.scale",
         "lm_head.weight": "unembedding.weight"}
PARTS = {"input_layernorm.weight": "attn.norm.scale", "self_attn.sinks": "attn.sinks",
         "self_attn.o_proj.weight": "attn.out.weight", "self_attn.o_proj.bias": "attn.out.bias",
         "post_attention_layernorm.weight": "mlp.norm.scale", "mlp.router.weight": "mlp.gate.weight",
         "mlp.router.bias": "mlp.gate.bias"}
for ours, theirs in [("gate_up_proj", "mlp1"), ("down_proj", "mlp2")]:
    PARTS |= {f"mlp.experts.{ours}_blocks": f"mlp.{theirs}_weight.blocks",
              f"mlp.experts.{ours}_scales": f"mlp.{theirs}_weight.scales",
              f"mlp.experts.{ours}_bias": f"mlp.{theirs}_bias"}


def renamed(tensors):
    result = {}
    for name, tensor in tensors.items():
        if name in FIXED:
            result[FIXED[name]] = tensor
            continue
        layer, part = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", name).groups()
        if part in PARTS:
            result[f"block.{layer}.{PARTS[part]}"] = tensor
        else:
            kind = part.rsplit(".", 1)[1]
            rows = [tensors[f"model.layers.{layer}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            result[f"block.{layer}.attn.qkv.{kind}"] = torch.cat(rows)
    return result


def config(theirs):
    rope = theirs["rope_scaling"]
    same = ["num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "swiglu_limit", "head_dim",
            "num_attention_heads", "num_key_value_heads", "sliding_window", "rope_theta"]
    return {key: theirs[key] for key in same} | {
        "num_experts": theirs["num_local_experts"], "experts_per_token": theirs["num_experts_per_tok"],
        "initial_context_length": rope["original_max_position_embeddings"], "rope_scaling_factor": rope["factor"],
        "rope_ntk_alpha": 1, "rope_ntk_beta": 32}


def main(folder):
    tensors = renamed(load_file(SOURCE / "model.safetensors"))
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    # Cut in the middle of a layer.
    halves = [names[:len(names) // 2], names[len(names) // 2:]]
    for number, half in enumerate(halves, 1):
        save_file({name: tensors[name].contiguous() for name in half}, folder / f"model--0000{number}-of-00002.safetensors")
    (folder / "config.json").write_text(json.dumps(config(json.loads((SOURCE / "config.json").read_text()))))
    print(f"{len(tensors)} tensors in {len(halves)} files")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
