"""The request as it is read, and as it is rebuilt for a provider."""

import json

import pytest

from routing.request.body import JOIN_BYTES_MAX, rewrite
from routing.request.envelope import MEMBERS_MAX, Envelope, Invalid, answered_by, read
from routing.request.prompt import MEDIA_PARTS_MAX

PLAIN = {"model": "openai/gpt", "messages": [{"role": "user", "content": "hi"}]}


def body_of(**members: object) -> bytes:
    return json.dumps({**PLAIN, **members}).encode()


def remote(envelope: Envelope) -> tuple[int, int]:
    return (envelope.remote_images, envelope.remote_others)


def rebuilt(body: bytes, *, cap: int | None = None, cap_field: str = "as_sent", has_stream_options: bool = True) -> bytes:
    parts = rewrite(read(body), "gpt", cap=cap, cap_field=cap_field, has_stream_options=has_stream_options)
    return b"".join(parts)


def test_envelope_of_a_plain_request_has_the_defaults() -> None:
    """Nothing but model and messages is needed."""
    envelope = read(body_of())
    assert (envelope.model, envelope.stream, envelope.include_usage) == ("openai/gpt", False, False)
    assert (envelope.max_tokens, envelope.choices, *remote(envelope)) == (None, 1, 0, 0)
    assert envelope.bytes_total == len(body_of())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"stream_options": []}, "stream_options"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
    ],
)
def test_envelope_of_a_value_out_of_range_names_the_parameter(members: dict[str, object], param: str) -> None:
    """Each documented parameter is checked, and the error names it."""
    with pytest.raises(Invalid) as caught:
        read(body_of(**members))
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 0.5},
        {"stop": "x"},
        {"stop": ["a", "b", "c", "d"]},
        {"max_tokens": 1},
        {"temperature": None, "top_p": None, "max_tokens": None, "stop": None, "stream": None, "n": None, "stream_options": None},
    ],
)
def test_envelope_of_a_value_at_its_bound_is_read(members: dict[str, object]) -> None:
    """The bounds themselves and null are fine."""
    read(body_of(**members))


@pytest.mark.parametrize("name", ["model", "messages"])
def test_envelope_without_a_required_member_names_it(name: str) -> None:
    """What is missing is said."""
    with pytest.raises(Invalid) as caught:
        read(json.dumps({key: value for key, value in PLAIN.items() if key != name}).encode())
    assert (caught.value.param, caught.value.code) == (name, "missing_required_parameter")


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b'{"a":}', b'{"a":"\xff"}', b"[" * 100_000, b'{"a":' + b"[" * 100_000])
def test_envelope_of_something_else_than_an_object_is_invalid(body: bytes) -> None:
    """Whatever is no JSON object is a plain error, never an exception of the parser's."""
    with pytest.raises(Invalid) as caught:
        read(body)
    assert caught.value.param is None


def test_envelope_takes_the_smaller_of_two_caps() -> None:
    """Both names of the cap may be sent; the smaller one bounds the cost."""
    assert read(body_of(max_tokens=50, max_completion_tokens=20)).max_tokens == 20


def test_rewrite_of_a_repeated_model_sends_the_one_that_was_read() -> None:
    """A second `model` cannot price one model and call another."""
    body = b'{"model":"cheap/x","messages":[1],"model":"dear/y"}'
    assert read(body).model == "dear/y"
    assert json.loads(rebuilt(body)) == {"model": "gpt", "messages": [1]}
    assert rebuilt(body).count(b'"model"') == 1


def test_rewrite_keeps_the_raw_bytes_of_everything_else() -> None:
    """Values pass as they were written: number forms, escapes, white space inside."""
    body = b'{"model":"a/b", "messages" : [ {"role":"user","content":"\\u00fc \xc3\xbc"} ] ,"seed":1.50e3}'
    assert rebuilt(body) == b'{"model":"gpt","messages":[ {"role":"user","content":"\\u00fc \xc3\xbc"} ],"seed":1.50e3}'


def test_rewrite_of_a_stream_asks_for_usage_and_keeps_other_options() -> None:
    """Usage is always asked for; what else the caller wished in stream_options stays."""
    sent = json.loads(rebuilt(body_of(stream=True, stream_options={"include_obfuscation": False})))
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert json.loads(rebuilt(body_of(stream=True)))["stream_options"] == {"include_usage": True}
    assert json.loads(rebuilt(body_of(stream=True, stream_options=None)))["stream_options"] == {"include_usage": True}


def test_rewrite_for_a_provider_without_stream_options_drops_them() -> None:
    """A provider that refuses the member never sees it."""
    body = body_of(stream=True, stream_options={"include_usage": True})
    assert "stream_options" not in json.loads(rebuilt(body, has_stream_options=False))
    assert "stream_options" not in json.loads(rebuilt(body_of(stream_options={"include_usage": True})))


@pytest.mark.parametrize(
    ("members", "cap", "field", "expected"),
    [
        ({}, None, "as_sent", {}),
        ({}, 9, "as_sent", {"max_tokens": 9}),
        ({}, 9, "max_completion_tokens", {"max_completion_tokens": 9}),
        ({"max_tokens": 5}, 9, "max_completion_tokens", {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 5}, None, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 7, "max_completion_tokens": 5}, None, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 7}, None, "max_tokens", {"max_tokens": 7}),
        ({"max_tokens": None}, 9, "max_completion_tokens", {"max_completion_tokens": 9}),
        ({"max_tokens": None}, 9, "as_sent", {"max_tokens": 9}),
    ],
)
def test_rewrite_puts_the_cap_where_the_provider_wants_it(
    members: dict[str, object], cap: int | None, field: str, expected: dict[str, int]
) -> None:
    """Caps move to the provider's field; ours is only put in where the caller has none."""
    sent = json.loads(rebuilt(body_of(**members), cap=cap, cap_field=field))
    assert {name: value for name, value in sent.items() if name.startswith("max_")} == expected


def test_rewrite_twice_gives_the_same() -> None:
    """A retry calls it again."""
    envelope = read(body_of(stream=True, max_tokens=3))
    once = rewrite(envelope, "gpt", cap=None, cap_field="max_completion_tokens", has_stream_options=True)
    assert once == rewrite(envelope, "gpt", cap=None, cap_field="max_completion_tokens", has_stream_options=True)


def test_rewrite_of_a_large_body_copies_no_part_of_it() -> None:
    """Above the bound the parts are views of the body that came in."""
    body = body_of(messages=[{"role": "user", "content": "x" * JOIN_BYTES_MAX}])
    parts = rewrite(read(body), "gpt", cap=None, cap_field="as_sent", has_stream_options=True)
    views = [part for part in parts if isinstance(part, memoryview)]
    assert [view.obj is not None and len(view) > JOIN_BYTES_MAX for view in views] == [True]
    assert json.loads(b"".join(parts))["model"] == "gpt"


@pytest.mark.parametrize(
    ("content", "images", "others"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}], 1, 0),
        ([{"type": "image_url", "image_url": {"detail": "low", "url": "https://x/y.png"}}], 1, 0),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}], 0, 0),
        ([{"type": "file", "file": {"file_id": "file-1"}}, {"type": "image_url", "image_url": {"url": "http://x"}}], 1, 1),
        ([{"type": "image_url", "image_url": "https://x/y.png"}], 1, 0),
        ([{"type": "document_url", "document_url": "https://x/y.pdf"}], 0, 1),
        ([{"type": "document_url", "document_url": "data:application/pdf;base64,AAAA"}], 0, 0),
        ([{"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}], 1, 1),
        ([{"type": "image_url", "image_url": {"url": 'data:x","url":"http'}}, {"image_url": {"url": "http://x"}}], 1, 0),
        ("the word image_url alone", 0, 0),
        ('the text "url":"http://x" of an image_url', 0, 0),
    ],
)
def test_envelope_counts_the_media_whose_content_is_elsewhere(content: object, images: int, others: int) -> None:
    """What the body's bytes do not bound is known; what is no image is never taken for one."""
    assert remote(read(body_of(messages=[{"role": "user", "content": content}]))) == (images, others)


@pytest.mark.parametrize(
    "part",
    [
        rb'{"type":"image_url","image_url":{"\u0075rl":"https://x/y.png"}}',
        rb'{"type":"image\u005Furl","image\u005furl":"https://x/y.png"}',
        rb'{"type":"file","file":{"fi\u006c\u0065_id" : "file-1"}}',
    ],
)
def test_envelope_knows_a_media_part_whose_name_is_spelled_with_numbers(part: bytes) -> None:
    """Otherwise a linked image would be reserved for as the few bytes of its address."""
    assert sum(remote(read(b'{"model":"m","messages":[{"role":"user","content":[%b]}]}' % part))) == 1


def test_envelope_of_letters_spelled_with_numbers_in_a_text_has_no_media() -> None:
    """Only a name can name a medium."""
    body = rb'{"model":"m","messages":[{"role":"user","content":"\u0075rl, caf\u00e9"},{"role":"user","content":"\u0061"}]}'
    assert remote(read(body)) == (0, 0)


def test_envelope_refuses_more_media_than_can_be_counted() -> None:
    """A body of millions of empty parts must not hold up everybody else."""
    with pytest.raises(Invalid, match="4096 images") as caught:
        read(b'{"model":"m","messages":[{"role":"user","content":[%b{}]}]}' % (b'{"file_id":1},' * (MEDIA_PARTS_MAX + 1)))
    assert caught.value.param == "messages"


def test_envelope_tells_what_a_model_reads_from_what_it_looks_at() -> None:
    """The bytes of images and sounds are known one by one; those of a document are text; parameters are neither."""
    image, sound = "data:image/png;base64," + "A" * 5_000, "B" * 700
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": image}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "C" * 300}},
    ]
    messages, tools = [{"role": "user", "content": content}], [{"type": "function", "function": {"name": "f"}}]
    envelope = read(body_of(messages=messages, tools=tools, metadata={"a": "b" * 100}))
    assert envelope.inline_media == (len(image) - len("data:"), len(sound))
    assert envelope.prompt_bytes == len(json.dumps(messages)) + len(json.dumps(tools))


@pytest.mark.parametrize(
    ("members", "answered", "called"),
    [
        ({}, "x/other", "openai/gpt"),
        ({"provider": {"order": ["x"]}}, "x/other", "openai/gpt"),
        ({"models": ["x/other"]}, "x/other", "x/other"),
        ({"models": ["x/other"]}, "openai/gpt", "openai/gpt"),
    ],
)
def test_answer_of_a_model_to_fall_back_to_is_called_by_its_name(members: dict[str, object], answered: str, called: str) -> None:
    """Where the caller names the models, it reads which one answered; else the one that it asked for."""
    assert answered_by(read(body_of(**members)), answered).model == called


def test_body_of_too_many_members_is_refused() -> None:
    """A small one, too."""
    read(body_of(**{f"m{at}": 1 for at in range(MEMBERS_MAX - 2)}))
    with pytest.raises(Invalid, match=f"more than {MEMBERS_MAX} members"):
        read(body_of(**{f"m{at}": 1 for at in range(MEMBERS_MAX - 1)}))


@pytest.mark.parametrize(
    ("audio", "state"),
    [({"id": "audio_1"}, "messages[0].audio.id"), ({"id": None}, None), ({"data": "AAAA"}, None), ("audio_1", None)],
)
def test_sound_of_an_earlier_answer_is_kept_at_the_provider(audio: object, state: str | None) -> None:
    """OpenAI's `audio.id` refers to one under our key."""
    options = read(body_of(messages=[{"role": "assistant", "audio": audio}])).options
    assert (None if options is None else options.state) == state


def test_bounds_of_a_large_body_count_what_stands_outside_of_texts() -> None:
    """Texts with quotes, backslashes and commas in them are texts, however large."""
    text = 'a, \\, "b", [1,2,3], {' * 4_000
    assert read(body_of(messages=[{"role": "user", "content": text}], unknown=text)).bytes_total > 100_000
    few = body_of(messages=[{"role": "user", "content": "x" * 2_000_000}])
    assert read(few).model == "openai/gpt"
