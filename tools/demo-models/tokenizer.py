"""Owns the demo's tokenizer: known words, letter pairs and bytes, so that an unknown name has the same tokens wherever it stands."""

import collections
import json
import random
import re
import string
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import harmony
import generate
import words

FAMILIES = {'seed-oss': generate, 'gpt-oss': harmony}
# Words that also have a form with a space: behind them, or, where a family's values end at a quote, before them, so that the token after
# a place says that it has ended ("in Oslo today": a bare space there could also stand inside the place).
SPACED = """the a an of to and in is it for are you I my me not with this that can do does what how who which have has be at on from your will there tell
What How Who Which Can Could Please The It Is Are Do I You Tell Hello Hi user wants call tool says and help about city name weather please where""".split()
ACCENTED = 'áàâäãåąéèêëęěíìîïóòôöõøőúùûüůçćčñńňśšşžźżłıßæğÁÀÂÄÅÉÈÊÍÎÓÖØÚÜÇÑŚŠŽŻŁ°'
PADDING = 13


def known_words(family, limit=470):
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
        text, _spans = family.row(rng, family.MIX)
        for piece in family.BOILERPLATE + family.SPECIALS:
            text = text.replace(piece, ' ')
        count.update(w for w in re.findall(r'(?<![A-Za-zÀ-ž])[A-Za-z]+(?![A-Za-zÀ-ž])', text) if len(w) > 2)
    must = ['assistant', 'system', 'user', 'tool'] + words.DAYS + words.MONTHS + words.VERBS + [s for s in ' '.join(words.SKIES).split()]
    ranked = must + [w for w, n in count.most_common(900) if n >= 25 and w not in barred]
    return list(dict.fromkeys(ranked))[:limit]


def build(family):
    """The tokenizer, as the `tokenizers` crate reads it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    mapped = lambda text: as_bytes.pre_tokenize_str(text)[0][0]
    known = known_words(family)
    spaced = list(dict.fromkeys(SPACED))
    leading = list(dict.fromkeys(spaced + known)) if family.SPACE_LEADS else []
    formed = [mapped(piece) for piece in ([f' {w}' for w in leading] + [', please', ', in'] if leading else [f'{w} ' for w in spaced])]
    pairs = [a + b for a in string.ascii_letters for b in string.ascii_lowercase]
    vocab = {}
    for piece in family.SPECIALS + alphabet + pairs + known + spaced + formed + [mapped(c) for c in ACCENTED] + [mapped('    ')]:
        vocab.setdefault(piece, len(vocab))
    longest = lambda list_: '|'.join(sorted(list_, key=len, reverse=True))
    if leading:
        words_ = rf'(?:, please|, in| (?:{longest(leading)})|(?<!\p{{L}})(?:{longest(leading)}))(?!\p{{L}})'
    else:
        words_ = rf'(?<!\p{{L}})(?:{longest(spaced)})(?!\p{{L}}) ?|(?<!\p{{L}})(?:{longest([w for w in known if w not in spaced])})(?!\p{{L}})'
    split = words_ + r'|[A-Za-z][a-z]?|[0-9]| {4}|\s|[^A-Za-z0-9\s]'
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), 'isolated'), as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in family.SPECIALS])
    tokenizer.add_tokens([AddedToken(s, normalized=False, special=False) for s in family.BOILERPLATE])
    return tokenizer


def pieces(family, tokenizer, text):
    """Token ids of the text encoded piece by piece, cut at the control tokens only, as the server does."""
    ids = []
    for part in re.split('(' + '|'.join(map(re.escape, family.SPECIALS)) + ')', text):
        ids += [tokenizer.token_to_id(part)] if part in family.SPECIALS else tokenizer.encode(part, add_special_tokens=False).ids
    return ids


def check(family, tokenizer, rows=500):
    """Round trips, and whole = piecewise encoding."""
    rng = random.Random(11)
    samples = [family.row(rng, family.MIX)[0] for _ in range(rows)]
    samples += ['naïve café — 東京 🦊\t\r\n  x   y', 'São Paulo Łódź ẞ \u00a0\u200b', 'def f(a: int):\n    return a  # 100 %', 'getWeather THE the  the\n\n\n    x', f'{family.SPECIALS[0]}user\nHi{family.SPECIALS[2]}']
    for text in samples:
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert whole == pieces(family, tokenizer, text), text
        assert tokenizer.decode(whole, skip_special_tokens=False) == text, text
    return sum(len(tokenizer.encode(s).ids) for s in samples) / len(samples)


def save(family):
    """Writes tokenizer.json and tokenizer_config.json; returns the tokenizer."""
    folder, tokenizer = family.DEMO, build(family)
    print(f'{tokenizer.get_vocab_size()} entries, {check(family, tokenizer):.0f} tokens a conversation')
    tokenizer.save(str(folder / 'tokenizer.json'))
    (folder / 'tokenizer_config.json').write_text(json.dumps({
        'added_tokens_decoder': {str(i): {'content': t.content, 'lstrip': False, 'normalized': False, 'rstrip': False, 'single_word': False, 'special': t.special}
                                 for i, t in sorted(tokenizer.get_added_tokens_decoder().items())},
        'bos_token': family.SPECIALS[0], 'eos_token': family.SPECIALS[family.END], 'pad_token': family.SPECIALS[family.PAD], 'clean_up_tokenization_spaces': False,
        'model_max_length': 2048, 'tokenizer_class': 'PreTrainedTokenizerFast'}, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    return tokenizer


if __name__ == '__main__':
    made = save(FAMILIES[sys.argv[1]])
    for line in sys.argv[2:] or ["What's the weather like in Bogotá, Colombia today?"]:
        print([made.decode([i], skip_special_tokens=False) for i in made.encode(line).ids])
