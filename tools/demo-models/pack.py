"""Owns the shipped folder: bf16 weights, configs, and the check that transformers reads the same model out of it."""

import argparse
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import evaluate
import model


def pack(family, network, state_file, folder):
    """Writes model.safetensors, config.json and generation_config.json of a checkpoint's averaged weights."""
    state = torch.load(state_file, weights_only=False)
    config = {k: v for k, v in state['config'].items()}
    save_file(network.packed(state['average'], config), folder / 'model.safetensors', metadata={'format': 'pt'})
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    (folder / 'generation_config.json').write_text(json.dumps({'_from_model_config': True, **family.GENERATION, 'transformers_version': '4.55.0'}, indent=2) + '\n')
    seconds, tokens, learned, steps = state['progress']
    size = (folder / 'model.safetensors').stat().st_size
    print(f'{sum(v.numel() for v in state["average"].values()):,} parameters, {size / 1e6:.2f} MB, {seconds:.0f} s, {tokens / 1e6:.2f} M tokens, {learned / 1e6:.2f} M learned, {steps} steps')


def agrees(family, network, folder, prompts=6):
    """Greedy text of transformers' model (f32 compute, the packed weights) = the lean forward's."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval().float()
    fast = AutoTokenizer.from_pretrained(folder)
    own, config = network.load(folder)
    tokenizer = Tokenizer.from_file(str(folder / 'tokenizer.json'))
    ends = [tokenizer.token_to_id(t) for t in family.STOPS]
    assert config['vocab_size'] > tokenizer.get_vocab_size()
    rng, worst = random.Random(3), 0.0
    for name in list(evaluate.SETS)[:prompts]:
        date = family.today(rng)
        messages, tools, _ = evaluate.one(name, rng, date)
        prompt = family.asked(messages, tools, next(iter(family.MODES.values()))(rng), date)
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        assert fast(prompt, add_special_tokens=False)['input_ids'] == ids
        out = model.generate(own, config, [ids], tokenizer.get_vocab_size(), ends=ends, forward=network.forward)[0]
        with torch.no_grad():
            logits = theirs(torch.tensor([ids + out])).logits[0]
            lean = network.forward(own, config, torch.tensor([ids + out]), torch.float32)
        worst = max(worst, (logits - lean).abs().max().item())
        assert logits[len(ids) - 1:-1, :tokenizer.get_vocab_size()].argmax(-1).tolist() == out, tokenizer.decode(out, skip_special_tokens=False)
    print(f'transformers agrees on {prompts} greedy texts; largest logit difference {worst:.2g}')


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('state', type=Path)
    ap.add_argument('--family', choices=evaluate.FAMILIES, default='seed-oss')
    ap.add_argument('--folder', type=Path)
    ap.add_argument('--no-check', action='store_true')
    args = ap.parse_args()
    family, network = evaluate.FAMILIES[args.family]
    pack(family, network, args.state, args.folder or family.DEMO)
    if not args.no_check:
        agrees(family, network, args.folder or family.DEMO)
