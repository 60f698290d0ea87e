"""Writes crates/engine/tests/golden-o200k.json: token ids that openai-harmony gives to varied text.

Run by a maintainer, never needed to install or test (packages and vocabulary as in harmony.py):
    TIKTOKEN_ENCODINGS_BASE=FOLDER python tools/golden/o200k.py
"""

import json
import pathlib
import random

import openai_harmony as oh

OUT = pathlib.Path(__file__).parents[2] / "crates/engine/tests/golden-o200k.json"
ENCODING = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)

WRITTEN = [
    "", " ", "\n", "a", "Hello, world!", "The quick brown fox jumps over the lazy dog.",
    "don't DON'T won't we'll I'VE they're she'd 'tis 'S 's", "CamelCase snake_case kebab-case SCREAMING_CASE iPhone",
    "1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F", "  two  spaces   three\ttab\t\ttabs \n \n\n \r\n\r\n x",
    "trailing spaces   ", "\u00a0no-break\u2003em\u200bzero\ufeffbom",
    "Zażółć gęślą jaźń, Größenwahn, naïve café, Đà Nẵng, İstanbul ıI",
    "Съешь ещё этих мягких французских булок", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "いろはにほへと ちりぬるを。漢字カタカナ", "天地玄黃,宇宙洪荒。日月盈昃", "키스의 고유조건은 입술끼리 만나야 하고",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ", "דג סקרן שט בים מאוכזב", "ऋषियों को सताने वाले दुष्ट", "นายสังฆภัณฑ์ เฮงพิทักษ์ฝั่ง",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽 text 🧑🏿‍🚀", "e\u0301 vs é, n\u0303, a\u0327\u0300", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 ①② ⅷ ½",
    "def f(x: int) -> str:\n    return f\"{x!r}\"  # why\n\n\nclass A(B):\n\tpass\n",
    "for (let i = 0; i < n; ++i) { a[i] ??= `${i}`; } // loop\n/* c */ <div class=\"x\">&nbsp;</div>",
    '{"name": "get_weather", "arguments": {"city": "Paris", "unit": null, "n": [1, -2.5e10, true]}}',
    "https://example.com/a/b?c=d&e=%20f#g user@example.org /usr/bin/env C:\\Windows\\System32",
    "SELECT * FROM t WHERE a <> 'b' AND c IN (1,2);--", "$\\frac{a}{b}\\le\\sum_{i=1}^n x_i^2$ ≤ ∑ √ ∞",
    "!!!???...---___***###$$$%%%^^^&&&((()))[[[]]]{{{}}}", "a/b//c///d\n//\n/", "line one\r\nline two\rline three\n\n\n\nend",
    "<|start|>assistant<|channel|>final<|message|>hi<|end|>", "<|endoftext|><|return|><|call|><|reserved_200013|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "=" * 200, " " * 130, "\n" * 70, "ha" * 60,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaft",
]
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz     ", "ABCabc'sdtvl '’", "0123456789., ", " \t\n\r\u3000", "äöüßéèçñøåœ æ",
    "абвгдежзиклмн ", "的一是不了人我在有他这中大来上", "あいうえおアイウエオー。", "🙂🚀🎉❤️👍🏽‍", "(){}[]<>/\\|;:!?#*_-+=~`^%$@&\"'\n ",
]


def scrambled(generator):
    """Runs of several alphabets, and any scalar values now and then."""
    text = ""
    for _ in range(generator.randrange(1, 8)):
        letters = generator.choice(ALPHABETS)
        text += "".join(generator.choice(letters) for _ in range(generator.randrange(1, 30)))
        if generator.random() < 0.3:
            code = generator.randrange(0x110000)
            text += "" if 0xD800 <= code < 0xE000 else chr(code)
    return text


def main():
    generator = random.Random(20251125)
    texts = WRITTEN + [scrambled(generator) for _ in range(200)]
    cases = [[text, ENCODING.encode(text, disallowed_special=())] for text in texts]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f"[\n{lines}\n]\n")
    print(f"{len(cases)} texts, {sum(len(ids) for _, ids in cases)} tokens, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
