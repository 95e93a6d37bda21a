"""Signature Version 4 against AWS' own vectors."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge.providers.sigv4 import Credentials, Header, Signer, canonical_request, payload_hash, read_credentials

VECTORS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[2] / "corpora/aws-sigv4/vectors.json").read_text())
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW_S = 1_440_938_160.0
"""2015-08-30T12:36:00Z."""


def parsed(text: str) -> tuple[str, str, list[Header], bytes]:
    """(method, target, headers, body) of a request as the vectors write it."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = re.sub(r"\n[ \t]+", " ", head).split("\n")
    method, rest = first.split(" ", 1)
    headers = [(name, value) for name, _, value in (line.partition(":") for line in lines) if name]
    return method, rest.rpartition(" HTTP/")[0], headers, body.encode()


def canonical(vector: dict[str, Any]) -> tuple[str, str]:
    method, target, headers, body = parsed(vector["request"])
    hashed = payload_hash([body])
    headers.append(("X-Amz-Date", "20150830T123600Z"))
    if vector["sign_body"]:
        headers.append(("x-amz-content-sha256", hashed))
    if vector["token"] and not vector["omit_token"]:
        headers.append(("X-Amz-Security-Token", vector["token"]))
    return canonical_request(method, target, headers, hashed, normalize=vector["normalize"])


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_vector_of_aws(name: str) -> None:
    """The canonical request and the signature are AWS' own."""
    vector = VECTORS[name]
    request, signed = canonical(vector)
    assert request == vector["canonical"]
    said = Signer(CREDENTIALS, "us-east-1", "service").authorization(request, signed, NOW_S)
    assert said.endswith(f"Signature={vector['signature']}")
    assert said.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")


def test_headers_of_a_request() -> None:
    """What a request to Bedrock gets; another body, path, day or key has another signature."""
    signer = Signer(Credentials("id", "secret", "token"), "eu-central-1", "bedrock")
    target = "/model/anthropic.claude-sonnet-4-6-v1%3A0/converse"

    def signature(body: bytes = b"{}", path: str = target, now_s: float = NOW_S) -> str:
        added = dict(signer.headers("POST", "x.test", path, [body], now_s, [("content-type", "application/json")]))
        assert added["x-amz-security-token"] == "token"
        assert "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in added["authorization"]
        return added["authorization"].rpartition("=")[2]

    assert signature() == signature()
    assert len({signature(), signature(b"{} "), signature(path="/model/x/converse"), signature(now_s=NOW_S + 86_400)}) == 4
    request, _ = canonical_request("POST", target, [("host", "x.test")], "x")
    # Encoded twice: the colon of the model's id is %3A on the wire.
    assert "/model/anthropic.claude-sonnet-4-6-v1%253A0/converse" in request


@pytest.mark.parametrize("text", ["", "id", "id:", ":secret"])
def test_credentials_that_are_none(text: str) -> None:
    """The operator is told how they are written."""
    with pytest.raises(ValueError, match="KEY_ID:SECRET"):
        read_credentials(text)


def test_credentials_as_an_operator_writes_them() -> None:
    """With a session token or without."""
    assert read_credentials("id:se/cret\n") == Credentials("id", "se/cret")
    assert read_credentials("id:secret:to:ken") == Credentials("id", "secret", "to:ken")
