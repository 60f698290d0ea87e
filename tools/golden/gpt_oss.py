"""Makes the golden logits of crates/engine/tests/golden-gpt-oss: tiny random gpt-oss checkpoints and what transformers says.

Run by a maintainer, never needed to install or test (packages as in logits.py):
    python tools/golden/gpt_oss.py crates/engine/tests/golden-gpt-oss

The expert weights are MXFP4 codes, so the dequantised (bf16, transposed) layout that the test makes of them holds
the same values; the reference runs in f32 with eager attention and eager experts.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import GptOssConfig, GptOssForCausalLM

FP4 = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
SHAPE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2,
             head_dim=16, num_local_experts=8, num_experts_per_tok=4, vocab_size=320, sliding_window=24)
ROPE = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 64}
# The last is far past the original YaRN length of 64 and many windows of 24.
LENGTHS = [1, 9, 24, 25, 140, 300]
SAMPLED = 24


def mxfp4(shape, generator):
    """Codes and scales [E, out, in/32, 16] / [E, out, in/32] and their values [E, out, in]."""
    experts, outputs, inputs = shape
    codes = torch.randint(0, 16, (experts, outputs, inputs), generator=generator)
    scales = torch.randint(122, 126, (experts, outputs, inputs // 32), generator=generator)
    values = FP4[codes] * torch.exp2(scales.float() - 127).repeat_interleave(32, -1)
    pairs = codes.view(experts, outputs, inputs // 32, 16, 2)
    blocks = (pairs[..., 0] | (pairs[..., 1] << 4)).to(torch.uint8)
    return blocks.contiguous(), scales.to(torch.uint8), values


def build(seed):
    config = GptOssConfig(**SHAPE, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=150000.0, swiglu_limit=7.0,
                          rope_parameters={**ROPE, "rope_theta": 150000.0}, attention_bias=True, attention_dropout=0.0,
                          tie_word_embeddings=False, eos_token_id=2, pad_token_id=1)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    torch.manual_seed(0)
    model = GptOssForCausalLM(config).to(torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    packed = {}
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            experts, inputs, outputs = parameter.shape
            blocks, scales, values = mxfp4((experts, outputs, inputs), generator)
            packed[f"{name}_blocks"], packed[f"{name}_scales"] = blocks, scales
            value = values.transpose(1, 2)
        elif "norm" in name:
            value = 1.0 + 0.3 * noise
        elif name.endswith("sinks"):
            value = 1.5 + noise
        elif "gate_up_proj_bias" in name:
            value = 2.5 * noise
        elif name.endswith("bias"):
            value = 0.5 * noise
        elif "embed_tokens" in name:
            value = 0.08 * noise
        elif "q_proj" in name or "k_proj" in name:
            value = 1.3 / SHAPE["hidden_size"] ** 0.5 * noise
        elif "router" in name:
            value = 0.4 * noise
        elif "lm_head" in name:
            value = 2.0 / SHAPE["hidden_size"] ** 0.5 * noise
        else:
            value = 0.3 / parameter.shape[-1] ** 0.5 * noise
        value = value if "experts" in name and "bias" not in name else value.to(torch.bfloat16).to(torch.float32)
        with torch.no_grad():
            parameter.copy_(value)
    return model, packed


def smallest_gap(model, prompts):
    """Smallest router margin between the last chosen and the first left out, over all prompts and layers."""
    gaps = []
    hooks = [layer.mlp.router.register_forward_hook(
        lambda module, args, out: gaps.append(torch.nn.functional.linear(
            args[0].reshape(-1, args[0].shape[-1]), module.weight, module.bias).sort(-1, descending=True).values))
        for layer in model.model.layers]
    with torch.no_grad():
        logits = [model(p[None], use_cache=False).logits[0].float() for p in prompts]
    for hook in hooks:
        hook.remove()
    k = SHAPE["num_experts_per_tok"]
    return min((g[:, k - 1] - g[:, k]).min().item() for g in gaps), logits


def main(folder):
    for seed in range(1, 400):
        model, packed = build(seed)
        generator = torch.Generator().manual_seed(7)
        sampled = torch.randperm(SHAPE["vocab_size"], generator=generator)[:SAMPLED].to(torch.int64)
        prompts = [torch.randint(3, SHAPE["vocab_size"], (n,), generator=generator) for n in LENGTHS]
        gap, logits = smallest_gap(model, prompts)
        if gap >= 5e-4:
            break
    else:
        raise SystemExit("no seed keeps the router's margins wide enough")
    state = {k: v.detach() for k, v in model.state_dict().items()}
    rest = {k: v.to(torch.bfloat16).contiguous() for k, v in state.items()
            if not k.endswith(("experts.gate_up_proj", "experts.down_proj"))}
    expected = {"sampled_ids": sampled}
    for n, (prompt, rows) in enumerate(zip(prompts, logits)):
        expected[f"tokens.{n}"] = prompt
        expected[f"sampled.{n}"] = rows[:, sampled].contiguous()
        expected[f"last.{n}"] = rows[-1].contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({**rest, **packed}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(raw_config(), indent=1))
    save_file(expected, folder / "expected.safetensors")
    print(f"seed {seed}, router gap {gap:.1e}, logit std {logits[-1].std().item():.2f}, "
          f"{sum(f.stat().st_size for f in folder.rglob('*') if f.is_file())} bytes")


def raw_config():
    """config.json as the released checkpoints write it."""
    return {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", **SHAPE, "rms_norm_eps": 1e-5,
              "rope_theta": 150000, "rope_scaling": ROPE, "swiglu_limit": 7.0, "attention_bias": True,
              "max_position_embeddings": 2048, "tie_word_embeddings": False, "eos_token_id": 2, "pad_token_id": 1,
              "hidden_act": "silu", "torch_dtype": "bfloat16",
              "layer_types": ["sliding_attention" if (i + 1) % 2 else "full_attention"
                            for i in range(SHAPE["num_hidden_layers"])],
            "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}}

if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
