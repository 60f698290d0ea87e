"""Owns the shipped folder: bf16 weights, configs, and the check that transformers reads the same model out of it."""

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import evaluate
import generate
import model


def pack(state_file, folder):
    """Writes model.safetensors, config.json and generation_config.json of a checkpoint's averaged weights."""
    state = torch.load(state_file, weights_only=False)
    config = {k: v for k, v in state['config'].items()}
    save_file({k: v.bfloat16().contiguous() for k, v in state['average'].items()}, folder / 'model.safetensors', metadata={'format': 'pt'})
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    (folder / 'generation_config.json').write_text(json.dumps(
        {'_from_model_config': True, 'bos_token_id': 0, 'eos_token_id': 2, 'pad_token_id': 1, 'do_sample': True, 'temperature': 0.7, 'top_p': 0.95, 'transformers_version': '4.55.0'}, indent=2) + '\n')
    seconds, tokens, learned, steps = state['progress']
    size = (folder / 'model.safetensors').stat().st_size
    print(f'{sum(v.numel() for v in state["average"].values()):,} parameters, {size / 1e6:.2f} MB, {seconds:.0f} s, {tokens / 1e6:.2f} M tokens, {learned / 1e6:.2f} M learned, {steps} steps')


def agrees(folder, prompts=6):
    """Greedy text of transformers' SeedOssForCausalLM (f32 compute, the packed weights) = the lean forward's."""
    from transformers import AutoTokenizer, SeedOssForCausalLM
    theirs = SeedOssForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    fast = AutoTokenizer.from_pretrained(folder)
    own, config = evaluate.load(folder)
    tokenizer = Tokenizer.from_file(str(folder / 'tokenizer.json'))
    assert config['vocab_size'] > tokenizer.get_vocab_size()
    rng, worst = random.Random(3), 0.0
    for name in list(evaluate.SETS)[:prompts]:
        prompt = evaluate.one(name, rng, -1)[0]
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        assert fast(prompt, add_special_tokens=False)['input_ids'] == ids
        out = model.generate(own, config, [ids], tokenizer.get_vocab_size())[0]
        with torch.no_grad():
            logits = theirs(torch.tensor([ids + out])).logits[0]
            lean = model.forward(own, config, torch.tensor([ids + out]), torch.float32)
        worst = max(worst, (logits - lean).abs().max().item())
        assert logits[len(ids) - 1:-1, :tokenizer.get_vocab_size()].argmax(-1).tolist() == out, tokenizer.decode(out, skip_special_tokens=False)
    print(f'transformers agrees on {prompts} greedy texts; largest logit difference {worst:.2g}')


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('state', type=Path)
    ap.add_argument('--folder', type=Path, default=generate.DEMO)
    ap.add_argument('--no-check', action='store_true')
    args = ap.parse_args()
    pack(args.state, args.folder)
    if not args.no_check:
        agrees(args.folder)
