"""What translated answers do not carry: member by member of what providers were recorded to send (docs/translation.md).

Form: members of an event stand behind the event's kind and a slash, a kind in brackets is that of the object. A member without a
kind of event is meant in every event and in whole answers; what is below a member is meant with it; `*` is any text.
"""

from typing import Final, NamedTuple

from routing.translate import Format

IN_CALLERS_WORDS: Final[dict[Format, str]] = {
    "chat": "id object created model service_tier choices[].finish_reason choices[].message.role choices[].delta.role",
    "messages": (
        "id model role stop_reason usage.service_tier message[message].id message[message].model message[message].role "
        "message[message].usage.service_tier delta.stop_reason index"
    ),
    "responses": (
        "id object created_at model status service_tier output[*].id output[*].status output[*].role item[*].id item[*].status "
        "item[*].role item_id sequence_number output_index annotation_index"
    ),
    "gemini": (
        "candidates[].content.role candidates[].content.parts[].thought candidates[].finishReason modelVersion responseId "
        "createTime"
    ),
    "converse": (
        "messageStart.role contentBlockStart.contentBlockIndex contentBlockDelta.contentBlockIndex "
        "contentBlockStop.contentBlockIndex messageStop.stopReason stopReason output.message.role"
    ),
    "cohere": "message-start/id delta.message.role index delta.finish_reason",
}
"""Told, but not as the provider wrote it: ids and times that are ours, names, roles, reasons of the end, places in an answer."""


class Loss(NamedTuple):
    """`members`: separated by spaces. `callers`: of which formats; all when empty."""

    provider: Format
    members: str
    why: str
    callers: tuple[Format, ...] = ()


_UNPLACED: Final = "Cohere's answers have no place for it"
LOSSES: Final = (
    Loss("chat", "citations", "Anthropic's citations need an index that only Anthropic can write", ("messages",)),
    Loss("chat", "prompt_filter_results choices[].content_filter_results", "Azure's classes of content"),
    Loss("chat", "usage.queue_time usage.prompt_time usage.completion_time usage.total_time x_groq", "Groq's own figures"),
    Loss("chat", "usage.cost_in_usd_ticks", "what xAI charges the operator; `cost` is what the caller pays"),
    Loss("chat", "system_fingerprint obfuscation", "of the provider's own servers, and padding"),
    Loss("chat", "usage.completion_tokens_details.reasoning_tokens", _UNPLACED, ("cohere",)),
    Loss("chat", "usage.completion_tokens", "xAI counts thoughts beside it; the sum is told", ("cohere",)),
    Loss("chat", "service_tier", _UNPLACED, ("cohere",)),
    Loss(
        "messages",
        "message[message].usage.input_tokens message[message].usage.output_tokens",
        "the counts of the end replace those of the beginning",
    ),
    Loss("messages", "usage.inference_geo message[message].usage.inference_geo", "where it was computed"),
    Loss(
        "messages",
        "stop_details[refusal].recommended_model delta.stop_details[refusal].recommended_model",
        "of a refusal the explanation is told",
    ),
    Loss(
        "messages",
        "content_block[server_tool_use] content_block[web_search_tool_result] content_block_delta(server_tool_use)/delta",
        "what a search of Anthropic's looked for and found; the pages that are quoted are told",
    ),
    Loss(
        "messages",
        "delta[citations_delta].citation[web_search_result_location].cited_text "
        "delta[citations_delta].citation[web_search_result_location].encrypted_index",
        "of a page its address and title are told",
    ),
    Loss("messages", "content[thinking].signature delta[signature_delta].signature", _UNPLACED, ("cohere",)),
    Loss("messages", "usage.server_tool_use.web_search_requests", "no place for it; it is charged", ("gemini", "cohere")),
    Loss("messages", "usage.service_tier message[message].usage.service_tier", _UNPLACED, ("cohere",)),
    Loss(
        "responses",
        "parallel_tool_calls reasoning.effort reasoning.summary store temperature text.verbosity tool_choice tools top_p "
        "truncation",
        "what the request said, said again",
    ),
    Loss("responses", "obfuscation", "padding"),
    Loss("responses", "billing.payer", "of the operator's account"),
    Loss("responses", "item[message].phase output[message].phase", "no other format tells comments from answers"),
    Loss(
        "responses",
        "item[web_search_call].action output[web_search_call].action",
        "what a search of OpenAI's looked for and found; the pages that are quoted are told",
    ),
    Loss(
        "responses",
        "response.output_item.added/item[reasoning].encrypted_content response/output[reasoning].encrypted_content",
        "told as it stands in the finished item",
    ),
    Loss(
        "responses",
        "response.output_item.done/item[reasoning].encrypted_content output[reasoning].encrypted_content",
        _UNPLACED,
        ("cohere",),
    ),
    Loss("responses", "*[url_citation]", "Anthropic's citations need an index that only Anthropic can write", ("messages",)),
    Loss("responses", "*[url_citation].start_index *[url_citation].end_index", "Google's count bytes", ("gemini",)),
    Loss("responses", "usage.output_tokens_details.reasoning_tokens service_tier", _UNPLACED, ("cohere",)),
    Loss("gemini", "candidates[].finishMessage", "told where an answer was withheld"),
    Loss(
        "gemini",
        "candidates[].content.parts[].functionCall.partialArgs candidates[].content.parts[].functionCall.willContinue",
        "arguments in pieces come to those who ask for them, and no translated request does",
    ),
    Loss("gemini", "usageMetadata.promptTokensDetails usageMetadata.candidatesTokensDetails", "which kinds the tokens are of"),
    Loss("gemini", "usageMetadata.trafficType", "how the operator pays Google"),
    Loss("gemini", "candidates[].content.parts[].thoughtSignature", _UNPLACED, ("cohere",)),
    Loss(
        "gemini",
        "usageMetadata.candidatesTokenCount usageMetadata.thoughtsTokenCount",
        "only their sum has a place",
        ("cohere",),
    ),
    Loss("converse", "metrics.latencyMs metadata.metrics.latencyMs", "how long Bedrock took"),
    Loss("converse", "contentBlockDelta.delta.reasoningContent.signature", _UNPLACED, ("cohere",)),
    Loss("cohere", "delta.usage.tokens delta.usage.cached_tokens", "what Cohere adds to a prompt itself, and does not bill"),
)


def table() -> str:
    """As docs/translation.md shows it."""
    rows = ["| provider | not carried | to callers of | why |", "|---|---|---|---|"]
    for loss in LOSSES:
        members = " ".join(f"`{member}`" for member in loss.members.split())
        rows.append(f"| {loss.provider} | {members} | {', '.join(loss.callers) or 'any other format'} | {loss.why} |")
    return "\n".join(rows) + "\n"
