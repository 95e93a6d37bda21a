"""The names of a request's members that decide something, and what other spellings a provider may read as one of them.

Rule: what was read here is the only reading a provider can make. Go's encoding/json, Jackson and .NET can match names whatever
their case, by Unicode's folding (`ſ` is an s, the Kelvin sign a k); Go's newer package and protobuf's JSON also without their
underscores (`maxTokens`); a reader in C may end a name at a NUL. A name that becomes one that decides in any of these ways is
refused.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from routing.request.invalid import Invalid


def words(text: str) -> frozenset[str]:
    """Names, written one after another."""
    return frozenset(text.split())


STATE_IN_PROMPT: Final = words(
    "file_id file_ids file_uri cached_content container_id vector_store_id vector_store_ids item_reference"
)
"""Members of messages, tools and the like that refer to something kept under our key at the provider."""
STATE: Final = STATE_IN_PROMPT | words(
    "previous_response_id conversation conversation_id thread_id assistant_id prompt prompt_id container "
    "mcp_servers data_sources background skills"
)
"""The same at the top of a request."""

CAPS: Final = words("max_output_tokens max_new_tokens max_gen_toks num_predict n_predict max_length max_decode_tokens")
"""Other providers' names of the output cap: beside ours they would undo it."""
COUNTS: Final = words("best_of num_return_sequences num_generations candidate_count num_choices")
"""Other providers' names of the number of choices."""

DECIDING: Final = (
    words(
        "model messages stream stream_options include_usage max_tokens max_completion_tokens n temperature top_p stop "
        "store service_tier speed inference_geo tools functions response_format web_search_options search_parameters "
        "enable_search plugins prediction modalities audio cache_control prompt_cache_options prompt_cache_retention "
        "models provider route fallbacks preset usage reasoning extra_body transforms"
    )
    | STATE
    | CAPS
    | COUNTS
)
"""Of a request's top-level members."""
IN_PROMPT: Final = STATE_IN_PROMPT | words(
    "role content type image_url video_url document_url url input_audio audio data file file_data source "
    "cache_control ttl function tool_calls"
)
"""Of what stands inside messages and tools."""

_SEPARATORS: Final = re.compile(r"[\W_]+")


@lru_cache(4_096)
def fold(name: str) -> str:
    """What is left of a name for the most generous reader: no case, no accents, no separators."""
    text = unicodedata.normalize("NFKD", name.partition("\0")[0]).casefold().replace("ı", "i")
    text = "".join(letter for letter in text if unicodedata.category(letter)[0] not in "MC")
    return _SEPARATORS.sub("", text)


_FOLDED: Final = {fold(name): name for name in DECIDING}
_FOLDED_IN_PROMPT: Final = {fold(name): name for name in IN_PROMPT}
_FOLDED_STATE: Final = {fold(name): name for name in STATE_IN_PROMPT}


def check_name(name: str, *, in_prompt: str = "") -> None:
    """Invalid: `name`, which is none that decides, may be read as one. `in_prompt`: the member that it stands within."""
    _check(name, in_prompt, _FOLDED_IN_PROMPT if in_prompt else _FOLDED)


def check_state_name(name: str, within: str) -> None:
    """The same in a member that nobody here knows (a schema, say), where only what is kept at the provider matters."""
    _check(name, within, _FOLDED_STATE)


def _check(name: str, in_prompt: str, folded: dict[str, str]) -> None:
    if len(name) > 64:
        return
    meant = folded.get(fold(name))
    if meant is not None and meant != name:
        where = f" in '{in_prompt}'" if in_prompt else ""
        shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
        message = f"'{shown}'{where} is read as '{meant}' by some providers and by others not: write it as '{meant}'"
        raise Invalid(message, f"{in_prompt}.{shown}" if in_prompt else shown, "ambiguous_member")
