"""Owns the gates: fresh held-out prompts per set, answered greedily in f32 from bf16 weights, scored exactly."""

import argparse
import json
import random
import re
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import declare
import generate
import model
from words import place

WELL_FORMED = re.compile(r'(?:<seed:think>[^<]*</seed:think>)?\n(?:[^<\n][^<]*|<seed:tool_call>\n<function=[^<>\n]+>\n(?:<parameter=[^<>\n]+>[^<]*</parameter>\n)*</function>\n</seed:tool_call>)<seed:eos>', re.S)
GATES = {'weather, real places': 95, 'weather, invented places': 95, 'weather, client scripts': 95, 'result (JSON)': 95, 'result (text)': 95, 'chat': 98, 'refusal': 98, 'dates': 95,
         'no fit': 98, 'chat with tools': 98, 'no tools declared': 98}


def context(rng, tools, turns, budget, day_line=None):
    """(prompt, expected message, budget, kind): the last message is the one expected."""
    r = rng.random()
    system = [] if r < 0.45 and not day_line else [{'role': 'system', 'content': day_line or rng.choice(generate.SYSTEMS)}]
    history = [{k: v for k, v in m.items() if k != 'reasoning_content'} for m in turns[:-1]]
    return generate.render(system + history, [generate.declare.declared(t) for t in tools], budget), turns[-1], budget


def readme_tool(rng):
    """The declarations of the two client scripts and close relatives."""
    name, text, where, says = rng.choice([
        ('get_weather', 'Get current temperature for a given location.', 'location', 'City and country e.g. Bogotá, Colombia'),
        ('get_weather', 'Get current temperature for a given location.', 'location', 'The city name'),
        ('get_weather', 'Get current weather information for a location', 'location', 'The city and state, e.g. San Francisco, CA'),
        ('get_current_weather', 'Get the current weather in a given location', 'location', 'The city and state, e.g. San Francisco, CA'),
        ('get_weather', 'Get the weather in a city', 'city', 'The name of the city')])
    props = {where: {'type': 'string', 'description': says}}
    unit = None
    if rng.random() < 0.3:
        unit = 'unit'
        props['unit'] = {'type': 'string', 'enum': ['celsius', 'fahrenheit'], 'description': 'The unit of temperature'}
    f = {'name': name, 'description': text, 'strict': True, 'parameters': {'type': 'object', 'properties': props, 'required': [where], 'additionalProperties': False}}
    if rng.random() < 0.4:
        f['returns'] = {'type': 'object', 'properties': {'temperature': {'type': 'number', 'description': 'temperature in celsius'}}}
    return {'kind': 'weather', 'function': f, 'where': where, 'unit': unit}


def one(name, rng, budget):
    """One held-out prompt of a set."""
    count = rng.choice([1, 1, 2, 3])
    if name.startswith('weather'):
        held = 'real' if 'real' in name or 'client' in name else 'invented'
        tools = [readme_tool(rng)] if 'client' in name else generate.draw_tools(rng, True, count)
        tool = next(t for t in tools if t['kind'] == 'weather')
        if 'client' in name:
            where = place(rng, 'real')
            ask = rng.choice(["What's the weather like in {} today?", 'What is the weather like in {}?', "What's the weather in {}?", 'How is the weather in {} today?', 'What is the weather in {} right now?', "Hi, what's the weather like in {}?"])
            turns = [{'role': 'user', 'content': ask.format(where)}, generate.call_message(tool, {tool['where']: where}, '')]
        else:
            _, turns = generate.weather_episode(rng, tool, held=held, phrasing='phrasing' in name)
        return context(rng, tools, turns, budget)
    if name.startswith('result'):
        tools = generate.draw_tools(rng, True, count)
        tool = next(t for t in tools if t['kind'] == 'weather')
        where, turns = generate.weather_episode(rng, tool, held=rng.choice(['real', 'invented']))
        while True:
            result, thought, answer = declare.weather_result(rng, where)
            if result.lstrip().startswith('{') == ('JSON' in name):
                break
        return context(rng, tools, turns + [{'role': 'tool', 'content': result}, generate.say(thought, answer)], budget)
    if name.startswith('action'):
        tools = generate.draw_tools(rng, rng.random() < 0.25, count + 1, held='held' in name)
        return context(rng, tools, generate.action_episode(rng, rng.choice([t for t in tools if t['kind'] == 'action']), 'held' in name), budget)
    if name == 'no fit':
        tools = generate.draw_tools(rng, rng.random() < 0.6, count, held=rng.random() < 0.5)
        return context(rng, tools, generate.no_fit_episode(rng, tools, held=True), budget)
    if name == 'no tools declared':
        turns = generate.no_tool_weather(rng, rng.choice(['real', 'invented']))
        return context(rng, [], turns, budget)
    tools, day, line = [], None, None
    if name == 'chat with tools':
        tools = generate.draw_tools(rng, rng.random() < 0.7, count)
        kind = rng.choice(['talk', 'refuse', 'date'])
    else:
        kind = {'chat': 'talk', 'refusal': 'refuse', 'dates': 'date', 'repeat': 'echo', 'chat, held-out phrasings': 'talk', 'refusal, held-out phrasings': 'refuse'}[name]
    if kind == 'date' and rng.random() < 0.4:
        day = f'{rng.randint(2020, 2032)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}'
        line = rng.choice(['Today is {}.', 'The current date is {}.', 'You are a helpful assistant. Today is {}.']).format(day)
    return context(rng, tools, generate.plain_episode(rng, kind, day, held=True, phrasing='phrasings' in name, tools=bool(tools)), budget, line)


SETS = list(GATES) + ['weather, held-out phrasings', 'chat, held-out phrasings', 'refusal, held-out phrasings', 'action', 'action, held-out words', 'repeat']


def run_set(p, config, tokenizer, name, number, seed, budget_of, temperature=0.0, show=0):
    """Scores one set: exact, well-formed, calls, call name right."""
    rng = random.Random(f'{seed} {name}')
    samples = [one(name, rng, budget_of(rng)) for _ in range(number)]
    order = sorted(range(number), key=lambda i: len(samples[i][0]))
    exact = formed = calls = named = 0
    for at in range(0, number, 50):
        part = [samples[i] for i in order[at:at + 50]]
        prompts = [tokenizer.encode(s[0], add_special_tokens=False).ids for s in part]
        outs = model.generate(p, config, prompts, tokenizer.get_vocab_size(), temperature=temperature, seed=seed)
        for (prompt, message, budget), out in zip(part, outs):
            text = tokenizer.decode(out, skip_special_tokens=False)
            wanted = generate.call_text(message) + '<seed:eos>'
            got = text if budget == 0 else text.partition('</seed:think>')[2]
            fine = bool(WELL_FORMED.fullmatch(text)) and text.startswith('<seed:think>') == (budget != 0)
            formed += fine
            calls += '<seed:tool_call>' in text
            wanted_name = re.search('<function=[^>]*>', wanted)
            named += bool(wanted_name) and wanted_name.group() in text
            exact += got == wanted and fine
            if got != wanted and show > 0:
                show -= 1
                print('---', name, '\n', prompt.split('multiple lines</parameter>')[-1][-330:], '\n  WANTED', wanted, '\n  GOT   ', text)
    return {'exact': 100 * exact / number, 'well_formed': 100 * formed / number, 'calls': 100 * calls / number, 'function': 100 * named / number}


BUDGETS = {'thinking on': lambda rng: -1 if rng.random() < 0.7 else rng.choice([128, 512, 1024, 4096, rng.randint(1, 20000)]), 'budget 0': lambda rng: 0}


def table(p, config, tokenizer, number, seed, budgets=('thinking on',), sets=SETS, temperature=0.0, show=0):
    out = {}
    for mode in budgets:
        for name in sets:
            out[f'{mode}: {name}' + (f' (T {temperature})' if temperature else '')] = s = run_set(p, config, tokenizer, name, number, seed, BUDGETS[mode], temperature, show)
            print(f'{mode:12} T={temperature} {name:30} exact {s["exact"]:5.1f} (gate {GATES.get(name, "-")}) well-formed {s["well_formed"]:5.1f} calls {s["calls"]:5.1f} function {s["function"]:5.1f}', flush=True)
    return out


def load(path):
    """bf16-rounded f32 parameters of a checkpoint (averaged weights) or of a packed folder."""
    path = Path(path)
    if path.is_dir():
        config = json.loads((path / 'config.json').read_text())
        return {k: v.float() for k, v in load_file(path / 'model.safetensors').items()}, config
    state = torch.load(path, weights_only=False)
    return {k: v.bfloat16().float() for k, v in state['average'].items()}, state['config']


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('model', nargs='?', default=str(generate.DEMO))
    ap.add_argument('--number', type=int, default=200)
    ap.add_argument('--seed', type=int, default=99)
    ap.add_argument('--show', type=int, default=0)
    ap.add_argument('--sets', default=None)
    ap.add_argument('--budget0', action='store_true')
    ap.add_argument('--full', action='store_true', help='thinking on, budget 0 and temperature 0.7; writes evaluation.json beside the model')
    args = ap.parse_args()
    torch.set_num_threads(2)
    params, cfg = load(args.model)
    tok = Tokenizer.from_file(str(generate.DEMO / 'tokenizer.json'))
    begun, chosen = time.time(), [s for s in SETS if not args.sets or any(s.startswith(x) for x in args.sets.split(','))]
    results = table(params, cfg, tok, args.number, args.seed, ['budget 0'] if args.budget0 else ['thinking on'], chosen, show=args.show)
    if args.full:
        results |= table(params, cfg, tok, args.number, args.seed, ['budget 0'])
        results |= table(params, cfg, tok, args.number, args.seed, temperature=0.7)
        date = time.strftime('%Y-%m-%d', time.gmtime())
        Path('evaluation.json' if not Path(args.model).is_dir() else Path(args.model).parent / 'evaluation.json').write_text(
            json.dumps({'date': date, 'prompts': args.number, 'seed': args.seed, 'results': results}, indent=1) + '\n')
    print(f'{time.time() - begun:.0f} s')
