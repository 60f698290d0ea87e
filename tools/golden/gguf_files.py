"""Writes golden checkpoints again as GGUF, with the `gguf` package: the same weights, names and layouts as llama.cpp's.

Run by a maintainer, never needed to install or test (packages as in logits.py, and gguf):
    python tools/golden/gguf_files.py crates/engine/tests/golden-gguf
"""

import json
import pathlib
import sys

import gguf
import numpy
import torch
from safetensors.torch import load_file

TESTS = pathlib.Path(__file__).parents[2] / "crates/engine/tests"
CASES = [("seed_oss", "golden/gqa", "seed-coder"), ("gpt-oss", "golden-gpt-oss", "gpt-4o")]
CONTROL = {"seed_oss": ["<seed:bos>", "<seed:pad>", "<seed:eos>", "<seed:think>", "</seed:think>", "<seed:tool_call>",
                        "</seed:tool_call>", "<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"],
           "gpt-oss": ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|call|>", "<|end|>", "<|start|>",
                       "<|channel|>", "<|message|>", "<|constrain|>"]}
NAMES = [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "post_attention_norm"),
         ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
         ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
         ("mlp.down_proj", "ffn_down"), ("mlp.router", "ffn_gate_inp")]
TEMPLATE = ("{% for m in messages %}{{ '<seed:bos>' + m.role + '\\n' + m.content + '<seed:eos>' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<seed:bos>assistant\\n' }}{% endif %}")
QUANTISED = ["Q8_0", "Q4_0", "Q5_1", "Q5_0", "Q4_1"]
BF16, F32, MXFP4 = (gguf.GGMLQuantizationType[n] for n in ("BF16", "F32", "MXFP4"))


def name_of(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    _, _, layer, part = name.split(".", 3)
    if part == "self_attn.sinks":
        return f"blk.{layer}.attn_sinks.weight"
    stem, kind = part.rsplit(".", 1)
    return f"blk.{layer}.{dict(NAMES)[stem]}.{kind}"


def plain(writer, name, tensor, form, number):
    """bf16 stays bf16 for matrices, or they are quantised, or are what the quantised ones mean; vectors are f32, as llama.cpp wants them."""
    if form != "as is" and tensor.ndim == 2 and "ffn_gate_inp" not in name:
        kind = gguf.GGMLQuantizationType[QUANTISED[number % len(QUANTISED)]]
        blocks = gguf.quants.quantize(tensor.float().numpy(), kind)
        if form == "quantised":
            writer.add_tensor(name, blocks, raw_dtype=kind)
        else:
            writer.add_tensor(name, gguf.quants.dequantize(blocks, kind), raw_dtype=F32)
    elif tensor.ndim == 1 or name.endswith("bias") or tensor.dtype == torch.float32:
        writer.add_tensor(name, tensor.float().numpy(), raw_dtype=F32)
    else:
        raw = tensor.contiguous().view(torch.uint8).numpy()
        writer.add_tensor(name, raw, raw_dtype=BF16)


def mxfp4(blocks, scales):
    """[E, out, in/32, 16] codes of neighbours -> ggml's blocks: a scale, then byte j with elements j and j + 16."""
    codes = numpy.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
    packed = codes[..., :16] | codes[..., 16:] << 4
    joined = numpy.concatenate([scales[..., None], packed], -1).astype(numpy.uint8)
    return joined.reshape(*joined.shape[:-2], -1)


def experts(writer, state, layers):
    for layer in range(layers):
        stem = f"model.layers.{layer}.mlp.experts"
        for part, halves in [("gate_up_proj", ["gate", "up"]), ("down_proj", ["down"])]:
            blocks = state.pop(f"{stem}.{part}_blocks").numpy()
            scales = state.pop(f"{stem}.{part}_scales").numpy()
            bias = state.pop(f"{stem}.{part}_bias").float().numpy()
            for n, half in enumerate(halves):
                step = slice(n, None, len(halves))
                writer.add_tensor(f"blk.{layer}.ffn_{half}_exps.weight", mxfp4(blocks[:, step], scales[:, step]),
                                  raw_dtype=MXFP4)
                writer.add_tensor(f"blk.{layer}.ffn_{half}_exps.bias", numpy.ascontiguousarray(bias[:, step]),
                                  raw_dtype=F32)


def vocabulary(arch, size):
    """Control tokens, the 256 bytes in GPT-2's alphabet, one merge, and unused rows to the end."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 256
    for byte in range(256):
        letters[byte] = chr(byte) if byte in printable else chr(extra)
        extra += byte not in printable
    tokens = CONTROL[arch] + [letters[b] for b in range(256)] + ["th", "the"]
    types = [3] * len(CONTROL[arch]) + [1] * 258
    while len(tokens) < size:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(5)
    return tokens, types


def write(arch, source, pre, target, form):
    config = json.loads((TESTS / source / "config.json").read_text())
    state = {}
    for file in (TESTS / source).glob("model*.safetensors"):
        state |= load_file(file)
    # Seed-OSS in three parts, as large models are published.
    writer = gguf.GGUFWriter(target, arch, split_max_tensors=16 if arch == "seed_oss" and form == "as is" else 0)
    layers = config["num_hidden_layers"]
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta") or rope["rope_theta"])
    if arch == "gpt-oss":
        writer.add_expert_feed_forward_length(config["intermediate_size"])
        writer.add_expert_count(config["num_local_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_sliding_window(config["sliding_window"])
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        experts(writer, state, layers)
    tokens, types = vocabulary(arch, config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["t h", "th e"])
    writer.add_eos_token_id(2)
    if arch == "seed_oss":
        writer.add_bos_token_id(0)
        writer.add_chat_template(TEMPLATE)
        writer.add_float32("general.sampling.temp", 1.1)
    for number, (name, tensor) in enumerate(sorted(state.items())):
        plain(writer, name_of(name), tensor, form, number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for arch, source, pre in CASES:
        write(arch, source, pre, folder / f"{arch}.gguf", "as is")
        for form in ["quantised", "widened"]:
            write(arch, source, pre, folder / f"{arch}-{form}.gguf", form)
