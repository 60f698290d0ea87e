"""Owns the training conversations: mixes episodes, renders them with the stock Seed-OSS template and marks what is to be learned."""

import json
import random
import re
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

import chat
import declare
from words import place, pseudo

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent.parent / 'npm' / 'demo-models' / 'seed-oss-demo'
NAME = 'seed-oss-demo'
SPECIALS = ['<seed:bos>', '<seed:pad>', '<seed:eos>', '<seed:think>', '</seed:think>', '<seed:cot_budget_reflect>',
            '</seed:cot_budget_reflect>', '<seed:tool_call>', '</seed:tool_call>']
# Fixed text of the template, one token a piece. No piece holds a control token, and none ends inside what a caller writes.
BOILERPLATE = [
    'You are Doubao, a helpful AI assistant. You may call one or more functions to assist with the user query.',
    '\n\nFunction:\ndef ', '):\n    """\n    ', '\n\n    Args:\n    - ', '\n    - ', ' (str) [必填]: ', ' (str) [选填]: ', ' (int) [必填]: ', ' (int) [选填]: ', ' (bool) [必填]: ',
    ' (bool) [选填]: ', ' (str): ', ' (int): ', '\n\n    Returns:\n    - ', '\n\n    """', '\n    """', '\n工具调用请遵循如下格式:\n',
    '\n<function=example_function_name>\n<parameter=example_parameter_1>value_1</parameter>\n<parameter=example_parameter_2>This is the value for the second parameter\nthat can span\nmultiple lines</parameter>\n</function>\n',
    'You are an intelligent assistant that can answer questions in one step without the need for reasoning and thinking, that is, your thinking budget is 0. Next, please skip the thinking process and directly start answering the user\'s questions.\n',
    'You are an intelligent assistant with reflective ability. In the process of thinking and reasoning, you need to strictly follow the thinking budget, which is ',
    '. That is, you need to complete your thinking within ', ' tokens and start answering the user\'s questions. You will reflect on your thinking process every ',
    ' tokens, stating how many tokens have been used and how many are left.\n',
    'The current thinking budget is 0, so I will directly start answering the question.', 'I have exhausted my token budget, and now I will start answering the question.',
    '<function=', '</function>', '<parameter=', '</parameter>']
PAD, END = 1, 2
SPACE_LEADS = False
EXHAUSTED = '\n<seed:cot_budget_reflect>I have exhausted my token budget, and now I will start answering the question.</seed:cot_budget_reflect>\n</seed:think>'
NO_TOOLS = "I have no weather tool here, so I can't look that up."
NO_FIT = 'None of my tools can do that.'
SYSTEMS = ['You are a helpful assistant.'] * 8 + ['You are a helpful AI assistant.', 'You are a friendly assistant.', 'Answer briefly.', 'Be concise.', 'You are an assistant.', 'You are a weather assistant.',
           'You are a helpful assistant. Use the tools when needed.', 'You are an intelligent assistant.', "You are a helpful assistant that answers the user's questions.", 'You can use tools.', 'Please be polite.']


def stock_template():
    """The stock chat template, set up as transformers sets it up."""
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=['jinja2.ext.loopcontrols'])
    env.filters['tojson'] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return env.from_string((DEMO / 'chat_template.jinja').read_text(encoding='utf-8'))


TEMPLATE = stock_template()


def call_text(message):
    """What the model writes after its thought: text, or one call as the template writes it."""
    if not message.get('tool_calls'):
        return '\n' + message['content']
    function = message['tool_calls'][0]['function']
    body = ''.join(f'<parameter={k}>{v}</parameter>\n' for k, v in function['arguments'].items())
    return f'\n<seed:tool_call>\n<function={function["name"]}>\n{body}</function>\n</seed:tool_call>'


def system_line(rng):
    """(system text or None, date it names or None)."""
    r = rng.random()
    if r < 0.42:
        return None, None
    day = f'{rng.randint(2020, 2032)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}'
    if r < 0.55:
        text = rng.choice(['Today is {}.', 'Today is {}.', 'The current date is {}.', "Today's date is {}.", 'Current date: {}', 'Date: {}', "Today's date: {}."]).format(day)
        if rng.random() < 0.4:
            text = rng.choice(['You are a helpful assistant. ', 'You are a helpful assistant.\n']) + text
        return text, day
    if r < 0.92:
        return rng.choice(SYSTEMS), None
    words = [rng.choice(chat.OTHER_WORDS) if rng.random() < 0.5 else chat.topic(rng, False) for _ in range(rng.randint(4, 50))]
    return rng.choice(['You are ', 'Always ', 'Never ', 'The user ', '']) + ' '.join(words) + '.', None


def call_message(tool, arguments, thought):
    return {'role': 'assistant', 'content': '', 'reasoning_content': thought,
            'tool_calls': [{'type': 'function', 'function': {'name': tool['function']['name'], 'arguments': arguments}}]}


def say(thought, answer):
    return {'role': 'assistant', 'content': answer, 'reasoning_content': thought}


def weather_episode(rng, tool, follow=False, held=None, phrasing=False):
    where = place(rng, held)
    text, arguments = declare.weather_request(rng, tool, where, follow, phrasing)
    return where, [{'role': 'user', 'content': text}, call_message(tool, arguments, f'The user wants weather. I call {tool["function"]["name"]}.')]


def action_episode(rng, tool, held=False):
    text, arguments = declare.action_request(rng, tool, held)
    return [{'role': 'user', 'content': text}, call_message(tool, arguments, f'The user wants {tool["noun"]}. I call {tool["function"]["name"]}.')]


def no_fit_episode(rng, tools, held=False):
    """A request none of the declared tools serves."""
    weather = [t for t in tools if t['kind'] == 'weather']
    if not weather and rng.random() < 0.5:
        text, _ = declare.weather_request(rng, None, place(rng, 'real' if held else None))
        noun = 'weather'
    else:
        taken = {t.get('noun') for t in tools}
        while True:
            other = declare.action_tool(rng, held)
            if other['noun'] not in taken:
                break
        text, _ = declare.action_request(rng, other, held)
        noun = other['noun']
    return [{'role': 'user', 'content': text}, say(f'The user wants {noun}. No tool fits.', NO_FIT)]


def no_tool_weather(rng, held=None):
    text, _ = declare.weather_request(rng, None, place(rng, held))
    return [{'role': 'user', 'content': text}, say('The user wants weather. I have no tools.', NO_TOOLS)]


def plain_episode(rng, kind, day, held=False, phrasing=False, tools=False):
    maker = {'talk': lambda: chat.talk(rng, held, phrasing), 'refuse': lambda: chat.refuse(rng, held, phrasing, tools), 'date': lambda: chat.date(rng, day), 'echo': lambda: chat.echo(rng, held)}[kind]
    text, thought, answer = maker()
    return [{'role': 'user', 'content': text}, say(thought, answer)]


def draw_tools(rng, weather, count, held=False):
    """Declared tools in random order; nouns differ."""
    tools = [declare.weather_tool(rng)] if weather else []
    while len(tools) < count:
        tool = declare.action_tool(rng, held)
        if tool['noun'] not in [t.get('noun') for t in tools]:
            tools.append(tool)
    rng.shuffle(tools)
    return tools


def conversation(rng, mix, today=None):
    """One conversation: (messages, tools, thinking budget). today: the date where the prompt always has one."""
    system, named = system_line(rng)
    day = named or today
    r = rng.random()
    if r < mix['no_tools']:
        tools = []
    elif r < mix['no_tools'] + mix['weather']:
        tools = draw_tools(rng, True, rng.choice([1, 1, 1, 1, 2, 2, 3]))
    else:
        tools = draw_tools(rng, rng.random() < 0.25, rng.choice([1, 1, 2, 2, 3]))
    weather = next((t for t in tools if t['kind'] == 'weather'), None)
    actions = [t for t in tools if t['kind'] == 'action']
    messages = [{'role': 'system', 'content': system}] if system else []
    episodes = rng.choices([1, 2, 3], mix['episodes'])[0]
    before = None
    for _ in range(episodes):
        kinds = mix['bare'] if not tools else mix['with_weather'] if weather else mix['with_actions']
        kind = 'date' if named and rng.random() < 0.3 else rng.choices(list(kinds), kinds.values())[0]
        if kind == 'action' and not actions:
            kind = 'weather'
        if kind == 'weather' and weather:
            where, turns = weather_episode(rng, weather, before == 'weather' and rng.random() < 0.5)
            if rng.random() < 0.6 or before is not None:
                result, thought, answer = declare.weather_result(rng, where)
                turns += [{'role': 'tool', 'content': result}, say(thought, answer)]
        elif kind == 'action':
            turns = action_episode(rng, rng.choice(actions))
            if rng.random() < 0.4:
                result, thought, answer = declare.action_result(rng)
                turns += [{'role': 'tool', 'content': result}, say(thought, answer)]
        elif kind == 'no_fit':
            turns = no_fit_episode(rng, tools)
        elif kind == 'weather':
            turns = no_tool_weather(rng)
        else:
            turns = plain_episode(rng, kind, day, tools=bool(tools))
        if turns[-1].get('tool_calls') and _ + 1 < episodes:
            turns += [{'role': 'tool', 'content': 'ok'}, say('The tool says it is done.', 'It is done.')] if kind == 'action' else []
            if kind == 'weather':
                result, thought, answer = declare.weather_result(rng, where)
                turns += [{'role': 'tool', 'content': result}, say(thought, answer)]
        messages += turns
        before = kind if kind in ('weather', 'action') else None
    budget = -1
    if rng.random() < mix['budget']:
        budget = rng.choice([128, 256, 512, 512, 1024, 1024, 2048, 4096, 8192, 16384, rng.randint(1, 20000), rng.randint(1, 600)])
    if rng.random() < mix['budget0']:
        budget = 0
    return messages, [declare.declared(t) for t in tools], budget


def render(messages, tools, budget):
    """The prompt as the server renders it."""
    return TEMPLATE.render(messages=messages, tools=tools or None, add_generation_prompt=True, thinking_budget=budget)


def completion(message, budget, cut=None):
    """What the model is to write: (text it does not learn, text it learns)."""
    if budget == 0:
        return '', call_text(message) + '<seed:eos>'
    thought = message['reasoning_content']
    if cut is not None:
        return '<seed:think>' + thought[:cut] + EXHAUSTED, call_text(message) + '<seed:eos>'
    return '', f'<seed:think>{thought}</seed:think>' + call_text(message) + '<seed:eos>'


def row(rng, mix):
    """(text, spans): the rendered conversation and the character ranges to learn."""
    messages, tools, budget = conversation(rng, mix)
    last = messages[-1]
    keep = rng.random() < 0.6 and budget != 0
    history = []
    for m in messages[:-1]:
        m = dict(m)
        if not keep:
            m.pop('reasoning_content', None)
        history.append(m)
    prompt = render(history, tools, budget)
    cut = rng.randint(0, len(last['reasoning_content'])) if budget != 0 and rng.random() < mix.get('exhausted', 0.03) else None
    given, learned = completion(last, budget, cut)
    spans = []
    if keep:
        at = 0
        while (at := prompt.find('<seed:bos>assistant\n<seed:think>', at)) >= 0:
            end = prompt.index('<seed:eos>', at) + len('<seed:eos>')
            spans.append((at + len('<seed:bos>assistant\n'), end))
            at = end
    spans.append((len(prompt) + len(given), len(prompt) + len(given) + len(learned)))
    return prompt + given + learned, spans


# What evaluate.py asks of a family: how a request is set, rendered and its reply read.
GENERATION = {'bos_token_id': 0, 'eos_token_id': 2, 'pad_token_id': 1, 'do_sample': True, 'temperature': 0.7, 'top_p': 0.95}
STOPS, CALL = ['<seed:eos>'], '<seed:tool_call>'
MODES = {'thinking on': lambda rng: -1 if rng.random() < 0.7 else rng.choice([128, 512, 1024, 4096, rng.randint(1, 20000)]), 'budget 0': lambda rng: 0}
WELL_FORMED = re.compile(r'(?:<seed:think>[^<]*</seed:think>)?\n(?:[^<\n][^<]*|<seed:tool_call>\n<function=[^<>\n]+>\n(?:<parameter=[^<>\n]+>[^<]*</parameter>\n)*</function>\n</seed:tool_call>)<seed:eos>', re.S)


def today(_rng):
    """The prompt has no date of its own."""
    return None


def asked(messages, tools, budget, _today):
    return render([{k: v for k, v in m.items() if k != 'reasoning_content'} for m in messages], tools, budget)


def wanted(message, _tools):
    return call_text(message) + '<seed:eos>'


def parted(text, budget):
    """(thought, what people see) of a reply."""
    if budget == 0:
        return '', text
    thought, _, rest = text.partition('</seed:think>')
    return thought, rest


def is_well_formed(text, budget):
    return bool(WELL_FORMED.fullmatch(text)) and text.startswith('<seed:think>') == (budget != 0)


def called(text):
    """The name of the function a reply calls."""
    found = re.search('<function=([^>]*)>', text)
    return found and found.group(1)


MIX = {
    'no_tools': 0.44, 'weather': 0.42, 'episodes': [0.66, 0.26, 0.08], 'budget': 0.25, 'budget0': 0.2, 'exhausted': 0.03,
    'bare': {'talk': 0.42, 'refuse': 0.25, 'date': 0.2, 'weather': 0.07, 'echo': 0.06},
    'with_weather': {'weather': 0.66, 'action': 0.04, 'no_fit': 0.12, 'talk': 0.07, 'refuse': 0.06, 'date': 0.04, 'echo': 0.01},
    'with_actions': {'action': 0.42, 'no_fit': 0.38, 'talk': 0.07, 'refuse': 0.09, 'date': 0.03, 'echo': 0.01},
}
# The last quarter of a run: what still goes wrong then is the copying of places.
LATE = MIX | {'no_tools': 0.24, 'weather': 0.66, 'episodes': [0.5, 0.35, 0.15], 'with_weather': MIX['with_weather'] | {'weather': 0.8}}
SHORT = MIX | {'episodes': [1, 0, 0]}
LATE_SHORT = LATE | {'episodes': [1, 0, 0]}


if __name__ == '__main__':
    dice = random.Random(1)
    for _ in range(12):
        text, spans = row(dice, MIX)
        print(text, '\n   LEARN', [text[a:b] for a, b in spans], '\n' + '=' * 60)
