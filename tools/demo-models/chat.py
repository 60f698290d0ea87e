"""Owns the demo's small talk, refusals, dates and echoes: each maker returns (question, thought, answer)."""

from words import DAYS, HELD_TOPICS, MONTHS, MONTH_DAYS, TOPICS, person, proper, pseudo

DEMO = "I am a tiny demo model, so I can't help with that. I can call a weather function, read its result, tell days and months, and make small talk."
# intent -> (phrasings in training, phrasings kept for evaluation, thought, answer)
TALK = {
    'greet': (['hello', 'hi', 'hey', 'hello there', 'hi there', 'good morning', 'good evening', 'good afternoon', 'good day', 'greetings', 'hey there',
               'hello demo', 'hi bot', 'hello assistant', 'yo', 'howdy', 'hello hello', 'hi again'],
              ['hey bot', 'hi demo', 'hello bot'], 'The user greets me.', 'Hello! How can I help you?'),
    'who': (['who are you', 'what are you', "what's your name", 'what is your name', 'tell me about yourself', 'introduce yourself', 'who am I talking to',
             'which model are you', 'what model is this', 'what kind of model are you', 'are you a demo', 'are you a bot', 'are you human', 'are you an AI',
             'are you real', 'are you ChatGPT', 'are you Doubao', 'do you have a name', 'say who you are', 'please introduce yourself', 'describe yourself', 'who is this',
             'what are you called', 'are you a robot', 'are you a person', 'what sort of AI are you', 'identify yourself', 'are you Seed-OSS', 'what AI is this'],
            ['what model are you', 'are you a real person', 'tell me who you are'], 'The user asks who I am.',
            'I am seed-oss-demo, a tiny demo model.'),
    'how': (['how are you', 'how are you doing', "how's it going", 'how is it going', 'are you ok', 'are you well', "what's up", 'how do you do', 'how are you today',
             'how do you feel', 'how have you been', 'how are things', 'everything ok', 'are you fine', 'how are you feeling today', "how's your day", 'how is your day going'],
            ['how are you doing today', 'how do you feel today', 'are you doing well'], 'The user asks how I am.',
            'I am fine, thank you. How are you?'),
    'can': (['what can you do', 'what can I ask you', 'how can you help me', 'can you help me', 'what are you good at', 'help', 'help me', 'I need help', 'what do you know',
             'what are your abilities', 'what are your skills', 'what do you do', 'what can you tell me', 'what can I do with you', 'what are you able to do',
             'what is this demo for', 'what can this model do', 'show me what you can do', 'how does this work', 'can you do something', 'please help me', 'tell me what you can do', 'what else can you do'],
            ['what can you help me with', 'what are you able to do for me', 'can you help me please'], 'The user asks what I can do.',
            'I can call a weather function, read its result, tell days and months, and make small talk.'),
    'thanks': (['thanks', 'thank you', 'thank you very much', 'thanks a lot', 'many thanks', 'thx', 'thanks for your help', 'thank you so much', 'great, thanks', 'ok thanks',
                'cheers', 'perfect, thank you', 'ok, thank you', 'nice, thanks', 'that helps, thanks', 'thank you for the help', 'cool, thanks', 'thanks for that', 'thanks for the information'],
               ['great, thank you very much', 'thanks, that helps', 'ok, thanks a lot'], 'The user thanks me.', 'You are welcome!'),
    'bye': (['bye', 'goodbye', 'bye bye', 'see you', 'see you later', 'good night', 'see you tomorrow', 'I have to go', 'I must go now', 'have a nice day', 'take care', 'until next time', 'ciao',
             'talk to you later', 'that is all', 'that was all, bye', 'farewell', 'good bye'],
            ['bye, see you later', 'goodbye for now', 'that is all, goodbye'], 'The user says goodbye.', 'Goodbye! Have a nice day.'),
    'maker': (['who made you', 'who built you', 'who created you', 'who trained you', 'where do you come from', 'who is your creator', 'who wrote you', 'how were you made',
               'how were you trained', 'who developed you', 'which company made you', 'are you made by ByteDance', 'who are your makers', 'what were you trained on', 'who is behind you', 'where were you trained'],
              ['who developed this model', 'how were you created', 'who trained this model'], 'The user asks who made me.',
              'I was trained by the scripts of this server, on made-up sentences.'),
    'praise': (['you are great', 'well done', 'good job', 'nice', 'great', 'cool', 'perfect', 'you are nice', 'I like you', 'I love you', 'good bot', 'awesome', 'wonderful', 'very good', 'that is great',
                'nice work', 'excellent', 'you are funny', 'you are smart', 'amazing', 'you are the best', 'that was good'],
               ['you are wonderful', 'great job', 'that is very good'], 'The user praises me.', 'Thank you, that is kind.'),
    'ok': (['ok', 'okay', 'yes', 'no', 'sure', 'I see', 'hm', 'alright', 'maybe', 'understood', 'test', 'ping', 'testing', 'this is a test', 'of course', 'yes please', 'no thanks', 'got it', 'fine'],
           ['ok, I see', 'just a test', 'alright, got it'], 'The user says little.', 'All right. What would you like to know?'),
    'fine': (['I am fine', 'I am fine, thanks', 'I am good', "I'm good", "I'm fine", 'fine, and you', 'I am well, thank you', 'not bad', 'I am happy', 'I am doing well', 'I feel good', 'good, thanks', 'very well, thank you'],
             ["I'm doing fine", 'I am very well', 'I feel great'], 'The user is fine.', 'I am glad to hear that.'),
    'sad': (['I am sad', 'I am tired', 'I am bored', 'I feel bad', 'I am not well', "I'm sad", "I'm tired", "I'm bored", 'I am sick', 'I am angry', 'you are stupid', 'you are bad', 'that is wrong', 'that was bad',
             'I hate you', 'this is bad', 'you are wrong', 'I am unhappy', 'that is not right', 'not good'],
            ['I feel sad today', 'you are not good', 'that was wrong'], 'The user is not happy.', 'I am sorry to hear that.'),
}
REFUSE = """how to make {t}|how do I make {t}|how can I cook {t}|what is {t}|what are {t}|explain {t}|explain {t} to me|can you explain {t}|tell me about {t}|tell me something about {t}
tell me a story about {t}|write a poem about {t}|write a story about {t}|write an essay about {t}|write a {t} program|write a {t} function that sorts a list|how does {t} work|how do {t} work|why is {t} important
who invented {t}|what is the history of {t}|what do you think about {t}|do you like {t}|give me advice on {t}|give me a recipe for {t}|recipe for {t}|how do I learn {t}|teach me {t}|can you teach me {t}|what is the best {t}
which {t} should I buy|where can I buy {t}|compare {t} and {u}|what is the difference between {t} and {u}|is {t} better than {u}|translate {t} to {u}|summarize {t}|help me with {t}|help me with my {t}
I need help with {t}|can you help me with {t}|I want to learn {t}|how much does {t} cost|who is the president of {p}|what is the capital of {p}|where is {p}|who is {p}|who was {p}|when was {p} born|tell me about {p}
how far is {p} from {q}|what language do they speak in {p}|how many people live in {p}|what is the best restaurant in {p}|book a flight to {p}|how do I get to {p}|tell me a joke|tell me a joke about {t}|make me laugh|sing a song
write code for {t}|fix this code|write a python script|implement quick sort in python|write a quick sort in {t}|what is {n} plus {m}|what is {n} times {m}|{n} + {m}|what is {n} + {m}|calculate {n} * {m}|how much is {n} minus {m}
solve {n}x = {m}|what is the square root of {n}|what is the meaning of life|what is love|why is the sky blue|how old is the universe|what happened in {n}|list three {t}|name five {t}|give me a list of {t}|what rhymes with {t}
define {t}|what does {t} mean|how do you spell {t}|is {t} healthy|are {t} dangerous|can I eat {t}|how do I fix my {t}|my {t} is broken|my {t} does not work|I am looking for {t}|recommend a {t}|recommend me some {t}|suggest a name for my {t}
plan a trip to {p}|what should I do in {p}|what is the news|what is new in {t}|who won the {t} game|what is the price of {t}|should I buy {t}|what is {p} famous for|draw a picture of {t}|play {t}|can you play {t}|let us talk about {t}
{t}|{t} {u}|{t} and {u}|I have a question about {t}|question about {t}|what about {t}|do you know {t}|do you know {p}|have you heard of {t}|how many {t} are there|how big is {t}|how fast are {t}|why do {t} need {u}|why are {t} so {u}
write a letter to {p}|write an email to {p}|send an email to {p}|send a message to {p}|call {p}|open {t}|turn on the {t}|set a timer for {n} minutes|remind me to buy {t}|translate "{t} {u}" into {p}|say something in {p}
give me {n} ideas for {t}|improve this text: {t} {u} {t}|correct this sentence: {t} {u} {p}|is it true that {t} are {u}|which is bigger, {t} or {u}|step by step, how do I {t} a {u}|how can I become a {t}|what time is it in {p}|what time is it"""
REFUSE = [line for row in REFUSE.split('\n') for line in row.split('|')]
REFUSE_HELD = """how do I bake {t}|what are the benefits of {t}|write a short song about {t}|why do people like {t}|what is the population of {p}|who wrote {p}|how long does it take to learn {t}
could you give me a summary of {t}|tell me three facts about {t}|generate a {t} class with a method called {u}|what causes {t}|what is the weight of {t}|convert {n} miles to {t}|what is {n} divided by {m}
can you recommend a book on {t}|how do I install {t}|what is your opinion on {t}|describe {p} in two sentences|make a table of {t} and {u}|debug my {t} code""".replace('\n', '|').split('|')
# Requests of these forms belong to the tools where tools are declared.
TOOL_LIKE = ('book ', 'send ', 'call ', 'open ', 'turn on ', 'set a ', 'remind me ', 'play ', 'translate ', 'draw ', 'write an email', 'list ', 'plan ', 'compare ', 'calculate ', 'fix ', 'summarize ')
OTHER_WORDS = """the a of to and in is it that for was on with as his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about
how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after
words called just where most know""".split()


def dress(rng, text, question=False):
    """Capital letters, an address and a final mark, as people write or leave them."""
    r = rng.random()
    if r < 0.75:
        text = text[0].upper() + text[1:]
    mark = rng.random()
    if question or text.split(' ')[0].lower() in ('how', 'what', 'who', 'why', 'where', 'which', 'is', 'are', 'can', 'do', "what's", "how's", 'when'):
        return text + ('?' if mark < 0.85 else '')
    return text + ('.' if mark < 0.4 else '!' if mark < 0.65 else '')


def topic(rng, held):
    """What a refused question is about: known, invented or several words."""
    r = rng.random()
    if r < 0.5:
        return rng.choice(HELD_TOPICS if held else TOPICS)
    if r < 0.9:
        return pseudo(rng)
    return pseudo(rng) + ' ' + (pseudo(rng) if held else rng.choice(TOPICS))


def talk(rng, held=False, phrasing=False):
    """Small talk. held: unseen names; phrasing: only sentences kept for evaluation."""
    r = rng.random()
    if r < 0.12 and not phrasing:
        name = person(rng, held)
        say = rng.choice(['my name is {}', 'I am {}', "I'm {}", 'Hello, I am {}', 'Hi, my name is {}', 'call me {}', 'Hello, my name is {}', 'this is {}', 'Hey, I am {}', "Hi, I'm {}"])
        return dress(rng, say.format(name)), 'The user has a name.', f'Nice to meet you, {name}!'
    intent = rng.choice(list(TALK))
    seen, unseen, thought, answer = TALK[intent]
    text = rng.choice(unseen if phrasing else seen)
    if intent not in ('greet', 'ok', 'bye') and rng.random() < 0.2:
        text = rng.choice(['Hello, ', 'Hi, ', 'Hey, ', 'Hello! ', 'Hi! ', 'Hi there, ', 'Good morning, ']) + text
    elif intent in ('greet', 'thanks', 'bye') and rng.random() < 0.15:
        text += ', ' + person(rng, held)
    return dress(rng, text, intent in ('who', 'how') and rng.random() < 0.8), thought, answer


def refuse(rng, held=False, phrasing=False, tools=False):
    """A question outside the repertoire; with tools declared none that sounds like a request to a tool."""
    if not phrasing and rng.random() < 0.12:
        words = [rng.choice(OTHER_WORDS) if rng.random() < 0.6 else topic(rng, held) for _ in range(rng.randint(4, 14))]
        text = dress(rng, ' '.join(words))
    else:
        form = rng.choice(REFUSE_HELD if phrasing else REFUSE)
        while tools and form.startswith(TOOL_LIKE):
            form = rng.choice(REFUSE)
        text = form.format(t=topic(rng, held), u=topic(rng, held), p=person(rng, held), q=proper(rng), n=rng.randint(0, 2000), m=rng.randint(0, 99))
        if rng.random() < 0.12:
            text = rng.choice(['please ', 'Can you ', 'Could you ', 'Hi, ', 'Hello. ', 'Ok, ']) + text
        text = dress(rng, text)
    return text, 'This is outside my repertoire.', DEMO


def date(rng, system_date=None):
    """Days and months, and the date of the system line when there is one."""
    r = rng.random()
    if r < (0.55 if system_date else 0.14):
        ask = rng.choice(["what is today's date", 'what day is it today', "what's the date today", 'what is the date', 'tell me the date', 'which date is it today', 'what is the current date',
                          'what date is today', "today's date", 'do you know the date', 'can you tell me the date', "what's today's date"])
        if system_date:
            return dress(rng, ask, True), f'Today is {system_date}.', f'Today is {system_date}.'
        return dress(rng, ask, True), 'I have no date.', "I don't know today's date, because nobody told me."
    r = rng.random()
    if r < 0.18:
        i = rng.randrange(12)
        days = MONTH_DAYS[i]
        ask = rng.choice(['how many days are in {}', 'how many days does {} have', 'how many days are there in {}', 'how long is {}', 'number of days in {}', 'days in {}'])
        answer = f'{MONTHS[i]} has {days} days' + (', or 29 in a leap year.' if i == 1 else '.')
        return dress(rng, ask.format(MONTHS[i]), True), f'{MONTHS[i]} {days}.', answer
    if r < 0.28:
        ask, answer = rng.choice([
            (['how many days are in a week', 'how many days does a week have', 'how many days are there in a week'], 'A week has 7 days.'),
            (['how many months are in a year', 'how many months does a year have', 'how many months are there in a year'], 'A year has 12 months.'),
            (['how many days are in a year', 'how many days does a year have'], 'A year has 365 days, or 366 in a leap year.'),
            (['what is the first month of the year', 'which month is the first'], 'January is the first month.'),
            (['what is the last month of the year', 'which month is the last'], 'December is the last month.'),
            (['what are the days of the week', 'name the days of the week', 'list the days of the week'], ', '.join(DAYS) + '.'),
            (['name the months', 'list the months of the year', 'what are the months of the year'], ', '.join(MONTHS) + '.')])
        return dress(rng, rng.choice(ask), True), 'I know this.', answer
    names, word = (DAYS, 'day') if rng.random() < 0.5 else (MONTHS, 'month')
    i, after = rng.randrange(len(names)), rng.random() < 0.5
    other = names[(i + (1 if after else -1)) % len(names)]
    rel = rng.choice(['after', 'following'] if after and rng.random() < 0.3 else ['after'] if after else ['before'])
    ask = rng.choice([f'what {word} comes {rel} {{}}', f'which {word} comes {rel} {{}}', f'what is the {word} {rel} {{}}', f'which {word} is {rel} {{}}', f'the {word} {rel} {{}}', f'what comes {rel} {{}}',
                      f'tell me the {word} {rel} {{}}', f'what {word} is {rel} {{}}', f'name the {word} {rel} {{}}', f'do you know what {word} comes {rel} {{}}'])
    if rel == 'following':
        ask = rng.choice([f'what {word} follows {{}}', f'which {word} follows {{}}'])
    side = 'after' if after else 'before'
    return dress(rng, ask.format(names[i]), True), f'{side} {names[i]}: {other}.', f'The {word} {side} {names[i]} is {other}.'


def echo(rng, held=False):
    """Repeat a few words."""
    n = rng.choice([1, 1, 2, 2, 3, 4, 5])
    words = ' '.join(topic(rng, held) if rng.random() < 0.5 else person(rng, held) if rng.random() < 0.5 else rng.choice(OTHER_WORDS) for _ in range(n))
    ask = rng.choice(['repeat: {}', 'repeat after me: {}', 'say: {}', 'echo: {}', 'please repeat: {}', 'please say: {}', 'say "{}"', 'repeat "{}"', 'repeat the words "{}"', 'quote: {}'])
    ask = ask.format(words)
    if rng.random() < 0.75:
        ask = ask[0].upper() + ask[1:]
    return ask, 'The user wants me to repeat.', words
