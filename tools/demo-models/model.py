"""Owns the lean SeedOss forward for training and greedy evaluation: parameter names as in transformers, f32 residual stream."""

import json
import math

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

CONFIG = {
    'architectures': ['SeedOssForCausalLM'], 'attention_bias': True, 'attention_dropout': 0.0, 'attention_out_bias': False, 'bos_token_id': 0, 'eos_token_id': 2,
    'head_dim': 64, 'hidden_act': 'silu', 'hidden_size': 192, 'initializer_range': 0.02, 'intermediate_size': 512, 'max_position_embeddings': 2048, 'mlp_bias': False,
    'model_type': 'seed_oss', 'num_attention_heads': 4, 'num_hidden_layers': 4, 'num_key_value_heads': 2, 'pad_token_id': 1, 'residual_dropout': 0.0,
    'rms_norm_eps': 1e-6, 'rope_scaling': {'rope_type': 'default'}, 'rope_theta': 1e7, 'tie_word_embeddings': False, 'torch_dtype': 'bfloat16',
    'transformers_version': '4.55.0', 'use_cache': True, 'vocab_size': 0,
}


def fresh(config, seed):
    """Parameters by their transformers name, seeded."""
    g = torch.Generator().manual_seed(seed)
    h, i, d = config['hidden_size'], config['intermediate_size'], config['head_dim']
    q, kv = config['num_attention_heads'] * d, config['num_key_value_heads'] * d
    normal = lambda *shape: torch.randn(*shape, generator=g) / math.sqrt(shape[-1])
    p = {'model.embed_tokens.weight': torch.randn(config['vocab_size'], h, generator=g) * 0.5}
    for n in range(config['num_hidden_layers']):
        a = f'model.layers.{n}.'
        p |= {a + 'input_layernorm.weight': torch.ones(h), a + 'post_attention_layernorm.weight': torch.ones(h)}
        for name, width in (('q', q), ('k', kv), ('v', kv)):
            p |= {a + f'self_attn.{name}_proj.weight': normal(width, h), a + f'self_attn.{name}_proj.bias': torch.zeros(width)}
        p |= {a + 'self_attn.o_proj.weight': normal(h, q) * 0.3, a + 'mlp.gate_proj.weight': normal(i, h), a + 'mlp.up_proj.weight': normal(i, h),
              a + 'mlp.down_proj.weight': normal(h, i) * 0.3}
    return p | {'model.norm.weight': torch.ones(h), 'lm_head.weight': torch.zeros(config['vocab_size'], h)}


def prepared(config, seed):
    """Fresh parameters in which copying is laid out beforehand."""
    half = config['head_dim'] // 2
    return lay_out_copying(fresh(config, seed), config, seed, 1.0 / config['rope_theta'] ** (torch.arange(0, half).float() / half))


def lay_out_copying(p, config, seed, inv):
    """Parameters in which copying is laid out beforehand, so that training starts from it instead of finding it. inv: rotary frequencies.

    Layer 0: two heads that look one and two tokens back (position only, by their biases) and write that token beside the own one.
    Layer 1: heads that look for the place where the current token (and the one before it) stood before, and write what followed,
    turned by `turn`, the frame in which lm_head reads it. All of it is trained further like any other weight.
    """
    g = torch.Generator().manual_seed(seed + 1)
    h, d = config['hidden_size'], config['head_dim']
    basis = lambda: torch.linalg.qr(torch.randn(h, h, generator=g))[0]
    turn, first, second, own = basis(), basis(), basis(), basis()
    read, one, two = first[:, :d].T, second[:, :d], second[:, d:2 * d]
    half = d // 2
    a = 'model.layers.0.self_attn.'
    loud = torch.zeros(half)
    loud[:6] = 8.0
    for name, rows in (('q', 2 * d), ('k', d)):
        p[a + f'{name}_proj.weight'][:rows] *= 0.02
    p[a + 'k_proj.bias'][:half] = loud
    for head in (0, 1):
        # The query is the key's constant seen `head + 1` tokens earlier: rotated back by that many steps.
        p[a + 'q_proj.bias'][head * d:head * d + half] = loud * torch.cos(-(head + 1) * inv)
        p[a + 'q_proj.bias'][head * d + half:(head + 1) * d] = loud * torch.sin(-(head + 1) * inv)
        p[a + 'o_proj.weight'][:, head * d:(head + 1) * d] = (one, two)[head] * 0.6
    p[a + 'v_proj.weight'][:d] = read
    a = 'model.layers.1.self_attn.'
    slow = [i for i in range(half) if i >= 12]
    slow = torch.tensor(slow + [i + half for i in slow])  # pairs that hardly turn over a few hundred tokens
    n, gain = len(slow), 2.6
    q, k = torch.zeros(4, d, h), torch.zeros(2, d, h)
    q[0, slow] = q[1, slow] = read[:n] * gain
    k[0, slow] = one.T[:n] * gain
    m = n // 2
    q[2, slow] = q[3, slow] = torch.cat((read[:m], one.T[:m])) * gain
    k[1, slow] = torch.cat((one.T[:m], two.T[:m])) * gain
    p[a + 'q_proj.weight'] = p[a + 'q_proj.weight'] * 0.1 + q.reshape(4 * d, h)
    p[a + 'k_proj.weight'] = p[a + 'k_proj.weight'] * 0.1 + k.reshape(2 * d, h)
    p[a + 'v_proj.weight'] = torch.cat((own[:, :d].T, own[:, d:2 * d].T))
    for head in range(4):
        p[a + 'o_proj.weight'][:, head * d:(head + 1) * d] = turn @ own[:, (head // 2) * d:(head // 2 + 1) * d] * 0.8
    p['lm_head.weight'] = p['model.embed_tokens.weight'] @ turn.T * 0.25
    return {k: v.contiguous() for k, v in p.items()}


def packed(p, _config):
    """The checkpoint's tensors, all bf16."""
    return {k: v.bfloat16().contiguous() for k, v in p.items()}


def load(path):
    """bf16-rounded f32 parameters of a checkpoint (averaged weights) or of a packed folder, and the config."""
    if path.is_dir():
        config = json.loads((path / 'config.json').read_text())
        return {k: v.float() for k, v in load_file(path / 'model.safetensors').items()}, config
    state = torch.load(path, weights_only=False)
    return {k: v.bfloat16().float() for k, v in state['average'].items()}, state['config']


def norm(x, weight, eps=1e-6):
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def rotate(x, cos, sin):
    """Half-rotated rotary embedding of [batch, heads, tokens, head_dim]."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def angles(config, positions, dtype):
    """cos and sin for positions [.., tokens]."""
    d = config['head_dim']
    inv = 1.0 / config['rope_theta'] ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    freqs = positions[..., None].float() * inv
    both = torch.cat((freqs, freqs), -1)
    return both.cos().to(dtype), both.sin().to(dtype)


def at(_fraction):
    """How the forward pass is at this fraction of a training: always the same."""
    return {}


def forward(p, config, ids, dtype=torch.bfloat16, wanted=None, cache=None, positions=None, mask=None):
    """Logits [wanted or batch x tokens, vocab]. ids [batch, tokens]; with a cache (list of (k, v)) the new tokens are appended."""
    w = (lambda name: p[name]) if dtype == torch.float32 else (lambda name: p[name].to(dtype))
    b, t = ids.shape
    nh, nk, d = config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']
    if positions is None:
        positions = torch.arange(t)
    cos, sin = angles(config, positions, dtype)
    if cos.dim() == 3:
        cos, sin = cos[:, None], sin[:, None]
    causal = torch.full((t, t), -1e9, dtype=dtype).triu(1) if mask is None else None
    x = F.embedding(ids, p['model.embed_tokens.weight']).float()
    for n in range(config['num_hidden_layers']):
        a = f'model.layers.{n}.'
        y = norm(x, p[a + 'input_layernorm.weight']).to(dtype)
        heads = lambda name, count: F.linear(y, w(a + f'self_attn.{name}_proj.weight'), w(a + f'self_attn.{name}_proj.bias')).view(b, t, count, d).transpose(1, 2)
        q, k, v = rotate(heads('q', nh), cos, sin), rotate(heads('k', nk), cos, sin), heads('v', nk)
        if cache is not None:
            if cache[n] is not None:
                k, v = torch.cat((cache[n][0], k), 2), torch.cat((cache[n][1], v), 2)
            cache[n] = (k, v)
        # Plain products: torch's fused attention has a slow backward for short rows on the CPU. Query heads of one kv head side by side.
        scores = (q.reshape(b, nk, nh // nk * t, d) @ k.mT).view(b, nk, nh // nk, t, -1) * d ** -0.5
        scores = scores.masked_fill(~mask[:, :, None], -1e9) if mask is not None else scores + causal
        y = (scores.softmax(-1).view(b, nk, nh // nk * t, -1) @ v).view(b, nh, t, d)
        x = x + F.linear(y.transpose(1, 2).reshape(b, t, nh * d), w(a + 'self_attn.o_proj.weight')).float()
        y = norm(x, p[a + 'post_attention_layernorm.weight']).to(dtype)
        y = F.silu(F.linear(y, w(a + 'mlp.gate_proj.weight'))) * F.linear(y, w(a + 'mlp.up_proj.weight'))
        x = x + F.linear(y, w(a + 'mlp.down_proj.weight')).float()
    x = norm(x, p['model.norm.weight']).reshape(b * t, -1)
    if wanted is not None:
        x = x[wanted]
    return F.linear(x.to(dtype), w('lm_head.weight')).float()


@torch.no_grad()
def generate(p, config, prompts, real_vocab, limit=140, temperature=0.0, seed=0, ends=(2,), forward=None):
    """Continuations (token ids without the end token's successors) of prompts, left-padded in one batch, computed in f32."""
    forward = forward or globals()['forward']
    g = torch.Generator().manual_seed(seed)
    b, t = len(prompts), max(map(len, prompts))
    ids, valid = torch.full((b, t), 1), torch.zeros(b, t, dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        ids[i, t - len(prompt):] = torch.tensor(prompt)
        valid[i, t - len(prompt):] = True
    positions = (valid.long().cumsum(1) - 1).clamp(min=0)
    mask = torch.ones(t, t, dtype=torch.bool).tril()[None, None] & valid[:, None, None, :]
    mask = mask | torch.eye(t, dtype=torch.bool)[None, None]
    cache = [None] * config['num_hidden_layers']
    logits = forward(p, config, ids, torch.float32, torch.arange(b) * t + t - 1, cache, positions, mask)
    out, done, position = [[] for _ in range(b)], [False] * b, positions[:, -1:]
    for _ in range(limit):
        logits = logits[:, :real_vocab]
        token = logits.argmax(-1) if temperature == 0 else torch.multinomial((logits / temperature).softmax(-1), 1, generator=g)[:, 0]
        for i, new in enumerate(token.tolist()):
            if not done[i]:
                out[i].append(new)
                done[i] = new in ends
        if all(done):
            break
        valid = torch.cat((valid, torch.ones(b, 1, dtype=torch.bool)), 1)
        position = position + 1
        logits = forward(p, config, token[:, None], torch.float32, None, cache, position, valid[:, None, None, :])
    return out
