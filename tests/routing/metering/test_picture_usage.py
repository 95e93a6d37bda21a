"""A picture's usage for OpenRouter's clients: Chat's names beside the provider's."""

import pytest
from msgspec import Raw

from routing.metering.picture_usage import picture_usage


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (b'{"cost":1}', b'{"cost":1,"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}'),
        (
            b'{"input_tokens":3,"output_tokens":5,"total_tokens":8}',
            b'{"input_tokens":3,"output_tokens":5,"total_tokens":8,"prompt_tokens":3,"completion_tokens":5}',
        ),
        (b"null", b"null"),
        (b"[1]", b"[1]"),
    ],
)
def test_picture_usage_has_the_names_of_chat(usage: bytes, told: bytes) -> None:
    """What is there stays, digit by digit."""
    assert bytes(picture_usage(Raw(usage), 3, 5)) == told
