"""What reading a body costs is bounded, whatever a caller makes of it; and what is read is all there is."""

import contextlib
import json
import random
import time
import tracemalloc
from typing import Any

import pytest

from routing.request.body import rewrite
from routing.request.bounds import BESIDE_MAX, SLICE_BYTES, VALUES_MAX, bound
from routing.request.envelope import MEMBERS_MAX, Invalid, read
from routing.request.prompt import DEPTH_MAX, PARTS_MAX
from routing.wire.objects import compact, decode_objects, repeats_in_list, shorten

MIB = 1_048_576
HEAD = b'{"model":"m","messages":['
PAUSE_S_MAX = 3.0
"""Of CPU time, on a machine that does other things besides; the reports were of 4 to 90 seconds."""


def many(count: int, form: bytes, *, head: bytes = b'{"model":"m","messages":[1]', tail: bytes = b"}") -> bytes:
    return head + b"".join(b"," + form % number for number in range(count)) + tail


def filled(part: bytes, size: int) -> bytes:
    return HEAD + b",".join([part] * (size // (len(part) + 1))) + b"]}"


BOMBS: list[tuple[str, bytes, str]] = [
    ("116,501 members", many(116_501, b'"%d":1'), f"more than {MEMBERS_MAX} members"),
    ("members of 8 MiB", many(700_000, b'"%d":1'), f"more than {VALUES_MAX} values"),
    ("members of 32 MiB", many(2_700_000, b'"%d":1'), f"more than {VALUES_MAX} values"),
    ("empty lists", filled(b"[]", 32 * MIB), f"more than {VALUES_MAX} values"),
    ("empty objects", filled(b"{}", MIB - 64), f"more than {PARTS_MAX} parts"),
    ("empty strings", filled(b'""', 32 * MIB), f"more than {VALUES_MAX} values"),
    ("numbers", filled(b"1", 32 * MIB), f"more than {VALUES_MAX} values"),
    ("three million file ids", filled(b'{"file_id":1}', 32 * MIB), f"more than {VALUES_MAX} values"),
    ("file ids in one message", HEAD + b'{"content":[' + b'{"file_id":1},' * 60_000 + b"{}]}]}", "parts|images"),
    ("names of files", HEAD + b'{"content":["' + b'file_id","' * 90_000 + b'"]}]}', "parts"),
    ("tools", many(0, b"")[:-1] + b',"tools":[' + b",".join([b"{}"] * 200_000) + b"]}", "1024 tools"),
    ("a deep list", HEAD + b"[" * 500 + b"]" * 500 + b"]}", f"more than {DEPTH_MAX} levels"),
    ("a deeper one", HEAD + b"[" * 100_000 + b"]" * 100_000 + b"]}", "nested too deeply"),
    ("a deep object", HEAD + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]}", f"more than {DEPTH_MAX} levels"),
    (
        "a deep content",
        HEAD + b'{"content":' + b'[{"content":' * 60 + b"[]" + b"}]" * 60 + b"}]}",
        f"more than {DEPTH_MAX} levels",
    ),
]


@pytest.mark.parametrize(("body", "why"), [each[1:] for each in BOMBS], ids=[each[0] for each in BOMBS])
def test_body_of_too_much_is_refused_at_once(body: bytes, why: str) -> None:
    """Members, values, parts and depth have a bound, and a 400 says which was passed; it is seen before the work is done."""
    began_s = time.process_time()
    with pytest.raises(Invalid, match=why):
        read(body)
    assert time.process_time() - began_s < PAUSE_S_MAX


LARGE: list[tuple[str, bytes]] = [
    ("a text of 32 MiB", HEAD + b'{"role":"user","content":"' + b"x" * 32 * MIB + b'"}]}'),
    ("a text full of quotes", HEAD + b'{"role":"user","content":"' + rb"\"file_id\": \"image_url\", " * MIB + b'"}]}'),
    ("a text full of backslashes", HEAD + b'{"role":"user","content":"' + (b"\\\\" * 40 + b'\\"') * 400_000 + b'"}]}'),
    ("a text full of commas", HEAD + b'{"role":"user","content":"' + b"1,2,[3],{4}," * MIB + b'"}]}'),
    (
        "an image",
        HEAD + b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x,' + b"A" * 30 * MIB + b'"}}]}]}',
    ),
    ("a long session", HEAD + b",".join([b'{"role":"user","content":"hi"}'] * 20_000) + b"]}"),
]


@pytest.mark.parametrize("body", [each[1] for each in LARGE], ids=[each[0] for each in LARGE])
def test_body_that_is_merely_large_is_read(body: bytes) -> None:
    """Bytes alone are no reason to refuse, and are read at the speed of memory; few parts of it are written."""
    began_s = time.process_time()
    envelope = read(body)
    assert time.process_time() - began_s < PAUSE_S_MAX
    assert len(rewrite(envelope, "m", cap=None, cap_field="as_sent", has_stream_options=True)) <= 3


def test_body_of_many_small_members_is_few_parts() -> None:
    """What is between two large members is one piece, however many they are."""
    body = many(MEMBERS_MAX - 4, b'"m%d":1', tail=b',"large":"' + b"x" * 70_000 + b'","after":1}')
    parts = rewrite(read(body), "m", cap=None, cap_field="as_sent", has_stream_options=True)
    assert len(parts) == 3
    assert json.loads(b"".join(parts)) == json.loads(body)


def spelled(dice: random.Random, value: Any) -> str:
    """JSON with white space wherever it may be."""
    space = dice.choice(("", "", " ", "\n\t"))
    if isinstance(value, dict):
        return (
            "{"
            + f"{space},".join(f"{space}{json.dumps(name)}{space}:{spelled(dice, each)}" for name, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + f"{space},".join(space + spelled(dice, each) for each in value) + f"{space}]"
    return space + json.dumps(value, ensure_ascii=dice.random() < 0.5)


def some_objects(dice: random.Random) -> list[dict[str, Any]]:
    values: list[Any] = ["", "x: {y}", 'q"\\', "ü😀", 1, -1.5e3, None, True, [], {}, [1, "a,b"], {"a": "b"}, "z" * 50]
    return [
        {dice.choice(["a", "b", 'c"', "d:", "é", "role", ""]) + str(at): dice.choice(values) for at in range(dice.randint(0, 4))}
        for _ in range(dice.randint(0, 5))
    ]


@pytest.mark.parametrize("seed", range(300))
def test_repeats_is_exact(seed: int) -> None:
    """Whatever white space and escapes there are, one repeated name is seen and none is invented."""
    dice = random.Random(seed)
    objects = [each for each in some_objects(dice) if each] or [{"a": 1}]
    text = spelled(dice, objects).encode()
    padding = b" " * (9_000 if dice.random() < 0.5 else 0)
    text = text[:1] + padding + text[1:]
    assert not repeats_in_list(text, decode_objects(text))
    assert json.loads(bytes(compact(text))) == objects
    victim = dice.choice(objects)
    name = dice.choice(list(victim))
    again = json.dumps(name) if dice.random() < 0.5 else '"' + "".join(f"\\u{ord(each):04x}" for each in name) + '"'
    needle = spelled(random.Random(0), {name: victim[name]})
    doubled = json.dumps(objects, ensure_ascii=False).replace(
        "{" + json.dumps(name, ensure_ascii=False), "{" + again + ":0," + json.dumps(name, ensure_ascii=False), 1
    )
    if doubled == json.dumps(objects, ensure_ascii=False):
        assert needle
        return
    bad = doubled.encode()
    bad = bad[:1] + padding + bad[1:]
    assert repeats_in_list(bad, decode_objects(bad))


@pytest.mark.parametrize("seed", range(60))
def test_shorten_cuts_long_strings_and_nothing_else(seed: int) -> None:
    """The structure stays, and how long a string was is known, whatever quotes and backslashes are in it."""
    dice = random.Random(seed)
    pieces = ["A" * 9_000, 'q"', "b\\", "\\" * 101, "\\" * 5_000, "n\n", "é😀", "x" * 300]
    values = ["".join(dice.choice(pieces) for _ in range(dice.randint(0, 4))) for _ in range(dice.randint(1, 12))]
    objects = [{"type": "text", "text": value, "url": "data:," + value} for value in values]
    text = json.dumps(objects, ensure_ascii=dice.random() < 0.5).encode()
    short, sizes = shorten(text)
    again = json.loads(short)
    assert [set(each) for each in again] == [set(each) for each in objects]
    for was, now in zip(objects, again, strict=True):
        for name in ("text", "url"):
            raw = json.dumps(was[name], ensure_ascii=(not text.isascii() and False) or text.isascii()).encode()
            assert sizes.get(b'"%b"' % now[name].encode(), len(raw) - 2) == len(raw) - 2
            assert now[name] == was[name] or now[name][:5] in (was[name][:5], "~" + now[name][1:5])


def test_body_of_random_bytes_is_read_or_refused() -> None:
    """Arbitrary bytes, and bodies that were changed at random: an envelope or a plain refusal, never anything else."""
    dice = random.Random(14)
    seeds = [
        b'{"model":"a/b","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}',
        b'{"model":"a","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}],"n":2}',
        b'{"model":"a","messages":[1],"tools":[{"type":"function","function":{"name":"f"}}],"provider":{"order":["x"]}}',
        b'{"model":"a","messages":[1],"service_tier":"flex","modalities":["audio"],"audio":{"voice":"x"},"store":false}',
        '{"model":"a","messages":[{"role":"ü","content":"\\ud83d\\ude00 😀"}],"reasoning":{"effort":"low"}}'.encode(),
    ]
    marks = [
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"null",
        b"1e999",
        b"\xff",
        b"\x00",
        b"file_id",
        b'"a":1,',
    ]
    for _ in range(50_000):
        body = bytearray(dice.choice(seeds)) if dice.random() < 0.9 else bytearray(dice.randbytes(dice.randint(0, 60)))
        for _ in range(dice.randint(1, 5)):
            at = dice.randint(0, len(body))
            match dice.randint(0, 3):
                case 0:
                    body[at:at] = dice.choice(marks)
                case 1:
                    del body[at : at + dice.randint(1, 12)]
                case 2:
                    body[at : at + 1] = dice.randbytes(1)
                case _:
                    body[at:at] = body[at // 2 : at // 2 + dice.randint(1, 30)]
        with contextlib.suppress(Invalid):
            json.loads(b"".join(rewrite(read(bytes(body)), "m", cap=None, cap_field="as_sent", has_stream_options=True)))


@pytest.mark.parametrize("name", ["messages", "tools", "input", "contents", "logit_bias", "metadata"])
def test_member_that_may_have_many_values_has_them(name: str) -> None:
    """What is large by nature is not taken for a body of many members."""
    large = b"[" + b",".join([b"[1,2]"] * BESIDE_MAX) + b"]"
    bound(b'{"model":"m","%b":%b}' % (name.encode(), large), MEMBERS_MAX)


def words(count: int) -> str:
    return "a, b, " * (count // 2)


MANY = 2 * BESIDE_MAX
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": words(200),
        "parameters": {
            "type": "object",
            "properties": {f"p{at}": {"type": "string", "enum": list("abcdefgh")} for at in range(70)},
        },
    },
}
LEGITIMATE: dict[str, dict[str, Any]] = {
    "an agent's 200 tools": {"messages": [{"role": "user", "content": words(900)}] * 99, "tools": [TOOL] * 200},
    "a schema of Anthropic's": {"messages": [1], "output_config": {"format": {"schema": {"enum": list(range(MANY))}}}},
    "a prediction": {"messages": [1], "prediction": {"type": "content", "content": words(MANY)}},
    "token ids": {"messages": [1], "allowed_token_ids": list(range(MANY)), "logit_bias": {str(at): 1 for at in range(MANY)}},
    "300,000 tokens to embed": {"input": [[12_345] * 8_000] * 37 + [[12_345] * 4_000]},
    "Cohere's inputs": {"inputs": [{"content": [{"type": "text", "text": words(900)}]}] * 96},
    "a long query": {"query": words(MANY), "documents": [words(90)] * 900},
    "a text in a member that nobody knows": {
        "messages": [{"role": "user", "content": words(MANY)}],
        "guided_grammar": words(MANY),
    },
    "Gemini's conversation": {"contents": [{"parts": [{"text": "a"}]}] * MANY, "toolConfig": {"names": list(range(MANY))}},
}


@pytest.mark.parametrize("body", LEGITIMATE.values(), ids=LEGITIMATE)
def test_body_of_a_large_but_legitimate_request_is_within_bounds(body: dict[str, Any]) -> None:
    """Whatever surface it is for: nothing that a provider's reference allows is taken for an attack."""
    bound(json.dumps({"model": "m", **body}, separators=(",", ":")).encode(), MEMBERS_MAX)


def test_body_of_many_values_in_a_member_that_nobody_knows_is_refused() -> None:
    """Texts do not count, values do, also beside members that have as many."""
    body = {"model": "m", "messages": list(range(MANY)), "unknown": list(range(MANY)), "text": words(MANY)}
    with pytest.raises(Invalid, match=f"{BESIDE_MAX} values beside"):
        bound(json.dumps(body).encode(), MEMBERS_MAX)


def test_body_of_many_members_is_refused_before_it_is_decoded() -> None:
    """As a dictionary its members would take fifteen times what they are."""
    body = b'{"model":"m","messages":[],' + b",".join(b'"%x":0' % number for number in range(100_000)) + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match=f"more than {MEMBERS_MAX} members"):
            read(body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(body) / 2


def test_values_are_counted_slice_by_slice() -> None:
    """Whatever stands at the edge of a slice: a text that goes on, an escaped quote; and with little memory beside the body."""
    text = b'"' + b"{,[" * SLICE_BYTES + rb"\"," + b'"'
    body = b'{"messages":[' + b",".join([text] * 5) + b"]}"
    bound(body, MEMBERS_MAX)
    many = b'{"messages":[' + b",".join([b'{"type":"text","text":"a"}'] * 320_000) + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match=f"more than {VALUES_MAX} values"):
            bound(many, MEMBERS_MAX)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(many) / 2
