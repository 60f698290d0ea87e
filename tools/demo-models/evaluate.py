"""Owns the gates: fresh held-out prompts per set, answered greedily in f32 from bf16 weights, scored exactly."""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer

import declare
import generate
import gpt_oss
import harmony
import model
from words import place

FAMILIES = {'seed-oss': (generate, model), 'gpt-oss': (harmony, gpt_oss)}
GATES = {'weather, real places': 95, 'weather, invented places': 95, 'weather, client scripts': 95, 'result (JSON)': 95, 'result (text)': 95, 'chat': 98, 'refusal': 98, 'dates': 95,
         'no fit': 98, 'chat with tools': 98, 'no tools declared': 98}


def context(rng, tools, turns, day_line=None):
    """(messages of the request, declared tools, the reply that is expected)."""
    r = rng.random()
    system = [] if r < 0.45 and not day_line else [{'role': 'system', 'content': day_line or rng.choice(generate.SYSTEMS)}]
    return system + turns[:-1], [declare.declared(t) for t in tools], turns[-1]


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


def one(name, rng, today=None):
    """One held-out request of a set. today: the date where the prompt always has one."""
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
        return context(rng, tools, turns)
    if name.startswith('result'):
        tools = generate.draw_tools(rng, True, count)
        tool = next(t for t in tools if t['kind'] == 'weather')
        where, turns = generate.weather_episode(rng, tool, held=rng.choice(['real', 'invented']))
        while True:
            result, thought, answer = declare.weather_result(rng, where)
            if result.lstrip().startswith('{') == ('JSON' in name):
                break
        return context(rng, tools, turns + [{'role': 'tool', 'content': result}, generate.say(thought, answer)])
    if name.startswith('action'):
        tools = generate.draw_tools(rng, rng.random() < 0.25, count + 1, held='held' in name)
        return context(rng, tools, generate.action_episode(rng, rng.choice([t for t in tools if t['kind'] == 'action']), 'held' in name))
    if name == 'no fit':
        tools = generate.draw_tools(rng, rng.random() < 0.6, count, held=rng.random() < 0.5)
        return context(rng, tools, generate.no_fit_episode(rng, tools, held=True))
    if name == 'no tools declared':
        turns = generate.no_tool_weather(rng, rng.choice(['real', 'invented']))
        return context(rng, [], turns)
    tools, day, line = [], today, None
    if name == 'chat with tools':
        tools = generate.draw_tools(rng, rng.random() < 0.7, count)
        kind = rng.choice(['talk', 'refuse', 'date'])
    else:
        kind = {'chat': 'talk', 'refusal': 'refuse', 'dates': 'date', 'repeat': 'echo', 'chat, held-out phrasings': 'talk', 'refusal, held-out phrasings': 'refuse'}[name]
    if kind == 'date' and rng.random() < 0.4:
        day = f'{rng.randint(2020, 2032)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}'
        line = rng.choice(['Today is {}.', 'The current date is {}.', 'You are a helpful assistant. Today is {}.']).format(day)
    return context(rng, tools, generate.plain_episode(rng, kind, day, held=True, phrasing='phrasings' in name, tools=bool(tools)), line)


SETS = list(GATES) + ['weather, held-out phrasings', 'chat, held-out phrasings', 'refusal, held-out phrasings', 'action', 'action, held-out words', 'repeat']


def run_set(family, network, p, config, tokenizer, name, number, seed, mode, temperature=0.0, show=0):
    """Scores one set: exact, well-formed, calls, call name right, tokens of the thought."""
    rng = random.Random(f'{seed} {name}')
    samples = []
    for _ in range(number):
        setting, today = family.MODES[mode](rng), family.today(rng)
        messages, tools, message = one(name, rng, today)
        samples.append((family.asked(messages, tools, setting, today), family.wanted(message, tools), setting))
    samples.sort(key=lambda sample: len(sample[0]))
    ends = [tokenizer.token_to_id(t) for t in family.STOPS]
    exact = formed = calls = named = thought = 0
    for at in range(0, number, 50):
        part = samples[at:at + 50]
        prompts = [tokenizer.encode(prompt, add_special_tokens=False).ids for prompt, _, _ in part]
        outs = model.generate(p, config, prompts, tokenizer.get_vocab_size(), temperature=temperature, seed=seed, ends=ends, forward=network.forward)
        for (prompt, wanted, setting), out in zip(part, outs):
            text = tokenizer.decode(out, skip_special_tokens=False)
            before, got = family.parted(text, setting)
            fine = family.is_well_formed(text, setting)
            thought += len(tokenizer.encode(before).ids)
            formed += fine
            calls += family.CALL in text
            called = family.called(wanted)
            named += bool(called) and called == family.called(got)
            exact += got == wanted and fine
            if got != wanted and show > 0:
                show -= 1
                print('---', name, '\n', prompt[-330:], '\n  WANTED', wanted, '\n  GOT   ', text)
    share = lambda n: 100 * n / number
    return {'exact': share(exact), 'well_formed': share(formed), 'calls': share(calls), 'function': share(named), 'thought': thought / number}


def table(family, network, p, config, tokenizer, number, seed, modes, sets=SETS, temperature=0.0, show=0):
    out = {}
    for mode in modes:
        for name in sets:
            s = run_set(family, network, p, config, tokenizer, name, number, seed, mode, temperature, show)
            out[f'{mode}: {name}' + (f' (T {temperature})' if temperature else '')] = s
            print(f'{mode:12} T={temperature} {name:30} exact {s["exact"]:5.1f} (gate {GATES.get(name, "-")}) well-formed {s["well_formed"]:5.1f} calls {s["calls"]:5.1f} function {s["function"]:5.1f} thought {s["thought"]:.1f}', flush=True)
    return out


if __name__ == '__main__':
    ap = argparse.ArgumentParser()
    ap.add_argument('model', nargs='?', help='a checkpoint, or a packed folder')
    ap.add_argument('--family', choices=FAMILIES, default='seed-oss')
    ap.add_argument('--number', type=int, default=200)
    ap.add_argument('--seed', type=int, default=99)
    ap.add_argument('--show', type=int, default=0)
    ap.add_argument('--sets', default=None)
    ap.add_argument('--mode', default=None)
    ap.add_argument('--full', action='store_true', help='all modes, and temperature 0.7; writes evaluation.json into the folder')
    args = ap.parse_args()
    torch.set_num_threads(2)
    family, network = FAMILIES[args.family]
    params, cfg = network.load(Path(args.model or family.DEMO))
    tok = Tokenizer.from_file(str(family.DEMO / 'tokenizer.json'))
    begun, chosen = time.time(), [s for s in SETS if not args.sets or any(s.startswith(x) for x in args.sets.split(','))]
    first = args.mode or next(iter(family.MODES))
    with torch.no_grad():
        results = table(family, network, params, cfg, tok, args.number, args.seed, [first], chosen, show=args.show)
        if args.full:
            results |= table(family, network, params, cfg, tok, args.number, args.seed, [m for m in family.MODES if m != first])
            results |= table(family, network, params, cfg, tok, args.number, args.seed, [first], temperature=0.7)
            date = time.strftime('%Y-%m-%d', time.gmtime())
            (family.DEMO / 'evaluation.json').write_text(json.dumps({'date': date, 'prompts': args.number, 'seed': args.seed, 'results': results}, indent=1) + '\n')
    print(f'{time.time() - begun:.0f} s')
