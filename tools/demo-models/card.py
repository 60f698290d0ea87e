"""Owns the model cards: what each demo can and cannot, with every figure of its last evaluation."""

import argparse
import json
import sys
from pathlib import Path

import evaluate
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
CALL_GATES = {'no fit': 'no call 98 %', 'chat with tools': 'no call 98 %', 'no tools declared': 'no call 98 %'}


def rows(results, mode, gates=False, hot=False):
    """A table of one mode's sets; the thought's length where any was counted."""
    shown = {k.partition(': ')[2].removesuffix(' (T 0.7)'): s for k, s in results.items() if k.startswith(f'{mode}: ') and k.endswith('(T 0.7)') == hot}
    counted = any(s.get('thought') for s in shown.values())
    head = ['set', 'exact', *(['gate'] if gates else []), 'well-formed', 'calls', 'function', *(['analysis'] if counted else [])]
    lines = [f'| {" | ".join(head)} |', '|---' * len(head) + '|']
    for name, s in shown.items():
        gate = evaluate.GATES.get(name)
        cells = [name, f'{s["exact"]:.1f} %']
        if gates:
            cells.append(CALL_GATES.get(name) or (f'{gate} %' if gate else ''))
        cells += [f'{s["well_formed"]:.1f} %', f'{s["calls"]:.1f} %', f'{s["function"]:.1f} %' if s['function'] else '']
        if counted:
            cells.append(f'{s["thought"]:.1f}')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def missed(results, mode):
    """The gates that are not reached, each with its figure."""
    out = []
    for name, gate in evaluate.GATES.items():
        s = results[f'{mode}: {name}']
        value = 100 - s['calls'] if name in CALL_GATES else s['exact']
        if value < gate:
            out.append(f'{name} {value:.1f} % (gate {gate} %)')
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('progress', type=Path)
    ap.add_argument('--family', choices=evaluate.FAMILIES, default='seed-oss')
    args = ap.parse_args()
    family, _ = evaluate.FAMILIES[args.family]
    report = json.loads((family.DEMO / 'evaluation.json').read_text())
    progress = json.loads(args.progress.read_text())
    config = json.loads((family.DEMO / 'config.json').read_text())
    results, modes = report['results'], list(family.MODES)
    mean = lambda mode, field, hot=False: (lambda v: sum(v) / len(v))([s.get(field, 0) for k, s in results.items() if k.startswith(f'{mode}: ') and k.endswith('(T 0.7)') == hot])
    misses = missed(results, modes[0])
    with safe_open(family.DEMO / 'model.safetensors', 'pt') as weights:
        shapes = {k: weights.get_slice(k).get_shape() for k in weights.keys()}
    # A block's byte holds two numbers; its scale is none.
    sizes = [(2 if k.endswith('_blocks') else 0 if k.endswith('_scales') else 1, shape) for k, shape in shapes.items()]
    parameters = 0
    for times, shape in sizes:
        count = times
        for side in shape:
            count *= side
        parameters += count
    tables = {name: rows(results, mode, gates=mode == modes[0]) for name, mode in zip(['first', 'second', 'third'], modes)}
    (family.DEMO / 'MODEL_CARD.md').write_text((HERE / 'cards' / f'{args.family}.md').read_text(encoding='utf-8').format(
        parameters=parameters, number=report['prompts'], date=report['date'], seed=report['seed'], **tables,
        function_real=results[f'{modes[0]}: weather, real places']['function'], formed=mean(modes[0], 'well_formed'),
        verdict='All gates are met.' if not misses else 'Gates missed: ' + '; '.join(misses) + '.',
        **{mode.replace(' ', '_'): mean(mode, 'thought') for mode in modes},
        warm=mean(modes[0], 'well_formed', True), sampled=rows(results, modes[0], hot=True), vocab=config['vocab_size'], padding=13,
        experts=config.get('num_local_experts'), active=config.get('num_experts_per_tok'), positions=config['max_position_embeddings'],
        original=(config.get('rope_scaling') or {}).get('original_max_position_embeddings'),
        tokens=progress['tokens'] / 1e6, learned=progress['learned'] / 1e6, steps=progress['steps'], minutes=progress['seconds'] / 60,
        rate=progress['tokens'] / progress['seconds'], train_seed=progress['seed']), encoding='utf-8')
    print('\n'.join(['missed:'] + misses) if misses else 'all gates met', file=sys.stderr)


if __name__ == '__main__':
    main()
