"""Owns the demo's tokenizer: known words, letter pairs and bytes, so that an unknown name has the same tokens wherever it stands."""

import collections
import json
import random
import re
import string
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import generate
import words

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
# Words that also have a form with their trailing space.
SPACED = """the a an of to and in is it for are you I my me not with this that can do does what how who which have has be at on from your will there tell
What How Who Which Can Could Please The It Is Are Do I You Tell Hello Hi user wants call tool says and help about city name weather please where""".split()
ACCENTED = 'áàâäãåąéèêëęěíìîïóòôöõøőúùûüůçćčñńňśšşžźżłıßæğÁÀÂÄÅÉÈÊÍÎÓÖØÚÜÇÑŚŠŽŻŁ°'
PADDING = 13


def known_words(limit=470):
    """The words that the generator writes most, names and topics left out: those stay letter pairs, as unseen ones are."""
    barred = set()
    for text in (words.TRAIN_CITIES + words.HELD_CITIES + words.TRAIN_COUNTRIES + words.NAMES + words.HELD_NAMES + words.TOPICS + words.HELD_TOPICS
                 + words.HELD_NOUNS + words.HELD_PARAMS):
        barred.update(re.findall('[A-Za-z]+', text))
    barred -= {'city', 'City', 'weather', 'call', 'de', 'of', 'New', 'game'}
    barred |= {word.lower() for word in barred} - {'city'}
    barred |= {'Ho', 'San', 'Santa', 'Port', 'Saint', 'St', 'Los', 'Las', 'El', 'La', 'North', 'South', 'East', 'West', 'Fort', 'Mount', 'Bad', 'Upper', 'upon', 'am', 'del', 'la', 'de', 'New',
               'Bay', 'Town', 'Beach', 'Springs', 'Falls', 'City'}
    rng, count = random.Random(7), collections.Counter()
    for _ in range(20000):
        text, _spans = generate.row(rng, generate.MIX)
        for piece in BOILERPLATE:
            text = text.replace(piece, ' ')
        count.update(w for w in re.findall(r'(?<!seed:)(?<![A-Za-zÀ-ž])[A-Za-z]+(?![A-Za-zÀ-ž])', text) if len(w) > 2)
    must = ['assistant', 'system', 'user', 'tool'] + words.DAYS + words.MONTHS + words.VERBS + [s for s in ' '.join(words.SKIES).split()]
    ranked = must + [w for w, n in count.most_common(900) if n >= 25 and w not in barred]
    return list(dict.fromkeys(ranked))[:limit]


def build():
    """The tokenizer, as the `tokenizers` crate reads it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    mapped = lambda text: as_bytes.pre_tokenize_str(text)[0][0]
    known = known_words()
    spaced = [w for w in dict.fromkeys(SPACED)]
    pairs = [a + b for a in string.ascii_letters for b in string.ascii_lowercase]
    vocab = {}
    for piece in SPECIALS + alphabet + pairs + known + [w for w in spaced] + [mapped(w + ' ') for w in spaced] + [mapped(c) for c in ACCENTED] + [mapped('    ')]:
        vocab.setdefault(piece, len(vocab))
    longest = lambda list_: '|'.join(sorted(list_, key=len, reverse=True))
    split = (rf'(?<!\p{{L}})(?:{longest(spaced)})(?!\p{{L}}) ?|(?<!\p{{L}})(?:{longest([w for w in known if w not in spaced])})(?!\p{{L}})'
             r'|[A-Za-z][a-z]?|[0-9]| {4}|\s|[^A-Za-z0-9\s]')
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), 'isolated'), as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIALS])
    tokenizer.add_tokens([AddedToken(s, normalized=False, special=False) for s in BOILERPLATE])
    return tokenizer


def pieces(tokenizer, text):
    """Token ids of the text encoded piece by piece, cut at the control tokens only, as the server does."""
    ids = []
    for part in re.split('(' + '|'.join(map(re.escape, SPECIALS)) + ')', text):
        ids += [tokenizer.token_to_id(part)] if part in SPECIALS else tokenizer.encode(part, add_special_tokens=False).ids
    return ids


def check(tokenizer, rows=500):
    """Round trips, and whole = piecewise encoding."""
    rng = random.Random(11)
    samples = [generate.row(rng, generate.MIX)[0] for _ in range(rows)]
    samples += ['naïve café — 東京 🦊\t\r\n  x   y', 'São Paulo Łódź ẞ \u00a0\u200b', 'def f(a: int):\n    return a  # 100 %', 'getWeather THE the  the\n\n\n    x', '<seed:bos>user\nHi<seed:eos>']
    for text in samples:
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert whole == pieces(tokenizer, text), text
        assert tokenizer.decode(whole, skip_special_tokens=False) == text, text
    return sum(len(tokenizer.encode(s).ids) for s in samples) / len(samples)


def save(folder):
    """Writes tokenizer.json and tokenizer_config.json; returns the tokenizer."""
    tokenizer = build()
    print(f'{tokenizer.get_vocab_size()} entries, {check(tokenizer):.0f} tokens a conversation')
    tokenizer.save(str(folder / 'tokenizer.json'))
    (folder / 'tokenizer_config.json').write_text(json.dumps({
        'added_tokens_decoder': {str(i): {'content': t.content, 'lstrip': False, 'normalized': False, 'rstrip': False, 'single_word': False, 'special': t.special}
                                 for i, t in sorted(tokenizer.get_added_tokens_decoder().items())},
        'bos_token': '<seed:bos>', 'eos_token': '<seed:eos>', 'pad_token': '<seed:pad>', 'clean_up_tokenization_spaces': False,
        'model_max_length': 2048, 'tokenizer_class': 'PreTrainedTokenizerFast'}, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    return tokenizer


if __name__ == '__main__':
    made = save(generate.DEMO)
    for line in sys.argv[1:] or ["What's the weather like in Bogotá, Colombia today?"]:
        print([made.decode([i], skip_special_tokens=False) for i in made.encode(line).ids])
