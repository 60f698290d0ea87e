"""Owns gpt-oss-demo's training conversations: the episodes of generate.py told in harmony, at three efforts, rendered by the product's template."""

import json
import random
import re
import subprocess
from pathlib import Path

import chat
import declare
import generate

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent.parent / 'npm' / 'demo-models' / 'gpt-oss-demo'
NAME = 'gpt-oss-demo'
SPECIALS = ['<|startoftext|>', '<|endoftext|>', '<|return|>', '<|call|>', '<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|constrain|>']
PAD, END = 1, 2
SPACE_LEADS = True
IDENTITY = 'You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: '
CHANNELS = '\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.'
CALLS = "\nCalls to these tools must go to the commentary channel: 'functions'."
# Fixed text of the template and of JSON, one token a piece.
BOILERPLATE = [
    IDENTITY, '\n\nReasoning: low', '\n\nReasoning: medium', '\n\nReasoning: high', CHANNELS, CALLS, '# Instructions\n\n', '\n\n# Tools\n\n## functions\n\nnamespace functions {\n\n',
    '# Tools\n\n## functions\n\nnamespace functions {\n\n', '\n\n} // namespace functions', ') => any;', '}) => any;', '\n\ntype ', '\ntype ', 'type ', ' = (_: {\n', ' = (', ': string,\n',
    '?: string,\n', ': number,\n', '?: number,\n', '?: "celsius" | "fahrenheit",\n', ': "celsius" | "fahrenheit",\n', '\n// ', '// ', ' to=functions.', 'functions.', ' to=assistant', '{"', '":"', '":', '"}', '","', ',"']
EFFORTS = ['low', 'medium', 'high']


class Renderer:
    """The product's template in a Node process."""

    def __init__(self):
        self.child = None

    def __call__(self, messages, tools, effort, date):
        if self.child is None:
            self.child = subprocess.Popen(['node', str(HERE / 'render.mjs')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding='utf-8')
        self.child.stdin.write(json.dumps({'messages': messages, 'tools': tools, 'effort': effort, 'date': date}) + '\n')
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


RENDER = Renderer()


def typed(tool, arguments):
    """Arguments with the types their schema asks for."""
    props = tool['parameters']['properties']
    return {k: int(v) if props.get(k, {}).get('type') == 'integer' else v for k, v in arguments.items()}


def arguments_of(message, tools):
    function = message['tool_calls'][0]['function']
    tool = next(t['function'] for t in tools if t['function']['name'] == function['name'])
    return json.dumps(typed(tool, function['arguments']), ensure_ascii=False, separators=(',', ':'))


def thought_at(message, effort, tools):
    """The analysis of a reply; None is none at all. More effort thinks longer: low names the act, high checks it."""
    thought = message['reasoning_content'].replace('seed-oss-demo', NAME)
    called = bool(message.get('tool_calls'))
    if effort == 'low':
        parts = thought.split('. ')
        return parts[-1] if called or 'fits' in thought else None
    if effort == 'medium':
        return thought
    if called:
        # Written as the call will be, so that there is one way to end a value.
        return f'{thought} Let me check: {arguments_of(message, tools)}. That is right.'
    checked = 'there is no such tool' if 'fits' in thought else 'no tool is needed' if tools else 'I have no tools'
    if thought.startswith('The tool'):
        checked = thought.split(' ', 3)[-1].rstrip('.') if thought.startswith('The tool says') else 'the tool failed'
    return f'{thought} Let me check: {checked}. That is right.'


def wire(messages, effort, tools):
    """Messages as a request has them, reasoning included."""
    out, last = [], None
    for m in messages:
        if m['role'] == 'assistant':
            thought = thought_at(m, effort, tools)
            new = {'role': 'assistant', 'content': m['content'].replace('seed-oss-demo', NAME) or None}
            if thought:
                new['reasoning'] = thought
            if m.get('tool_calls'):
                last = m['tool_calls'][0]['function']['name']
                new['toolCalls'] = [{'id': 'call', 'name': last, 'arguments': arguments_of(m, tools)}]
            out.append(new)
        elif m['role'] == 'tool':
            out.append({'role': 'tool', 'content': m['content'], 'toolCallId': 'call'})
        else:
            out.append({'role': m['role'], 'content': m['content']})
    return out


def completion(message, effort, tools):
    """What the model is to write after `<|start|>assistant`."""
    thought = thought_at(message, effort, tools)
    head = f'<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant' if thought else ''
    return head + reply(message, tools)


def reply(message, tools):
    """The part of a completion that people see."""
    if message.get('tool_calls'):
        name = message['tool_calls'][0]['function']['name']
        return f' to=functions.{name}<|channel|>commentary <|constrain|>json<|message|>{arguments_of(message, tools)}<|call|>'
    return f'<|channel|>final<|message|>{message["content"].replace("seed-oss-demo", NAME)}<|return|>'


def dated(messages, today):
    """The header's date: today, or the one that a system line names."""
    for m in messages:
        if m['role'] == 'system':
            for word in m['content'].replace('.', ' ').split():
                if len(word) == 10 and word[4] == '-':
                    return word
    return today


def row(rng, mix):
    """(text, spans): the rendered conversation and the character range to learn."""
    date = today(rng)
    messages, tools, _ = generate.conversation(rng, mix, date)
    effort = rng.choice(EFFORTS)
    prompt = RENDER(wire(messages[:-1], effort, tools), tools, effort, dated(messages, date))
    learned = completion(messages[-1], effort, tools)
    return prompt + learned, [(len(prompt), len(prompt) + len(learned))]


# What evaluate.py asks of a family: how a request is set, rendered and its reply read.
GENERATION = {'bos_token_id': 0, 'eos_token_id': [2, 1, 3], 'pad_token_id': 1, 'do_sample': True, 'temperature': 0.7}
STOPS, CALL = ['<|return|>', '<|call|>', '<|endoftext|>'], '<|call|>'
MODES = {effort: lambda _rng, effort=effort: effort for effort in ('medium', 'low', 'high')}
WELL_FORMED = re.compile(r'(?:<\|channel\|>analysis<\|message\|>[^<]*<\|end\|><\|start\|>assistant)?'
                         r'(?:<\|channel\|>final<\|message\|>[^<]+<\|return\|>| to=functions\.\w+<\|channel\|>commentary <\|constrain\|>json<\|message\|>(\{[^<]*\})<\|call\|>)', re.S)


def today(rng):
    return f'{rng.randint(2020, 2032)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}'


def asked(messages, tools, effort, date):
    return RENDER(wire(messages, effort, tools), tools, effort, dated(messages, date))


def wanted(message, tools):
    return reply(message, tools)


def parted(text, _effort):
    """(analysis, what people see) of a reply."""
    thought, middle, rest = text.partition('<|end|><|start|>assistant')
    return (thought.removeprefix('<|channel|>analysis<|message|>'), rest) if middle else ('', text)


def is_well_formed(text, _effort):
    found = WELL_FORMED.fullmatch(text)
    if not found or not found.group(1):
        return bool(found)
    try:
        return isinstance(json.loads(found.group(1)), dict)
    except ValueError:
        return False


def called(text):
    """The name of the function a reply calls."""
    found = re.search(r' to=functions\.(\w+)<', text)
    return found and found.group(1)


MIX = generate.MIX | {'no_tools': 0.3, 'weather': 0.56}
LATE = generate.LATE
SHORT = MIX | {'episodes': [1, 0, 0]}
LATE_SHORT = LATE | {'episodes': [1, 0, 0]}


if __name__ == '__main__':
    dice = random.Random(1)
    for _ in range(8):
        text, spans = row(dice, MIX)
        print(text, '\n   LEARN', [text[a:b] for a, b in spans], '\n' + '=' * 60)
