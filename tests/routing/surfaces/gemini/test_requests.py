"""What a request in Google's format may not have, because it could be read in two ways."""

from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.surfaces import CallerRequest
from routing.surfaces.gemini import embeddings
from routing.surfaces.gemini.generate_content import read
from routing.surfaces.json_request import reported

CALL = CallerRequest("/v1beta/models/google/g:generateContent", [])
HI = '"contents":[{"parts":[{"text":"a: \\"b\\""}]}]'


@pytest.mark.parametrize(
    ("param", "members"),
    [
        ("generationConfig", HI + ',"generationConfig":{"maxOutputTokens":65536,"maxOutputTokens":1}'),
        ("generationConfig", HI + ',"generationConfig":{"candidateCount":8,"candidate\\u0043ount":1}'),
        ("tools", HI + ',"tools":[{"googleSearch":{},"functionDeclarations":[],"googleSearch":null}]'),
        ("contents", '"contents":[{"parts":[{"fileData":{"fileUri":"files/x","fileUri":"https://a.test/x"}}]}]'),
        ("contents", '"contents":[{"parts":[{"fileData":{"fileUri":"files/x"},"fileData":null}]}]'),
        ("systemInstruction", HI + ',"systemInstruction":{"parts":[{"text":"a"}],"parts":[]}'),
    ],
)
def test_member_that_stands_twice(param: str, members: str) -> None:
    """Some readers take the first, some the last: neither a cap nor a file can hide behind the other."""
    with pytest.raises(Invalid, match="twice") as caught:
        read(b"{%b}" % members.encode(), CALL)
    assert (caught.value.code, caught.value.param) == ("ambiguous_member", param)


def test_member_that_stands_twice_in_what_is_embedded() -> None:
    """The same of a content to make a vector of."""
    body = b'{"content":{"parts":[{"fileData":{"fileUri":"files/x"},"fileData":null}]}}'
    with pytest.raises(Invalid, match="twice"):
        embeddings.read(body, CallerRequest("/v1beta/models/google/e:embedContent", []))


def test_members_of_the_same_name_in_different_objects() -> None:
    """Nothing is twice there; colons and escapes in texts are no members."""
    members = HI + ',"generationConfig":{"maxOutputTokens":7,"thinkingConfig":{"thinkingBudget":1}}'
    envelope = read(b"{%b}" % members.encode(), CALL)
    assert envelope.max_tokens == 7


@pytest.mark.parametrize(
    ("reading", "action", "members"),
    [(read, "generateContent", HI), (embeddings.read, "embedContent", '"content":{"parts":[{"text":"a"}]}')],
)
def test_plugins_are_refused_or_reported_here_too(reading: Any, action: str, members: str) -> None:
    """OpenRouter's own member: what it would cost is not bought in silence, nor is what costs nothing left out in silence."""
    call = CallerRequest(f"/v1beta/models/google/g:{action}", [])
    with pytest.raises(Invalid) as caught:
        reading(b'{%b,"plugins":[{"id":"web"}]}' % members.encode(), call)
    assert (caught.value.code, caught.value.param) == ("unpriced_option", "plugins[0]")
    envelope = reading(b'{%b,"plugins":[{"id":"web","enabled":false},{"id":"response-healing"}]}' % members.encode(), call)
    assert reported(envelope) == ("plugins[1]",)
