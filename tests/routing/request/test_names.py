"""Names that some reader takes for one that decides: every spelling is refused and named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.request.envelope import Invalid, read
from routing.request.names import DECIDING, IN_PROMPT, check_name, fold

TOP = [
    ("Model", "model"),
    ("MODEL", "model"),
    ("mOdel", "model"),
    ("ｍodel", "model"),
    ("model\u0000", "model"),
    ("model\u200b", "model"),
    ("Max_Tokens", "max_tokens"),
    ("max_to\u212aens", "max_tokens"),
    ("maxTokens", "max_tokens"),
    ("max-tokens", "max_tokens"),
    ("MaxCompletionTokens", "max_completion_tokens"),
    ("\u017ftream", "stream"),
    ("STREAM", "stream"),
    ("stop ", "stop"),
    ("N", "n"),
    ("Messages", "messages"),
    ("me\u017f\u017fages", "messages"),
    ("Tools", "tools"),
    ("Service_Tier", "service_tier"),
    ("serviceTier", "service_tier"),
    ("\u017fervice_tier", "service_tier"),
    ("Store", "store"),
    ("Stream_Options", "stream_options"),
    ("streamOptions", "stream_options"),
    ("Models", "models"),
    ("Provider", "provider"),
    ("Web_Search_Options", "web_search_options"),
    ("webSearchOptions", "web_search_options"),
    ("Previous_Response_Id", "previous_response_id"),
    ("prev\u0131ous_response_id", "previous_response_id"),
    ("PREV\u0130OUS_RESPONSE_ID", "previous_response_id"),
    ("Modalities", "modalities"),
    ("Max_Output_Tokens", "max_output_tokens"),
    ("nPredict", "n_predict"),
    ("Plugins", "plugins"),
]


@pytest.mark.parametrize(("name", "meant"), TOP)
def test_member_that_is_read_as_one_that_decides(name: str, meant: str) -> None:
    """Go, Java and .NET match names whatever their case, Go's newer package and protobuf also without underscores."""
    for body in (
        {"model": "a/b", "messages": [1], name: "x"},
        {name: "x", "model": "a/b", "messages": [1]},
    ):
        for text in (json.dumps(body), json.dumps(body, ensure_ascii=False)):
            with pytest.raises(Invalid) as caught:
                read(text.encode())
            assert caught.value.code == "ambiguous_member"
            assert f"'{meant}'" in caught.value.message


@pytest.mark.parametrize(
    "messages",
    [
        '[{"role":"user","Content":[{"type":"file","file":{"file_id":"f"}}]}]',
        '[{"Role":"user","content":"x"}]',
        '[{"role":"user","content":[{"type":"file","file":{"File_Id":"f"}}]}]',
        '[{"role":"user","content":[{"type":"file","file":{"fileId":"f"}}]}]',
        '[{"role":"user","content":[{"type":"file","File":{"file_id":"f"}}]}]',
        '[{"role":"user","content":[{"type":"image_url","Image_URL":{"url":"http://x"}}]}]',
        '[{"role":"user","content":[{"type":"image_url","image_url":{"URL":"http://x"}}]}]',
        '[{"role":"user","content":[{"type":"text","text":"x","Cache_Control":{"ttl":"1h"}}]}]',
        '[{"role":"assistant","Audio":{"id":"a"}}]',
        '[{"role":"user","content":[{"type":"file","\\u0046ile":{"file_id":"f"}}]}]',
    ],
)
def test_member_of_a_message_that_is_read_as_one_that_decides(messages: str) -> None:
    """The same within messages, where files, links and caches are named."""
    with pytest.raises(Invalid) as caught:
        read(b'{"model":"a/b","messages":%b}' % messages.encode())
    assert caught.value.code == "ambiguous_member"
    assert (caught.value.param or "").startswith("messages.")


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":[1],"stream":true,"stream_options":{"Include_Usage":false}}',
        '{"model":"m","messages":[1],"tools":[{"Type":"web_search","type":"function","function":{}}]}',
        '{"model":"m","messages":[1],"extra_body":{"google":{"cachedContent":"x"}}}',
    ],
)
def test_member_of_an_option_that_is_read_as_one_that_decides(body: str) -> None:
    """And within the options."""
    with pytest.raises(Invalid) as caught:
        read(body.encode())
    assert caught.value.code == "ambiguous_member"


@pytest.mark.parametrize(
    "messages",
    [
        '[{"role":"user","content":"hi","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]',
        '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}],"content":"hi"}]',
        '[ {"role" : "user", "content": [ {"type":"text"} ] , "content" : "hi" } ]',
        '[{"role":"user","content":[{"type":"file","file":{"file_id":"x"},"file":null}]}]',
        '[{"role":"user","content":[{"type":"file","file":{"file_id":"x","file_id":null}}]}]',
        '[{"role":"user","content":[{"type":"file","file":{"file_id":"x","\\u0066ile_id":null}}]}]',
        '[{"role":"user","content":"' + "x" * 9_000 + '","content":"y"}]',
        '[{"role":"user","content":"' + "x" * 9_000 + '", "content":"' + "y" * 9_000 + '"}]',
    ],
)
def test_member_that_stands_twice_in_a_message(messages: str) -> None:
    """Some readers take the first, some the last: nothing can hide behind the other."""
    with pytest.raises(Invalid, match="twice") as caught:
        read(b'{"model":"m","messages":%b}' % messages.encode())
    assert caught.value.code == "ambiguous_member"


def test_member_of_a_tools_own_arguments_may_have_any_name() -> None:
    """What a model called a tool with is the tool's affair, and only text for the next turn."""
    part = '{"type":"tool_use","id":"t","name":"f","input":{"URL":"http://x","Role":"a","Content":[{"File_Id":1}]}}'
    envelope = read(b'{"model":"m","messages":[{"role":"assistant","content":[%b]}]}' % part.encode())
    assert (envelope.remote_images, envelope.remote_others, envelope.options) == (0, 0, None)


@pytest.mark.parametrize("name", sorted(DECIDING))
def test_name_that_decides_is_itself(name: str) -> None:
    """What is written as it should be is never refused as a spelling of something."""
    check_name(name)


@pytest.mark.parametrize("name", ["top_k", "modelx", "my_model", "streams", "user", "x", "", "_", "metadata", "mod", "ns"])
def test_name_that_is_another_passes(name: str) -> None:
    """Only a name that becomes one that decides is refused."""
    check_name(name)
    check_name(name, in_prompt="messages")


@given(st.sampled_from(sorted(DECIDING | IN_PROMPT)), st.data())
def test_fold_of_any_case_is_the_name(name: str, data: st.DataObject) -> None:
    """Whatever letters are large, and whichever are their Unicode twins."""
    twins = {"s": "s S ſ", "k": "k K K", "i": "i I ı İ"}
    text = "".join(data.draw(st.sampled_from(twins.get(each, f"{each} {each.upper()}").split())) for each in name)
    assert fold(text) == fold(name)
