"""Rerank: documents in the order in which they answer a query; Cohere's shape (`/v2/rerank`, and OpenRouter's) and Jina's.

Rule: what is priced is what the answer names: search units (one for each query and up to 100 documents) or tokens. The most units
are known from the request: each 500 tokens of a document count as one document.
Rule: OpenRouter's clients read `results`, each with its `document`; one that the provider did not return is the request's.
Source: Cohere's, Jina's and Voyage's references; OpenRouter's openapi.yaml.
"""

from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import Raw

from routing.dialects.cohere import billed_in
from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, PositiveInt, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import read_options
from routing.rewrite.identity import Identity
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, checked, checks, is_there, missing, priced, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.no_stream import machine as machine
from routing.wire.members import REFUSED, decode_members, replace
from usage.flavor import Flavor
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "json"
DOCUMENTS_MAX: Final = 10_000
DOCUMENTS_PER_UNIT: Final = 100
CHUNK_BYTES: Final = 500
"""A document of more than 500 tokens counts as several; a token is at least a byte."""
_CHECKS: Final = checks(
    ("top_n", PositiveInt, "a whole number of at least 1"),
    ("top_k", PositiveInt, "a whole number of at least 1"),
    ("return_documents", bool, "true or false"),
)
_ORDINARY: Final = words(
    "model query documents top_n top_k return_documents max_tokens_per_doc max_chunks_per_doc rank_fields priority truncation"
)


class _Rank(msgspec.Struct, gc=False):
    index: int = -1


_decode_documents: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_rank: Final = msgspec.json.Decoder(_Rank).decode


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    checked(members, _CHECKS)
    if not is_there(members, "query"):
        raise missing("query", "the text to rank by")
    if not is_there(members, "documents"):
        raise missing("documents", "a list of at least one document")
    try:
        documents = _decode_documents(members["documents"])
    except (msgspec.DecodeError, RecursionError):
        raise Invalid("'documents' must be a list of texts or of objects with a text", "documents") from None
    if not 0 < len(documents) <= DOCUMENTS_MAX:
        raise Invalid(f"'documents' must have from 1 to {DOCUMENTS_MAX} entries", "documents")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    chunks = sum(-(-len(each) // CHUNK_BYTES) for each in documents)
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        # The query is read with each of the documents.
        bytes_total=len(body) + len(members["query"]) * (len(documents) - 1),
        choices=0,
        prompt_bytes=len(members["documents"]) + len(members["query"]) * len(documents),
        options=priced(options),
        preferences=preferences,
        pieces=Tokens(searches=-(-chunks // DOCUMENTS_PER_UNIT)),
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    completed = partial(_completed, envelope.members["documents"])
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope), completed)


def _completed(documents: Raw, body: bytes, identity: Identity) -> bytes:
    """The answer as the caller's flavour of it has it."""
    if identity.flavor is not Flavor.OPENROUTER:
        return body
    try:
        members = decode_members(body)
        given = _decode_documents(documents)
        ranks = _decode_documents(members["results" if "results" in members else "data"])
        results = b",".join([_with_document(bytes(rank), given) for rank in ranks])
    except REFUSED:
        return body
    return replace(body, members, {"results": Raw(b"[%b]" % results)})


def _with_document(rank: bytes, given: list[Raw]) -> bytes:
    members = decode_members(rank)
    document = bytes(members.get("document", b"null"))
    if document == b"null":
        index = _decode_rank(rank).index
        document = bytes(given[index]) if 0 <= index < len(given) else b'""'
    if document[:1] == b'"':
        document = b'{"text":%b}' % document
    return replace(rank, members, {"document": Raw(document)})


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "results", "data")
    billed = billed_in(members)
    usage = members.get("usage")
    observe(usage, meter)
    if billed is not None and isinstance(billed.search_units, int | float):
        meter.observe_pieces(searches=-int(-billed.search_units // 1))
    elif usage is not None:
        meter.observe_pieces(searches=0)
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
