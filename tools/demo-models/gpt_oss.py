"""Owns the lean GptOss forward for training and greedy evaluation: sinks, sliding layers, YaRN, a mixture of experts with fake MXFP4 rounding."""

import json
import math

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import model
from model import norm, rotate

CONFIG = {
    'architectures': ['GptOssForCausalLM'], 'attention_bias': True, 'attention_dropout': 0.0, 'eos_token_id': 2, 'experts_per_token': 2, 'head_dim': 64, 'hidden_act': 'silu',
    'hidden_size': 192, 'initial_context_length': 256, 'initializer_range': 0.02, 'intermediate_size': 192,
    'layer_types': ['sliding_attention', 'full_attention', 'sliding_attention', 'full_attention'], 'max_position_embeddings': 2048, 'model_type': 'gpt_oss',
    'num_attention_heads': 4, 'num_experts_per_tok': 2, 'num_hidden_layers': 4, 'num_key_value_heads': 2, 'num_local_experts': 4, 'output_router_logits': False, 'pad_token_id': 1,
    'quantization_config': {'modules_to_not_convert': ['model.layers.*.self_attn', 'model.layers.*.mlp.router', 'model.embed_tokens', 'lm_head'], 'quant_method': 'mxfp4'},
    'rms_norm_eps': 1e-5, 'rope_scaling': {'beta_fast': 32.0, 'beta_slow': 1.0, 'factor': 8.0, 'original_max_position_embeddings': 256, 'rope_type': 'yarn', 'truncate': False},
    'rope_theta': 150000, 'router_aux_loss_coef': 0.9, 'sliding_window': 128, 'swiglu_limit': 7.0, 'tie_word_embeddings': False, 'torch_dtype': 'bfloat16',
    'transformers_version': '4.55.0', 'use_cache': True, 'vocab_size': 0,
}
ROUNDED_FROM = 0.6
FP4 = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6])


def frequencies(config):
    """(inverse frequencies [head_dim / 2], factor on cos and sin) of YaRN (Peng et al. 2023), bounds not rounded."""
    d, theta, rope = config['head_dim'], config['rope_theta'], config['rope_scaling']
    plain = 1.0 / theta ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    bound = lambda turns: d * math.log(rope['original_max_position_embeddings'] / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(bound(rope['beta_fast']), 0), min(bound(rope['beta_slow']), d - 1)
    ramp = ((torch.arange(d // 2).float() - low) / (high - low)).clamp(0, 1)
    return plain / rope['factor'] * ramp + plain * (1 - ramp), 0.1 * math.log(rope['factor']) + 1


def angles(config, positions, dtype):
    inv, factor = frequencies(config)
    freqs = positions[..., None].float() * inv
    both = torch.cat((freqs, freqs), -1)
    return (both.cos() * factor).to(dtype), (both.sin() * factor).to(dtype)


def fresh(config, seed):
    """Parameters by their transformers name, seeded; each expert's gate, up and down apart until they are packed."""
    g = torch.Generator().manual_seed(seed)
    h, i, d, heads = config['hidden_size'], config['intermediate_size'], config['head_dim'], config['num_attention_heads']
    q, kv = heads * d, config['num_key_value_heads'] * d
    normal = lambda *shape: torch.randn(*shape, generator=g) / math.sqrt(shape[-1])
    p = {'model.embed_tokens.weight': torch.randn(config['vocab_size'], h, generator=g) * 0.5}
    for n in range(config['num_hidden_layers']):
        a = f'model.layers.{n}.'
        p |= {a + 'input_layernorm.weight': torch.ones(h), a + 'post_attention_layernorm.weight': torch.ones(h), a + 'self_attn.sinks': torch.zeros(heads)}
        for name, width in (('q', q), ('k', kv), ('v', kv)):
            p |= {a + f'self_attn.{name}_proj.weight': normal(width, h), a + f'self_attn.{name}_proj.bias': torch.zeros(width)}
        p |= {a + 'self_attn.o_proj.weight': normal(h, q) * 0.3, a + 'self_attn.o_proj.bias': torch.zeros(h),
              a + 'mlp.router.weight': normal(config['num_local_experts'], h), a + 'mlp.router.bias': torch.zeros(config['num_local_experts'])}
        for e in range(config['num_local_experts']):
            b = f'{a}mlp.experts.{e}.'
            p |= {b + 'gate.weight': normal(i, h), b + 'up.weight': normal(i, h) * 0.5, b + 'down.weight': normal(h, i) * 0.3,
                  b + 'gate.bias': torch.zeros(i), b + 'up.bias': torch.zeros(i), b + 'down.bias': torch.zeros(h)}
    return p | {'model.norm.weight': torch.ones(h), 'lm_head.weight': torch.zeros(config['vocab_size'], h)}


def prepared(config, seed):
    """Fresh parameters with copying laid out beforehand, as for the other family (`model.lay_out_copying`)."""
    inv, _ = frequencies(config)
    return model.lay_out_copying(fresh(config, seed), config, seed, inv)


def codes(weight):
    """(scale exponents [.., blocks], codes 0..15 [.., blocks, 32]) of MXFP4: blocks of 32 along the last dimension, each with a power of two."""
    blocks = weight.unflatten(-1, (-1, 32))
    exponent = torch.floor(torch.log2(blocks.abs().amax(-1).clamp(min=1e-20))) - 2
    scaled = blocks / torch.exp2(exponent)[..., None]
    nearest = (scaled.abs()[..., None] - FP4).abs().argmin(-1)
    return exponent, nearest + 8 * (scaled < 0)


def rounded(weight):
    """The weight as MXFP4 holds it; gradients pass straight through."""
    with torch.no_grad():
        blocks = weight.unflatten(-1, (-1, 32))
        scale = torch.exp2(torch.floor(torch.log2(blocks.abs().amax(-1, keepdim=True).clamp(min=1e-20))) - 2)
        size = (blocks.abs() / scale).clamp(max=6)
        step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
        value = (torch.round(size / step) * step * scale * blocks.sign()).flatten(-2)
    return weight + (value - weight).detach()


def mixture(p, config, n, y, dtype, exact):
    """The experts' output for rows y [rows, hidden]; all experts are computed, the unchosen ones weigh nothing."""
    a, count = f'model.layers.{n}.mlp.', config['num_local_experts']
    scores = F.linear(y.float(), p[a + 'router.weight'], p[a + 'router.bias'])
    best, chosen = scores.topk(config['num_experts_per_tok'], -1)
    weights = torch.zeros_like(scores).scatter(1, chosen, best.softmax(-1))
    stack = lambda name: torch.stack([p[f'{a}experts.{e}.{name}.weight'] for e in range(count)])
    bias = lambda name: torch.stack([p[f'{a}experts.{e}.{name}.bias'] for e in range(count)])[:, None].to(dtype)
    matrix = lambda name: (rounded(stack(name)) if exact else stack(name)).to(dtype).mT
    limit = config['swiglu_limit']
    rows = y.to(dtype).expand(count, -1, -1)
    gate = (rows @ matrix('gate') + bias('gate')).clamp(max=limit)
    up = (rows @ matrix('up') + bias('up')).clamp(-limit, limit)
    out = (gate * torch.sigmoid(1.702 * gate) * (up + 1)) @ matrix('down') + bias('down')
    return (out.float() * weights.T[..., None]).sum(0)


def at(fraction):
    """How the forward pass is at this fraction of a training: experts are rounded once most is learned."""
    return {'exact': fraction > ROUNDED_FROM}


def forward(p, config, ids, dtype=torch.bfloat16, wanted=None, cache=None, positions=None, mask=None, exact=True):
    """Logits [wanted or batch x tokens, vocab]. ids [batch, tokens]; with a cache (list of (k, v)) the new tokens are appended. exact: experts as MXFP4."""
    w = (lambda name: p[name]) if dtype == torch.float32 else (lambda name: p[name].to(dtype))
    b, t = ids.shape
    nh, nk, d = config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']
    if positions is None:
        positions = torch.arange(t)
    cos, sin = angles(config, positions, dtype)
    if cos.dim() == 3:
        cos, sin = cos[:, None], sin[:, None]
    x = F.embedding(ids, p['model.embed_tokens.weight']).float()
    for n, kind in enumerate(config['layer_types']):
        a = f'model.layers.{n}.self_attn.'
        y = norm(x, p[f'model.layers.{n}.input_layernorm.weight'], config['rms_norm_eps']).to(dtype)
        heads = lambda name, count: F.linear(y, w(a + f'{name}_proj.weight'), w(a + f'{name}_proj.bias')).view(b, t, count, d).transpose(1, 2)
        q, k, v = rotate(heads('q', nh), cos, sin), rotate(heads('k', nk), cos, sin), heads('v', nk)
        if cache is not None:
            if cache[n] is not None:
                k, v = torch.cat((cache[n][0], k), 2), torch.cat((cache[n][1], v), 2)
            cache[n] = (k, v)
        length = k.shape[2]
        behind = torch.arange(length - t, length)[:, None] - torch.arange(length)
        seen = (behind >= 0) & (behind < config['sliding_window'] if kind == 'sliding_attention' else True)
        seen = seen & mask if mask is not None else seen
        scores = ((q.reshape(b, nk, nh // nk * t, d) @ k.mT).view(b, nh, t, length) * d ** -0.5).masked_fill(~seen, -1e9)
        sink = w(a + 'sinks').view(1, nh, 1, 1).expand(b, nh, t, 1)
        weights = torch.cat((scores, sink), -1).softmax(-1)[..., :-1]
        y = (weights.reshape(b, nk, nh // nk * t, length) @ v).view(b, nh, t, d)
        x = x + F.linear(y.transpose(1, 2).reshape(b, t, nh * d), w(a + 'o_proj.weight'), w(a + 'o_proj.bias')).float()
        y = norm(x, p[f'model.layers.{n}.post_attention_layernorm.weight'], config['rms_norm_eps']).reshape(b * t, -1)
        x = x + mixture(p, config, n, y, dtype, exact).view(b, t, -1)
    x = norm(x, p['model.norm.weight'], config['rms_norm_eps']).reshape(b * t, -1)
    if wanted is not None:
        x = x[wanted]
    return F.linear(x.to(dtype), w('lm_head.weight')).float()


def expert_names(config, n):
    """(packed name, per-expert parts whose rows alternate) of a layer's expert matrices."""
    a = f'model.layers.{n}.mlp.experts.'
    return [(a + 'gate_up_proj', ('gate', 'up')), (a + 'down_proj', ('down',))]


def interleaved(p, config, n, parts, kind):
    """[experts, rows of the parts in turns, ..]: row 2i is gate i, row 2i + 1 is up i."""
    a = f'model.layers.{n}.mlp.experts.'
    return torch.stack([torch.stack([p[f'{a}{e}.{part}.{kind}'] for part in parts], 1).flatten(0, 1) for e in range(config['num_local_experts'])])


def packed(p, config):
    """The checkpoint's tensors: experts as MXFP4 blocks and scales, the rest bf16."""
    out = {k: v.bfloat16().contiguous() for k, v in p.items() if '.experts.' not in k}
    for n in range(config['num_hidden_layers']):
        for name, parts in expert_names(config, n):
            exponent, code = codes(interleaved(p, config, n, parts, 'weight'))
            pairs = code.unflatten(-1, (16, 2))
            out[name + '_blocks'] = (pairs[..., 0] | pairs[..., 1] << 4).to(torch.uint8).contiguous()
            out[name + '_scales'] = (exponent + 127).to(torch.uint8).contiguous()
            out[name + '_bias'] = interleaved(p, config, n, parts, 'bias').bfloat16().contiguous()
    return out


def unpacked(tensors, config):
    """The parameters that `packed` was made from, as the checkpoint holds them."""
    p = {k: v.float() for k, v in tensors.items() if '.experts.' not in k}
    for n in range(config['num_hidden_layers']):
        a = f'model.layers.{n}.mlp.experts.'
        for name, parts in expert_names(config, n):
            blocks, scales = tensors[name + '_blocks'], tensors[name + '_scales']
            code = torch.stack((blocks & 15, blocks >> 4), -1).flatten(-2).long()
            value = FP4[code & 7] * torch.where(code > 7, -1.0, 1.0) * torch.exp2(scales.float() - 127)[..., None]
            for e, (weight, bias) in enumerate(zip(value.flatten(-2), tensors[name + '_bias'].float())):
                for i, part in enumerate(parts):
                    p[f'{a}{e}.{part}.weight'], p[f'{a}{e}.{part}.bias'] = weight[i::len(parts)], bias[i::len(parts)]
    return p


def load(path):
    """f32 parameters of a checkpoint (averaged weights, rounded as packing rounds) or of a packed folder, and the config."""
    if path.is_dir():
        config = json.loads((path / 'config.json').read_text())
        return unpacked(load_file(path / 'model.safetensors'), config), config
    state = torch.load(path, weights_only=False)
    return unpacked(packed(state['average'], state['config']), state['config']), state['config']
