"""Where a key is to be had: what was meant is said, what may be a key is never repeated."""

import pytest

from routing.table.problem import Wrong
from routing.table.reference import key_ref


@pytest.mark.parametrize("value", ["env:OPENAI_API_KEY", "env:_x", "file:/run/secrets/openai", "file:key", "file:C:\\keys\\a"])
def test_reference_is_taken_as_it_is(value: str) -> None:
    assert key_ref(value) == value


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("evn:OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("ENV:OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("env=OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("environ.OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("env:${OPENAI_API_KEY}", "env:OPENAI_API_KEY"),
        ("env:OPENAI-API-KEY", "env:OPENAI_API_KEY"),
        ("$HF_TOKEN", "env:HF_TOKEN"),
        ("path:/run/secrets/openai", "file:/run/secrets/openai"),
        ("/run/secrets/openai", "file:/run/secrets/openai"),
    ],
)
def test_reference_that_is_misspelt_is_guessed(value: str, meant: str) -> None:
    with pytest.raises(Wrong) as raised:
        key_ref(value)
    assert f'"{meant}"' in raised.value.hint


@pytest.mark.parametrize("prefix", ["", "env:", "ENV=", "key:", "file:~/", "'", " "])
def test_key_itself_is_never_repeated(prefix: str) -> None:
    """In none of the shapes that providers' keys have, whatever stands before it."""
    keys = (
        "sk-" + "proj-aB3dE5gH7jK9",
        "gsk-" + "Ab12Cd34Ef56",
        "AIzaSy" + "D-9tSrke72PouQMnMX",
        "ABCD-1234EFGH5678",
        "xai-" + "TOKEN9",
    )
    for key in keys:
        with pytest.raises(Wrong) as raised:
            key_ref(prefix + key)
        assert key not in raised.value.message + raised.value.hint
        assert key.upper().replace("-", "_") not in raised.value.message + raised.value.hint
