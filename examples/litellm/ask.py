"""Asks a running server through LiteLLM, by each API that it speaks, and says what came back; anything wrong raises."""

import json
import sys

import litellm

URL = sys.argv[1] if len(sys.argv) > 1 else 'http://127.0.0.1:8000'
OPENAI = {'api_base': f'{URL}/v1', 'api_key': 'none', 'temperature': 0}
HELLO = [{'role': 'user', 'content': 'Hello'}]
WEATHER = [{'role': 'user', 'content': "What's the weather like in Paris today?"}]
PLACE = {'type': 'object', 'properties': {'location': {'type': 'string', 'description': 'The city name'}}, 'required': ['location'], 'additionalProperties': False}
TOOLS = [{'type': 'function', 'function': {'name': 'get_weather', 'description': 'Get current temperature for a given location.', 'parameters': PLACE, 'strict': True}}]
NUMBER = {'type': 'object', 'properties': {'a': {'type': 'integer', 'minimum': 0, 'maximum': 99}}, 'required': ['a'], 'additionalProperties': False}
FORMAT = {'type': 'json_schema', 'json_schema': {'name': 'number', 'schema': NUMBER, 'strict': True}}


def raises(kind, **wrong):
    """The typed error that a wrong request must become."""
    try:
        litellm.completion(**{'model': 'openai/seed-oss-demo', 'messages': HELLO, **OPENAI, **wrong})
    except kind:
        return print(f'{kind.__name__} for {wrong}')
    raise AssertionError(f'no {kind.__name__} for {wrong}')


for name in ('seed-oss-demo', 'gpt-oss-demo'):
    model = f'openai/{name}'
    plain = litellm.completion(model=model, messages=HELLO, **OPENAI).choices[0].message.content
    chunks = litellm.completion(model=model, messages=HELLO, stream=True, **OPENAI)
    assert ''.join(chunk.choices[0].delta.content or '' for chunk in chunks) == plain
    choice = litellm.completion(model=model, messages=WEATHER, tools=TOOLS, **OPENAI).choices[0]
    called = json.loads(choice.message.tool_calls[0].function.arguments)
    assert choice.finish_reason == 'tool_calls' and called == {'location': 'Paris'}
    held = litellm.completion(model=model, messages=HELLO, response_format=FORMAT, **OPENAI)
    assert 0 <= json.loads(held.choices[0].message.content)['a'] <= 99
    responses = litellm.responses(model=model, input='Hello', **OPENAI).output[-1].content[0].text
    messages = litellm.completion(model=f'anthropic/{name}', messages=HELLO, max_tokens=50, api_base=URL, api_key='none', temperature=0)
    assert plain == responses == messages.choices[0].message.content
    print(f'{name}: {plain} {called}')

raises(litellm.NotFoundError, model='openai/nobody')
raises(litellm.BadRequestError, temperature=9)
