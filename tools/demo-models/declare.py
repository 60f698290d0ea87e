"""Owns the tool declarations and the requests, calls, results and answers that go with them."""

import json

from words import HELD_NOUNS, HELD_PARAMS, NOUNS, PARAMS, SKIES, VERBS, person, place, proper, pseudo

WEATHER_VERBS = 'get get get get fetch find check read show query retrieve search lookup'.split()
WEATHER_NOUNS = """weather weather weather weather current_weather current_weather weather_forecast forecast temperature current_temperature
weather_info local_weather city_weather weather_data weather_report weather_now weather_for_city weather_by_city current_forecast""".split()
WEATHER_FIXED = 'weather forecast weather_lookup getWeather getCurrentWeather get_weather_tool weather_api current_weather weather_search weather_tool'.split()
WEATHER_TEXTS = """Get current temperature for a given location.|Get current temperature for a given location.|Get the current weather in a given location|Get the current weather for a city.|Returns the weather of a place.|Get weather information|Get weather
Get the weather for a location.|Fetch the weather forecast for a city.|Look up the weather.|Retrieve current weather data for the given city|Determine weather in my location|Weather lookup.|Get the forecast for a place.|Provides the current weather conditions.
Get the current weather|Gets the temperature and conditions for a town.|Use this function to get the weather of a place.|Find the weather for any location in the world.|Get today's weather.|Query the weather service for the city name.|Get the current temperature of a city""".replace('\n', '|').split('|')
PLACE_PARAMS = 'location location location location location location city city city city place city_name town region address area location_name where q query'.split()
PLACE_TEXTS = """City and country e.g. {p}|City and country e.g. {p}|The city name|The city name|The city and state, e.g. {p}|Name of the city|The location to get the weather for||City name|The name of the place|city|The city, e.g. {p}|City or town|The location|The location, for example {p}
Where to look, like {p}|A place name such as "{p}"|The city to find the weather for|Name of a place, e.g. {p}|The city to query|Location to look up|The name of the city or town|place name in English""".replace('\n', '|').split('|')
UNIT_TEXTS = ['celsius or fahrenheit', 'Temperature unit', 'The unit of temperature', 'The temperature unit to use', 'Units the temperature will be returned in.', '', 'Unit: celsius or fahrenheit']
ASK_WEATHER = """What's the weather like in {p}{w}?|What is the weather like in {p}{w}?|What is the weather in {p}{w}?|What's the weather in {p}{w}?|How is the weather in {p}{w}?|How's the weather in {p}{w}?|Tell me the weather in {p}{w}.|Weather in {p}{w}?|weather in {p}{w}
Is it raining in {p}{w}?|Is it cold in {p}{w}?|Is it hot in {p}{w}?|Is it sunny in {p}{w}?|What's the temperature in {p}{w}?|What is the temperature in {p}{w}?|How hot is it in {p}{w}?|How warm is it in {p}{w}?|How cold is it in {p}{w}?|Can you check the weather in {p}{w}?
Could you please tell me the current weather for {p}{w}?|Do I need an umbrella in {p}{w}?|Give me the forecast for {p}{w}.|Please get the weather for {p}{w}.|What will the weather be in {p}{w}?|Hi! What's the weather in {p}{w}?|Hello, what's the weather in {p}{w}?|Will it rain in {p}{w}?
What is the current temperature in {p}{w}?|What is the current weather in {p}{w}?|What's the current weather in {p}{w}?|What is the forecast for {p}{w}?|I want to know the weather in {p}{w}.|I need the weather for {p}{w}.|Show me the weather in {p}{w}.|Please check the weather in {p}{w}|Can you tell me the weather in {p}{w}?
What is it like outside in {p}{w}?|What's it like in {p}{w}?|How does the weather look in {p}{w}?|Do you know the weather in {p}{w}?|What are the weather conditions in {p}{w}?|Get me the temperature in {p}{w}|Find the weather for {p}{w}.|Look up the weather in {p}{w}.|Check {p}{w} weather|{p} weather{w}
I am in {p}. What's the weather?|I live in {p}. How is the weather{w}?|I am going to {p}. What is the weather there{w}?|I am traveling to {p}. How is the weather{w}?|We fly to {p} soon. Will it rain there?|What should I wear in {p}{w}?|How many degrees is it in {p}{w}?|what is the weather of {p}{w}?|Tell me about the weather in {p}{w}.""".replace('\n', '|').split('|')
ASK_HELD = """I'm visiting {p}, what's the weather?|Let me know how the weather is in {p}.|Any rain in {p}{w}?|Could you look up the temperature in {p}{w}?|Is the weather good in {p}{w}?|I'd like the forecast for {p}{w}, please.|Are there clouds over {p}{w}?|Do I need a coat in {p}{w}?""".split('|')
WHEN = ['', '', '', '', '', '', ' today', ' today', ' now', ' right now', ' tomorrow', ' this weekend', ' at the moment', ', please', ' currently', ' tonight']
FOLLOW = 'And in {p}?|and in {p}?|What about {p}?|And {p}?|How about {p}?|And what about {p}?|And for {p}?|Same for {p}.|Now {p}.|and {p}'.split('|')


def weather_tool(rng):
    """A weather-like declaration: one place parameter, at times a unit."""
    name = rng.choice(WEATHER_FIXED) if rng.random() < 0.12 else rng.choice(WEATHER_VERBS) + '_' + rng.choice(WEATHER_NOUNS)
    where = rng.choice(PLACE_PARAMS) if rng.random() < 0.94 else pseudo(rng)
    described = rng.choice(PLACE_TEXTS).format(p=place(rng))
    props, required, unit = {where: {'type': 'string', 'description': described}}, [where], None
    if rng.random() < 0.25:
        unit = rng.choice(['unit', 'unit', 'unit', 'units', 'temperature_unit'])
        props[unit] = {'type': 'string', 'enum': ['celsius', 'fahrenheit'], 'description': rng.choice(UNIT_TEXTS)}
    function = {'name': name, 'description': rng.choice(WEATHER_TEXTS), 'parameters': {'type': 'object', 'properties': props, 'required': required if rng.random() < 0.9 else []}}
    if rng.random() < 0.15:
        keys = rng.sample(['temperature', 'condition', 'conditions', 'humidity', 'unit', 'location', 'city'], rng.randint(1, 3))
        function['returns'] = {'type': 'object', 'properties': {k: {'type': rng.choice(['string', 'number']), 'description': rng.choice([f'The {k}', '', f'{k} of the place', 'temperature in celsius'])} for k in keys}}
    return {'kind': 'weather', 'function': function, 'where': where, 'unit': unit}


def action_tool(rng, held=False, noun=None):
    """A declaration named verb_noun with at most two parameters."""
    noun = noun or (rng.choice(HELD_NOUNS) if held and rng.random() < 0.6 else rng.choice(NOUNS) if not held and rng.random() < 0.65 else pseudo(rng))
    verb = rng.choice(VERBS)
    pool = PARAMS + (HELD_PARAMS if held else [])
    keys = rng.sample(pool, rng.choice([0, 1, 1, 1, 2, 2]))
    if held:
        keys = [rng.choice(HELD_PARAMS) if rng.random() < 0.4 else k for k in keys]
        keys = list(dict.fromkeys(keys))
    elif keys and rng.random() < 0.25:
        keys[0] = pseudo(rng, 3)
    props = {}
    for k in keys:
        kind = 'integer' if k in ('amount', 'number', 'count', 'level', 'limit', 'price', 'size', 'code', 'quantity', 'altitude') else 'string'
        props[k] = {'type': kind, 'description': rng.choice([f'The {k}', f'The {k} of the {noun}', '', f'{k} to use', f'the {noun} {k}'])}
    text = rng.choice([f'{verb.capitalize()} a {noun}.', f'{verb.capitalize()} the {noun}', f'{verb.capitalize()}s a {noun}', f'Use this to {verb} a {noun}.', f'{verb} {noun}', ''])
    name = f'{verb}_{noun}' if rng.random() < 0.93 else f'{noun}_{verb}'
    return {'kind': 'action', 'verb': verb, 'noun': noun, 'keys': keys,
            'function': {'name': name, 'description': text, 'parameters': {'type': 'object', 'properties': props, 'required': keys}}}


def declared(tool):
    """The tool as an OpenAI request declares it."""
    return {'type': 'function', 'function': tool['function']}


def weather_request(rng, tool, where, follow=False, held_phrasing=False):
    """(question, call arguments): the place, and the unit when the user names one."""
    text = rng.choice(FOLLOW).format(p=where) if follow else rng.choice(ASK_HELD if held_phrasing else ASK_WEATHER).format(p=where, w=rng.choice(WHEN))
    arguments, unit = {}, None
    if rng.random() < (0.4 if tool and tool['unit'] else 0.04) and not held_phrasing:
        said = rng.choice(['celsius', 'fahrenheit'])
        shown = rng.choice([said, said.capitalize()])
        text = text.rstrip('.?') + rng.choice([f' in {shown}', f' in degrees {shown}', f', in {shown}', f' ({shown})', f'. Use {shown}', f', {shown} please']) + rng.choice(['?', '.', ''])
        unit = said if tool and tool['unit'] else None
    if tool:
        arguments[tool['where']] = where
        if unit:
            arguments[tool['unit']] = unit
    return text, arguments


def weather_result(rng, where):
    """(tool message, thought, answer) for a call with this place."""
    degrees = str(rng.randint(-25, 45)) if rng.random() < 0.75 else f'{rng.randint(-20, 110)}.{rng.randint(0, 9)}'
    sky = rng.choice(SKIES) if rng.random() < 0.85 else pseudo(rng)
    unit = rng.choice(['', '', 'C', 'C', 'F'])
    mark = {'': ' degrees', 'C': '°C', 'F': '°F'}[unit]
    r = rng.random()
    if r < 0.06:
        error = rng.choice(['location not found', 'not found', 'service unavailable', 'timeout', 'unknown city', 'no data', 'invalid location', pseudo(rng) + ' ' + pseudo(rng)])
        text = rng.choice([json.dumps({'error': error}), f'error: {error}', f'Error: {error}', json.dumps({'status': 'error', 'message': error})])
        return text, f'The tool failed: {error}.', f'Sorry, the weather tool failed: {error}.'
    has_sky = rng.random() < 0.8
    if r < 0.55:
        value = degrees if rng.random() < 0.3 else float(degrees) if '.' in degrees else int(degrees)
        key = rng.choice(['temperature', 'temperature', 'temperature', 'temp', 'temperature', 'current_temperature'])
        pairs = [(key, value)]
        if unit:
            long = {'C': 'celsius', 'F': 'fahrenheit'}[unit]
            style = rng.random()
            if style < 0.6:
                pairs.append((rng.choice(['unit', 'unit', 'units', 'temperature_unit']), rng.choice([long, long, long.capitalize(), unit])))
            elif style < 0.8:
                pairs[0] = (key, f'{degrees}{rng.choice([mark, " " + mark])}')
            else:
                pairs[0] = (f'{key}_{unit.lower()}' if rng.random() < 0.5 else f'{key}_{long}', value)
        if has_sky:
            pairs.append((rng.choice(['condition', 'conditions', 'weather', 'description', 'sky', 'forecast', 'summary', 'condition']), sky if rng.random() < 0.8 else sky.capitalize()))
        if rng.random() < 0.4:
            pairs.insert(0 if rng.random() < 0.7 else len(pairs), (rng.choice(['location', 'city', 'place', 'name']), where))
        if rng.random() < 0.35:
            pairs.append(rng.choice([('humidity', rng.randint(5, 99)), ('wind', f'{rng.randint(1, 90)} km/h'), ('wind_speed', rng.randint(1, 90)), ('humidity', f'{rng.randint(5, 99)}%'), ('pressure', rng.randint(980, 1040)), ('feels_like', rng.randint(-20, 40))]))
        if rng.random() < 0.2:
            rng.shuffle(pairs)
        text = json.dumps(dict(pairs), ensure_ascii=rng.random() < 0.1, separators=(',', ':') if rng.random() < 0.35 else None, indent=2 if rng.random() < 0.06 else None)
    elif has_sky:
        t = degrees + mark if unit or rng.random() < 0.9 else degrees
        text = rng.choice(['{t} and {s}', '{t} and {s}', '{t} and {s}', '{t}, {s}', '{s}, {t}', 'It is {t} and {s} in {p}.', '{p}: {t}, {s}', '{t} and {s}.', 'The weather in {p} is {s}, {t}.', 'The temperature in {p} is {t} and it is {s}.',
                           '{s} and {t}', 'Currently {t} and {s}', '{p}: {s} {t}', 'The current temperature is {t}. It is {s}.', '{s} {t}']).format(t=t, s=sky, p=where)
        text = text[0].upper() + text[1:] if rng.random() < 0.4 else text
    else:
        t = degrees + mark if rng.random() < 0.8 else degrees
        text = rng.choice(['{t}', '{t}', '{t}.', 'It is {t}.', 'The temperature is {t}.', '{p}: {t}', 'The temperature in {p} is {t}.', 'temperature: {t}', 'Currently {t}']).format(t=t, p=where)
        unit, mark = (unit, mark) if t.endswith(mark) else ('', ' degrees')
    value = degrees + mark
    sky = sky.lower()
    return text, f'The tool says {value}' + (f', {sky}.' if has_sky else '.'), f'It is {value}' + (f' and {sky}' if has_sky else '') + f' in {where}.'


def value_for(rng, key, spec, held):
    """A value for a parameter of an action."""
    if spec['type'] == 'integer':
        return str(rng.randint(0, 9999) if rng.random() < 0.5 else rng.randint(0, 99))
    r = rng.random()
    if r < 0.35:
        return pseudo(rng)
    if r < 0.6:
        return person(rng, held)
    if r < 0.7:
        return place(rng, 'real' if held else None)
    if r < 0.8:
        return pseudo(rng) + ' ' + pseudo(rng)
    if r < 0.9:
        return pseudo(rng) + rng.choice(['@', '-', '_', '.', '/']) + pseudo(rng)
    return str(rng.randint(0, 9999)) if rng.random() < 0.5 else proper(rng) + str(rng.randint(0, 99))


def action_request(rng, tool, held=False):
    """(question, call arguments) for a declared action: the parameters are named in the sentence."""
    verb, noun = tool['verb'], tool['noun']
    props = tool['function']['parameters']['properties']
    arguments = {k: value_for(rng, k, props[k], held) for k in tool['keys']}
    head = rng.choice([f'Please {verb} the {noun}', f'{verb.capitalize()} the {noun}', f'{verb.capitalize()} a {noun}', f'Can you {verb} the {noun}', f'I want to {verb} a {noun}', f'{verb} {noun}', f'I need to {verb} the {noun}', f'Could you {verb} a {noun}'])
    pairs = list(arguments.items())
    if not pairs:
        return head + rng.choice(['.', '', '?', ' please.']), arguments
    style = rng.random()
    if style < 0.35:
        tail = ' with ' + ' and '.join(f'{k} {v}' for k, v in pairs)
    elif style < 0.6:
        tail = rng.choice([': ', '. ']) + ', '.join(f'{k} {v}' for k, v in pairs)
    elif style < 0.8:
        tail = ', ' + ', '.join(f'{k} = {v}' for k, v in pairs)
    else:
        tail = ' where ' + ' and '.join(f'{k} is {v}' for k, v in pairs)
    return head + tail + rng.choice(['.', '.', '', '?']) * (not pairs[-1][1].endswith('.')), arguments


def action_result(rng):
    """(tool message, thought, answer): one value said back."""
    r = rng.random()
    if r < 0.35:
        done = rng.choice(['ok', 'done', 'success', 'OK', 'true'])
        text = rng.choice([done, json.dumps({'status': done}), json.dumps({'result': done}), f'{done}.'])
        return text, 'The tool says it is done.', 'It is done.'
    value = pseudo(rng) if rng.random() < 0.6 else str(rng.randint(1, 9999))
    key = rng.choice(PARAMS) if rng.random() < 0.7 else pseudo(rng)
    if r < 0.8:
        text = json.dumps({key: value if rng.random() < 0.7 or not value.isdigit() else int(value)}, separators=(',', ':') if rng.random() < 0.3 else None)
        return text, f'The tool says {key} {value}.', f'The {key} is {value}.'
    return f'{key}: {value}', f'The tool says {key} {value}.', f'The {key} is {value}.'
