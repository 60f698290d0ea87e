"""Owns the one command: tokenizer, training, packing, evaluation, model card."""

import argparse
import subprocess
import sys
from pathlib import Path

import evaluate

HERE = Path(__file__).resolve().parent


def main():
    ap = argparse.ArgumentParser(description='Trains, packs and evaluates a demo model.')
    ap.add_argument('--family', choices=evaluate.FAMILIES, default='seed-oss')
    ap.add_argument('--work', type=Path, required=True, help='folder for checkpoints and logs, outside the repository')
    ap.add_argument('--seconds', default='3900', help='training time of its cores')
    ap.add_argument('--number', default='200', help='prompts a set')
    args = ap.parse_args()
    step = lambda *parts: subprocess.run([sys.executable, *map(str, parts), '--family', args.family], cwd=HERE, check=True)
    if not (args.work / 'state.pt').exists():
        step('tokenizer.py')
    step('train.py', '--out', args.work, '--seconds', args.seconds)
    step('pack.py', args.work / 'state.pt')
    step('evaluate.py', '--number', args.number, '--seed', 2026, '--full')
    step('card.py', args.work / 'progress.json')


if __name__ == '__main__':
    main()
