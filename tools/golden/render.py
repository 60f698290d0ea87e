"""Writes test/fixtures/render/: what Python's jinja2, set up as transformers does, makes of conversations.

Maintainer's tool; tests only read what it wrote. Needs jinja2 3.1.6:
    python tools/golden/render.py
"""

import copy
import gzip
import json
import random
from datetime import datetime
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "test" / "fixtures" / "render"
TEMPLATES = ROOT / "test" / "fixtures" / "templates"
NOW = datetime(2026, 3, 7, 9, 5, 4)
SPECIAL = {"bos_token": "<seed:bos>", "eos_token": "<seed:eos>", "pad_token": "<seed:pad>"}


class Generation(jinja2.ext.Extension):
    """transformers' {% generation %} block, which prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    """transformers' chat template environment (utils/chat_template_utils.py), with a clock that stands still."""

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    class TemplateNamespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            self, args = args[0], args[1:]
            attrs = dict(*args, **kwargs)
            for name in attrs:
                TemplateNamespace._check_name(name)
            jinja2.utils.Namespace.__init__(self, attrs)

        def __setitem__(self, name, value):
            TemplateNamespace._check_name(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check_name(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(name)

    class TemplateDict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    env.globals["dict"] = TemplateDict()
    env.globals["namespace"] = TemplateNamespace
    return env


ENV = environment()


def rendered(template, variables):
    """The text, or null where Python raises."""
    try:
        return template.render(**variables)
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ZeroDivisionError, OverflowError, KeyError, RecursionError):
        return None


# ---------------------------------------------------------------- conversations

WORDS = (
    "Hello weather Paris 東京 naïve Ünïcödé 😀 👩‍👩‍👧 quick sort \n\n \t <b>&amp;</b> {{ x }} {% if %} <seed:eos> "
    "</seed:think> <seed:think> <seed:tool_call> <function=f> </parameter> 'single' \"double\" back\\slash "
    "\u00a0nbsp\u00a0 \u200bzero \ufeffbom \x1cfs \x85nel \u2028ls مرحبا ไทย e\u0301 \x7f \ud7ff \U0001f1eb\U0001f1f7 "
    "null True 1.0 $x^2$ `code` ```py print(1)``` # head"
).split(" ")
SCALARS = [
    None, True, False, 0, 1, -7, 1.0, -0.0, 0.1, 1e16, 1.25e20, 1e-5, 0.0001, 123456789.123, 3.0e15, 1e22, 5e-324,
    12345678901234567890, -9007199254740993, 2**53, 10**30, "", "a", "a.com", "it's", 'say "hi"', "both ' and \"",
    "line\nbreak\ttab", "\u00e9\u00a0\u200b\ufeff\x07\x7f\x85", "😀", "back\\slash", "</parameter>", "1.0", "None",
]  # fmt: skip
KEYS = ["a", "b", "9", "1", "3", "city", "items", "get", "keys", "values", "日本", "a b", "it's", "__proto__", "length", "constructor"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def text(self, most=12):
        r = self.r
        gap = r.choice([" ", " ", "\n", ""])
        body = gap.join(r.choice(WORDS) for _ in range(r.randint(1, most)))
        return r.choice(["", "", "", " ", "\n", "\t\n", "\ufeff", "\u00a0"]) + body + r.choice(["", "", " ", "\n", "\n\n", "\x1f"])

    def value(self, depth=0):
        r = self.r
        kind = r.random()
        if depth < 3 and kind < 0.15:
            return [self.value(depth + 1) for _ in range(r.randint(0, 4))]
        if depth < 3 and kind < 0.3:
            return {r.choice(KEYS): self.value(depth + 1) for _ in range(r.randint(0, 4))}
        return r.choice(SCALARS)

    def schema(self):
        r = self.r
        spec = {}
        kind = r.choice(["string", "number", "integer", "boolean", "array", "object", "null", None, ["string", "null"]])
        if kind is not None:
            spec["type"] = kind
        if r.random() < 0.7:
            spec["description"] = r.choice([self.text(4), "", None])
        if r.random() < 0.2:
            spec["enum"] = [self.value(2) for _ in range(2)]
        if r.random() < 0.2:
            spec["default"] = self.value(1)
        if kind == "array":
            spec["items"] = {"type": "string"}
        return spec

    def tool(self):
        r = self.r
        names = r.sample(KEYS, r.randint(0, 4))
        function = {"name": r.choice(["get_weather", "f", "search-web", "日本"])}
        if r.random() < 0.8:
            function["description"] = r.choice([self.text(6), "  padded \n", ""])
        function["parameters"] = {"type": "object", "properties": {n: self.schema() for n in names}}
        if r.random() < 0.6:
            function["parameters"]["required"] = [n for n in names if r.random() < 0.5]
        if r.random() < 0.3:
            function["returns"] = {"type": "object", "properties": {"x": self.schema(), "1": self.schema()}}
        if r.random() < 0.3:
            function["strict"] = True
        return {"type": "function", "function": function}

    def call(self, i):
        r = self.r
        arguments = {r.choice(KEYS): self.value() for _ in range(r.randint(0, 4))}
        return {"id": f"call_{i}", "type": "function", "function": {"name": r.choice(["f", "g"]), "arguments": arguments}}

    def messages(self):
        r = self.r
        out = []
        if r.random() < 0.5:
            out.append({"role": "system", "content": self.text()})
        for _ in range(r.randint(1, 3)):
            out.append({"role": "user", "content": self.text()})
            if r.random() < 0.7:
                reply = {"role": "assistant", "content": self.text()}
                if r.random() < 0.5:
                    reply["reasoning_content"] = r.choice([self.text(), "", " \n"])
                if r.random() < 0.5:
                    reply["tool_calls"] = [self.call(i) for i in range(r.randint(1, 3))]
                    reply["content"] = r.choice([reply["content"], "", " "])
                if not reply["content"].strip() and "tool_calls" not in reply:
                    # The stock template would leave this turn open; the server drops it.
                    reply["content"] = "ok"
                out.append(reply)
                for c in reply.get("tool_calls", []):
                    out.append({"role": "tool", "content": self.text(), "tool_call_id": c["id"]})
            if r.random() < 0.1:
                out.append({"role": "system", "content": self.text(4)})
        return out


BUDGETS = [-1, 0, 1, 64, 511, 512, 513, 1024, 1025, 4096, 4097, 16384, 16385, 20000]


def seed_conversation(i):
    maker = Maker(i)
    r = maker.r
    case = {"messages": maker.messages()}
    if r.random() < 0.5:
        case["tools"] = [maker.tool() for _ in range(r.randint(1, 3))]
    if r.random() < 0.7:
        case["thinking_budget"] = r.choice(BUDGETS)
    if "tools" in case and r.random() < 0.25:
        case["use_json_tooldef"] = True
    case["add_generation_prompt"] = r.random() < 0.85
    return case


def every_type():
    """Hand-written: each budget alone, each JSON value as an argument, each type in a tool."""
    hello = [{"role": "user", "content": "Hello"}]
    for budget in BUDGETS:
        yield {"messages": hello, "thinking_budget": budget, "add_generation_prompt": True}
    for value in [*SCALARS, [], {}, [SCALARS], {"d": {"e": [{}, [], [None, True, 1.5]]}}]:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"v": value, "9": [value], "1": {"k": value}}}}
        yield {"messages": [*hello, {"role": "assistant", "content": "", "tool_calls": [call]}], "add_generation_prompt": True}
    kinds = ["string", "number", "integer", "boolean", "array", "object", "null", ["a"], None]
    properties = {f"p{i}": {"type": k} if k else {} for i, k in enumerate(kinds)}
    tool = {"type": "function", "function": {"name": "all", "parameters": {"type": "object", "properties": properties}}}
    bare = {"type": "function", "function": {"name": "bare", "parameters": {"type": "object", "properties": {}}}}
    for tools in [[tool], [bare], [tool, bare]]:
        for as_json in [False, True]:
            yield {"messages": hello, "tools": tools, "use_json_tooldef": as_json, "add_generation_prompt": True}


def seed_variables(case):
    variables = {"messages": case["messages"], "tools": case.get("tools"), "documents": None, **SPECIAL}
    variables["add_generation_prompt"] = case["add_generation_prompt"]
    for name in ("use_json_tooldef", "thinking_budget"):
        # The server leaves an unlimited budget out; the template's own default is the same -1.
        if name in case and case[name] != -1:
            variables[name] = case[name]
    return variables


def write_seed_oss():
    templates = {v: ENV.from_string((TEMPLATES / f"seed-oss.{v}.jinja").read_text("utf-8")) for v in ("v1", "v2")}
    lines = []
    for case in [*every_type(), *(seed_conversation(i) for i in range(320))]:
        v1, v2 = (rendered(templates[v], seed_variables(copy.deepcopy(case))) for v in ("v1", "v2"))
        # The two differ at the very end only, if at all: how much of v2 to cut, what to put there.
        shared = len(v2) if v1 == v2 else next(i for i in range(len(v2)) if v1[i : i + 1] != v2[i])
        lines.append({**case, "text": v2, **({} if v1 == v2 else {"v1": [len(v2) - shared, v1[shared:]]})})
    save("seed-oss.jsonl.gz", lines)


def save(name, lines):
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    data = text.encode("utf-8")
    if name.endswith(".gz"):
        data = gzip.compress(data, 9, mtime=0)
    (OUT / name).write_bytes(data)
    print(f"{name}: {len(lines)} cases, {len(data)} bytes")


# ---------------------------------------------------------------- feature templates


def feature_conversations():
    user = {"role": "user", "content": "Hi <b>there</b> it's me"}
    weather = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name", "enum": ["Paris", "東京"]},
                    "days": {"type": "integer", "default": 3},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "mode": {"type": ["string", "null"]},
                    "items": {"type": "object", "properties": {"z": {"type": "number"}, "a": {"type": "boolean"}}},
                },
                "required": ["city", "items"],
            },
            "strict": True,
        },
    }
    clock = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}
    call = lambda i, name, arguments: {"id": f"call{i:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}
    turn = [
        {"role": "system", "content": "  Be brief. "},
        user,
        {"role": "assistant", "content": "<think>\nplan\n</think>\n\nSure ", "reasoning_content": " plan it "},
        {"role": "user", "content": "Weather? 😀"},
    ]
    calls = [
        *turn,
        {"role": "assistant", "content": "", "tool_calls": [call(1, "get_weather", {"city": "Paris", "days": 2, "x": 1.0, "y": None}), call(2, "now", {})]},
        {"role": "tool", "content": '{"t": 21.5}', "tool_call_id": "call00001", "name": "get_weather"},
        {"role": "tool", "content": "12:00", "tool_call_id": "call00002", "name": "now"},
    ]
    yield {"messages": [user], "add_generation_prompt": True}
    yield {"messages": turn, "add_generation_prompt": True, "enable_thinking": False}
    yield {"messages": turn[1:], "tools": [weather, clock], "add_generation_prompt": True, "date_string": "01 Jan 2025"}
    yield {"messages": calls, "tools": [weather, clock], "add_generation_prompt": True}
    yield {"messages": [*calls, {"role": "assistant", "content": "21 degrees"}, {"role": "user", "content": "Thanks\r\nbye "}], "tools": [clock], "add_generation_prompt": False, "enable_thinking": True}
    yield {"messages": [turn[0], {"role": "assistant", "content": "I start"}], "add_generation_prompt": True, "custom": {"b": 1, "A": [2, 1], "c": {"x": 1.5}}}
    maker = Maker(99)
    yield {"messages": maker.messages() + [{"role": "user", "content": "x"}], "tools": [maker.tool()], "add_generation_prompt": True}


def write_features():
    lines = []
    conversations = list(feature_conversations())
    for path in sorted(TEMPLATES.glob("features/*.jinja")):
        template = ENV.from_string(path.read_text("utf-8"))
        for i, case in enumerate(conversations):
            variables = {"tools": None, "documents": None, **SPECIAL, **copy.deepcopy(case)}
            lines.append({"template": path.stem, "case": i, "text": rendered(template, variables)})
    save("features.jsonl", lines)
    save("conversations.jsonl", conversations)


def write_expressions():
    """One expression a line, each with what Python prints, or null where it raises."""
    sources = (ROOT / "tools" / "golden" / "expressions.txt").read_text("utf-8").splitlines()
    variables = {
        "s": "Hello wörld 😀 it's", "n": 7, "f": 2.5, "t": True, "z": None, "l": [3, 1, 2], "e": [],
        "d": {"b": 1, "a": [1, {"k": None}], "9": "x", "1": 1.0}, "rows": [{"n": "b", "v": 2, "w": {"x": 1}}, {"n": "A", "v": 1}, {"n": "c", "v": 2}],
    }  # fmt: skip
    lines = []
    for source in sources:
        if source and not source.startswith("//"):
            try:
                text = rendered(ENV.from_string(source.replace("⏎", "\n")), copy.deepcopy(variables))
            except jinja2.exceptions.TemplateSyntaxError:
                text = None
            lines.append({"source": source, "text": text})
    save("expressions.jsonl", [{"variables": variables}, *lines])


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_seed_oss()
    write_features()
    write_expressions()
