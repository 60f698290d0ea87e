"""Owns the training: copy curriculum, short conversations, all lengths, by the clock of its cores, resumable, with averaged weights."""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import generate
import gpt_oss
import harmony
import model

torch.set_num_threads(2)
# What each family's rows and forward pass come from.
FAMILIES = {'seed-oss': (generate, model), 'gpt-oss': (harmony, gpt_oss)}


def clock():
    """Seconds of work: what a busy or stopped machine takes longer for is no more training."""
    return time.process_time() / torch.get_num_threads()


class Muon:
    """Muon on all matrices of one shape in one batched product (torch's own takes them one by one)."""

    def __init__(self, tensors):
        self.groups = {}
        for p in tensors:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.momentum = {shape: torch.zeros(len(ps), *shape) for shape, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, rate, decay=0.01, beta=0.95):
        for shape, ps in self.groups.items():
            grad = torch.stack([p.grad for p in ps])
            m = self.momentum[shape]
            m.mul_(beta).add_(grad, alpha=1 - beta)
            x = (grad * (1 - beta) + m * beta).bfloat16()
            flip = shape[0] > shape[1]
            if flip:
                x = x.mT
            x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
            x = (x.mT if flip else x).float() * max(1, shape[0] / shape[1]) ** 0.5
            for p, update in zip(ps, x):
                p.mul_(1 - rate * decay).add_(update, alpha=-rate)


def copy_row(rng, everything, pairs, digits):
    """(ids, spans): tokens to repeat, or keys to look values up for, inside the chat format (bos, tokens, eos, bos, answer, eos)."""
    kind = rng.random()
    pool = everything if kind < 0.3 else pairs if kind < 0.7 else digits if kind < 0.76 else rng.sample(pairs if rng.random() < 0.7 else everything, rng.randint(3, 8))
    draw = lambda n: [rng.choice(pool) for _ in range(n)]
    if rng.random() < 0.5:
        body = draw(rng.randint(2, 30))
        noise = draw(rng.randint(0, 12)) if rng.random() < 0.4 else []
        ids = [0, *noise, 2, 0, *body, 2, 0] if noise else [0, *body, 2, 0]
        return ids + body + [2], [(len(ids), len(ids) + len(body) + 1)]
    entries = [(draw(rng.randint(1, 3)), draw(rng.randint(1, 6))) for _ in range(rng.randint(2, 6))]
    ids, spans = [0], []
    for key, value in entries:
        ids += key + [3] + value + [2]
    for key, value in rng.sample(entries, min(3, len(entries))):
        ids += [0] + key + [3]
        spans.append((len(ids), len(ids) + len(value) + 1))
        ids += value + [2]
    return ids, spans


class Rows:
    """Batches of token rows, drawn fresh, bucketed by length."""

    def __init__(self, family, tokenizer, seed, tokens):
        self.family = family
        self.tokenizer, self.rng, self.budget = tokenizer, random.Random(seed), tokens
        vocab = tokenizer.get_vocab()
        self.everything = [i for i in vocab.values() if i > 8]
        self.pairs = [i for t, i in vocab.items() if len(t) == 2 and t.isascii() and t.isalpha()]
        self.digits = [vocab[c] for c in '0123456789']

    def conversations(self, mix, count, longest):
        texts = [self.family.row(self.rng, mix) for _ in range(count)]
        out = []
        for (text, spans), enc in zip(texts, self.tokenizer.encode_batch([t for t, _ in texts], add_special_tokens=False)):
            if len(enc.ids) > longest:
                continue
            starts = [a for a, _ in enc.offsets]
            ends, at, ranges = [b for _, b in enc.offsets], 0, []
            for a, b in spans:
                while starts[at] < a:
                    at += 1
                first = at
                while at < len(ends) and ends[at] <= b:
                    at += 1
                ranges.append((first, at))
            out.append((enc.ids, ranges))
        return out

    def chunk(self, phase, late=False):
        """A list of batches for this phase: copy, short or all; late: the last quarter's mix."""
        if phase == 'copy':
            rows = [copy_row(self.rng, self.everything, self.pairs, self.digits) for _ in range(700)]
        elif phase == 'short':
            rows = self.conversations(self.family.SHORT, 1000, 230)
            rows += [copy_row(self.rng, self.everything, self.pairs, self.digits) for _ in range(90)]
        else:
            rows = self.conversations(self.family.LATE if late else self.family.MIX, 500 if late else 800, 700)
            rows += self.conversations(self.family.LATE_SHORT if late else self.family.SHORT, 400 if late else 250, 400)
            rows += [copy_row(self.rng, self.everything, self.pairs, self.digits) for _ in range(60)]
        rows.sort(key=lambda r: len(r[0]) + self.rng.random() * 12)
        batches, batch, widest = [], [], 0
        for r in rows:
            widest = max(widest, len(r[0]))
            if batch and widest * (len(batch) + 1) > self.budget:
                batches.append(batch)
                batch, widest = [], len(r[0])
            batch.append(r)
        batches.append(batch)
        self.rng.shuffle(batches)
        return batches


def tensors(batch):
    """(ids [rows, width], positions whose next token is learned, those tokens)."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.ones(len(batch), width, dtype=torch.long)
    wanted, targets = [], []
    for i, (row, spans) in enumerate(batch):
        ids[i, :len(row)] = torch.tensor(row)
        for a, b in spans:
            wanted += range(i * width + a - 1, i * width + b - 1)
            targets += row[a:b]
    return ids, torch.tensor(wanted), torch.tensor(targets)


def carried(fresh, state, before, tokenizer):
    """The averaged parameters of a run with another tokenizer: its vocabulary's rows by their piece, a piece with a space from the one without."""
    old, new = Tokenizer.from_file(str(before)).get_vocab(), tokenizer.get_vocab()
    space = 'Ġ'
    params = {k: v.clone() for k, v in state['average'].items()}
    for name in ('model.embed_tokens.weight', 'lm_head.weight'):
        rows = fresh[name].clone()
        for piece, at in new.items():
            bare = piece.removeprefix(space)
            known = [old[p] for p in (piece, bare + space, bare, piece[0]) if p in old]
            rows[at] = state['average'][name][known[0]]
        params[name] = rows
    return params


def factor(f, hold):
    """Learning-rate factor at fraction f of the run: flat until hold, then a power-1.2 decay to 0.01."""
    return 1.0 if f < hold else max(0.01, ((1 - f) / (1 - hold)) ** 1.2)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--family', choices=FAMILIES, default='seed-oss')
    ap.add_argument('--out', type=Path, required=True)
    ap.add_argument('--seconds', type=float, default=3480)
    ap.add_argument('--copy-tokens', type=float, default=0.08e6)
    ap.add_argument('--short-seconds', type=float, default=360)
    ap.add_argument('--hold', type=float, default=0.25)
    ap.add_argument('--rate', type=float, default=0.014, help='of Muon; AdamW has 0.15 of it')
    ap.add_argument('--seed', type=int, default=20)
    ap.add_argument('--batch', type=int, default=2560)
    ap.add_argument('--checkpoint', type=float, default=180)
    ap.add_argument('--start', type=Path, nargs=2, metavar=('STATE', 'TOKENIZER'), help='go on from a run whose tokenizer was another: its state.pt and tokenizer.json')
    args = ap.parse_args()
    family, network = FAMILIES[args.family]
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(family.DEMO / 'tokenizer.json'))
    config = network.CONFIG | {'vocab_size': tokenizer.get_vocab_size() + 13}
    state_file = args.out / 'state.pt'
    state = torch.load(state_file, weights_only=False) if state_file.exists() else None
    begun = state['params'] if state else network.prepared(config, args.seed)
    if args.start and not state:
        begun = carried(begun, torch.load(args.start[0], weights_only=False), args.start[1], tokenizer)
    params = {k: v.requires_grad_() for k, v in begun.items()}
    is_matrix = lambda k, v: v.dim() == 2 and 'layers' in k and 'router' not in k
    matrices = [v for k, v in params.items() if is_matrix(k, v)]
    rest = [v for k, v in params.items() if not is_matrix(k, v)]
    muon, adam = Muon(matrices), torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)
    average = {k: v.detach().clone() for k, v in params.items()}
    seconds, tokens, learned, steps = 0.0, 0, 0, 0
    if state:
        muon.momentum, average = state['momentum'], state['average']
        adam.load_state_dict(state['adam'])
        seconds, tokens, learned, steps = state['progress']
    rows = Rows(family, tokenizer, args.seed * 1000 + steps, args.batch)
    phase, began_short, saved, queue, log = ('copy' if tokens < args.copy_tokens and not args.start else 'all'), None, seconds, [], []
    if state and state.get('phase') == 'short':
        phase, began_short = 'short', seconds
    last = clock()
    while seconds < args.seconds:
        if not queue:
            if phase == 'copy' and tokens >= args.copy_tokens:
                phase, began_short = 'short', seconds
            elif phase == 'short' and seconds - began_short > args.short_seconds:
                phase = 'all'
            queue = rows.chunk(phase, seconds > 0.75 * args.seconds)
        ids, wanted, targets = tensors(queue.pop())
        logits = network.forward(params, config, ids, wanted=wanted, **network.at(seconds / args.seconds))
        loss = F.cross_entropy(logits, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        f = factor(seconds / args.seconds, args.hold) * min(1, (steps + 1) / 20)
        muon.step(args.rate * f)
        for group in adam.param_groups:
            group['lr'] = args.rate * 0.15 * f
        adam.step()
        for v in params.values():
            v.grad = None
        steps += 1
        with torch.no_grad():
            keep = min(0.99, 1 - 1 / (steps + 1))
            torch._foreach_lerp_(list(average.values()), [params[k] for k in average], 1 - keep)
        tokens += int((ids != 1).sum())
        learned += len(targets)
        log.append((loss.item(), (logits.argmax(-1) == targets).float().mean().item()))
        now = clock()
        seconds, last = seconds + now - last, now
        if steps % 50 == 0:
            l, a = (sum(x) / len(log) for x in zip(*log))
            print(f'{time.strftime("%H:%M:%S")} {phase} step {steps} {seconds:.0f}s tokens {tokens / 1e6:.2f}M learned {learned / 1e6:.2f}M loss {l:.3f} acc {a:.3f} lr {f:.3f} {tokens / seconds:.0f} tok/s', flush=True)
            log = []
        if seconds - saved > args.checkpoint or seconds >= args.seconds:
            saved = seconds
            torch.save({'params': {k: v.detach() for k, v in params.items()}, 'average': average, 'momentum': muon.momentum, 'adam': adam.state_dict(),
                        'progress': (seconds, tokens, learned, steps), 'phase': phase, 'config': config}, state_file.with_suffix('.new'))
            state_file.with_suffix('.new').rename(state_file)
            (args.out / 'progress.json').write_text(json.dumps({'seconds': seconds, 'tokens': tokens, 'learned': learned, 'steps': steps, 'seed': args.seed}))


if __name__ == '__main__':
    main()
