"""Ranks of documents as OpenRouter's clients read them: each with its document, whoever gave them."""

import json
from typing import Any

import pytest
from msgspec import Raw

from routing.rewrite.identity import Identity
from routing.surfaces.cohere.rerank import _completed
from usage.flavor import Flavor

DOCUMENTS = Raw(b'["a", {"text": "b", "title": "t"}]')
RANKS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
WITH: list[Any] = [RANKS[0] | {"document": {"text": "b", "title": "t"}}, RANKS[1] | {"document": {"text": "a"}}]


def completed(answer: Any, flavor: Flavor = Flavor.OPENROUTER) -> Any:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return json.loads(_completed(DOCUMENTS, body, Identity("gen-1", "a/b", flavor, "a")))


@pytest.mark.parametrize("member", ["results", "data"])
def test_ranks_have_the_documents_of_the_request(member: str) -> None:
    """Voyage calls them `data`; the results are there under OpenRouter's name."""
    assert completed({member: RANKS, "usage": {}})["results"] == WITH


def test_document_that_the_provider_returned_stays() -> None:
    """Texts alone (Voyage's) become objects with a text."""
    returned = [RANKS[0] | {"document": {"text": "theirs"}}, RANKS[1] | {"document": "plain"}]
    found = completed({"results": returned})["results"]
    assert [each["document"] for each in found] == [{"text": "theirs"}, {"text": "plain"}]


def test_ranks_for_other_callers_stay() -> None:
    assert completed({"results": RANKS}, Flavor.OPENAI) == {"results": RANKS}


@pytest.mark.parametrize("results", [None, 5, [5], [{"index": "x"}]])
def test_ranks_that_cannot_be_read_pass(results: Any) -> None:
    """What a provider says wrong is the caller's to see."""
    assert completed({"results": results}) == {"results": results}


def test_rank_of_no_document_has_an_empty_one() -> None:
    assert completed({"results": [{"index": 7}]})["results"] == [{"index": 7, "document": {"text": ""}}]
