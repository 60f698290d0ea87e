"""Makes the golden logits of crates/engine/tests/golden: tiny random Seed-OSS checkpoints and what transformers says of them.

Run by a maintainer, never needed to install or test:
    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy
    python tools/golden/logits.py crates/engine/tests/golden

Weights are large and random, so that every mechanism matters (default initialisation hides most mistakes), and
exactly representable in bf16; the reference runs in f32.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import SeedOssConfig, SeedOssForCausalLM

CASES = {
    # grouped-query 3:1, query width 192 != hidden 96, biases, untied: the 36B's proportions in small
    "gqa": dict(hidden_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
                intermediate_size=128, vocab_size=384, attention_bias=True, attention_out_bias=False, mlp_bias=False,
                tie_word_embeddings=False, rope_theta=1e7, dtype="bfloat16"),
    # ten query heads on one key head, head_dim no multiple of 16, every bias there is
    "wide": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=10, num_key_value_heads=1, head_dim=24,
                 intermediate_size=100, vocab_size=320, attention_bias=True, attention_out_bias=True, mlp_bias=True,
                 tie_word_embeddings=False, rope_theta=1e4, dtype="float32"),
    # one key head per query head, no bias at all, tied head
    "tied": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, head_dim=16,
                 intermediate_size=96, vocab_size=384, attention_bias=False, attention_out_bias=False, mlp_bias=False,
                 tie_word_embeddings=True, rope_theta=1e6, dtype="float16"),
}
LENGTHS = [1, 7, 33, 130, 250]
SAMPLED = 24


def randomise(model, config, seed):
    """Fills every parameter with large values on the bf16 grid."""
    generator = torch.Generator().manual_seed(seed)
    hidden = config.hidden_size
    for name, parameter in model.named_parameters():
        shape = parameter.shape
        noise = torch.randn(shape, generator=generator)
        if "norm" in name:
            value = 1.0 + 0.3 * noise
        elif name.endswith("bias"):
            value = 0.5 * noise
        elif "embed_tokens" in name:
            value = 0.08 * noise
        elif "q_proj" in name or "k_proj" in name:
            value = 1.3 / hidden**0.5 * noise
        else:
            value = 1.0 / shape[-1] ** 0.5 * noise
        if "o_proj.weight" in name or "down_proj.weight" in name:
            value = value * 0.3
        with torch.no_grad():
            parameter.copy_(value.to(torch.bfloat16).to(torch.float32))


def make(name, settings, folder):
    settings = dict(settings)
    dtype = settings.pop("dtype")
    config = SeedOssConfig(max_position_embeddings=1024, rms_norm_eps=1e-6, hidden_act="silu", bos_token_id=0,
                           pad_token_id=1, eos_token_id=2, attention_dropout=0.0, residual_dropout=0.0,
                           rope_scaling=None, **settings)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = SeedOssForCausalLM(config).to(torch.float32).eval()
    randomise(model, config, seed=hash_of(name))
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    on_disk = {k: v.detach().to(getattr(torch, dtype)).contiguous() for k, v in model.state_dict().items()}
    if settings["tie_word_embeddings"]:
        on_disk.pop("lm_head.weight", None)
    shards = split(on_disk) if name == "gqa" else {"model.safetensors": on_disk}
    for file, tensors in shards.items():
        save_file(tensors, out / file, metadata={"format": "pt"})
    if len(shards) > 1:
        index = {"metadata": {}, "weight_map": {t: f for f, ts in shards.items() for t in sorted(ts)}}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True))
    (out / "config.json").write_text(json.dumps(raw_config(settings, dtype), indent=1))

    generator = torch.Generator().manual_seed(7)
    expected = {"sampled_ids": torch.randperm(settings["vocab_size"], generator=generator)[:SAMPLED].to(torch.int64)}
    for n, length in enumerate(LENGTHS):
        tokens = torch.randint(3, settings["vocab_size"], (length,), generator=generator)
        with torch.no_grad():
            logits = model(tokens[None], use_cache=False).logits[0].to(torch.float32)
        expected[f"tokens.{n}"] = tokens
        expected[f"sampled.{n}"] = logits[:, expected["sampled_ids"]].contiguous()
        expected[f"last.{n}"] = logits[-1].contiguous()
    save_file(expected, out / "expected.safetensors")
    spread = expected[f"last.{len(LENGTHS) - 1}"].std().item()
    print(f"{name}: logit std {spread:.2f}, {sum(f.stat().st_size for f in out.iterdir())} bytes")


def hash_of(name):
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


def split(tensors):
    """Two shards, to exercise the index."""
    names = sorted(tensors)
    half = len(names) // 2
    return {
        "model-00001-of-00002.safetensors": {n: tensors[n] for n in names[:half]},
        "model-00002-of-00002.safetensors": {n: tensors[n] for n in names[half:]},
    }


def raw_config(settings, dtype):
    """config.json as the released checkpoints write it."""
    return {"architectures": ["SeedOssForCausalLM"], "model_type": "seed_oss", "hidden_act": "silu",
            "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-6, "rope_scaling": {"rope_type": "default"}, "torch_dtype": dtype, **settings}


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    for case, case_settings in CASES.items():
        make(case, case_settings, target)
