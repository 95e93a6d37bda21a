"""Every published name of a request's member has a rule in every pair that may meet it: nothing can be dropped in silence.

The names are copied from the packages that publish them (November 2026). When a provider publishes a new one, it is added here,
and the pairs that have no rule for it fail.
"""

import json

import pytest

from routing.request.invalid import Invalid
from routing.translate import Target, downstream_pair
from routing.translate.chat_on_cohere.parameters import LEDGER as COHERE
from routing.translate.chat_on_converse.parameters import LEDGER as CONVERSE
from routing.translate.chat_on_gemini.parameters import LEDGER as GEMINI
from routing.translate.chat_on_messages.parameters import LEDGER as MESSAGES
from routing.translate.chat_on_responses.parameters import LEDGER as RESPONSES
from routing.translate.cohere_on_chat.parameters import LEDGER as FROM_COHERE
from routing.translate.gemini_on_chat.parameters import CONFIG as FROM_GEMINI_CONFIG
from routing.translate.gemini_on_chat.parameters import LEDGER as FROM_GEMINI
from routing.translate.gemini_on_chat.parameters import SAME as FROM_GEMINI_SAME
from routing.translate.ledger import Ledger
from routing.translate.messages_on_chat.parameters import LEDGER as FROM_MESSAGES
from routing.translate.responses_on_chat.parameters import LEDGER as FROM_RESPONSES
from tests.routing.translate.test_requests import upward

CHAT = {
    "openai 3.54.0, types/chat/completion_create_params.py": (
        "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
        "messages metadata modalities model moderation n parallel_tool_calls prediction presence_penalty "
        "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format "
        "safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools "
        "top_logprobs top_p user verbosity web_search_options "
    ),
    "openrouter 1.3, components.ChatRequest": (
        "cache_control debug deferred_tools frequency_penalty image_config logit_bias logprobs "
        "max_completion_tokens max_tokens messages metadata min_p modalities model models parallel_tool_calls "
        "plugins prediction presence_penalty prompt_cache_key prompt_cache_options provider reasoning "
        "reasoning_effort repetition_penalty response_format seed service_tier session_id stop "
        "stop_server_tools_when stream stream_options temperature tool_choice tools top_a top_k top_logprobs top_p "
        "trace user "
    ),
}
MESSAGES_NAMES = {
    "anthropic 2.14.0, types/message_create_params.py": (
        "cache_control container diagnostics inference_geo max_tokens messages metadata model output_config "
        "service_tier speed stop_sequences stream system thinking tool_choice tools user_profile_id workspace_id "
    ),
    "anthropic 2.14.0, types/beta/message_create_params.py": (
        "betas billing_policy compaction context_management fallback_credit_token fallbacks mcp_servers thread "
    ),
    "anthropic-version 2023-06-01, the reference of its members": "temperature top_p top_k output_format",
    "openrouter 1.3, components.MessagesRequest": (
        "cache_control context_management deferred_tools fallbacks max_tokens messages metadata model models "
        "output_config plugins provider safeguards service_tier session_id speed stop_sequences "
        "stop_server_tools_when stream system temperature thinking tool_choice tools top_k top_p trace user "
    ),
}
RESPONSES_NAMES = {
    "openai 3.54.0, types/responses/response_create_params.py": (
        "access_programs background background_options context_management conversation image include input "
        "instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls "
        "previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning "
        "safety_identifier service_tier store stream stream_options temperature text tool_choice tools "
        "top_logprobs top_p truncation user "
    ),
    "openrouter 1.3, components.ResponsesRequest": (
        "background cache_control debug deferred_tools frequency_penalty image_config include input instructions "
        "max_output_tokens max_tool_calls metadata modalities model models parallel_tool_calls plugins "
        "presence_penalty previous_response_id prompt prompt_cache_key prompt_cache_options provider reasoning "
        "safety_identifier service_tier session_id stop stop_server_tools_when stream store temperature text "
        "tool_choice tools top_k top_logprobs top_p trace truncation user "
    ),
    "Codex CLI 0.169, as it calls": "client_metadata",
}
GEMINI_NAMES = {
    "google-genai 3.6.1, models._GenerateContentConfig_to_mldev": (
        "contents systemInstruction safetySettings tools toolConfig labels cachedContent serviceTier continuationToken store "
        "generationConfig modelArmorConfig "
    )
}
COHERE_NAMES = {
    "cohere 7.3.1, v2/client.py": (
        "model messages stream tools strict_tools documents citation_options response_format safety_mode max_tokens "
        "stop_sequences temperature seed frequency_penalty presence_penalty k p logprobs tool_choice thinking priority "
    )
}
GEMINI_CONFIG_NAMES = (
    "audioTimestamp audioTranscriptionConfig candidateCount enableAffectiveDialog enableEnhancedCivicAnswers frequencyPenalty "
    "imageConfig logprobs maxOutputTokens mediaResolution modelSelectionConfig presencePenalty responseFormat responseJsonSchema "
    "responseLogprobs responseMimeType responseModalities responseSchema routingConfig seed speechConfig stopSequences "
    "temperature thinkingConfig topK topP translationConfig"
)
"""google-genai 3.6.1, types.GenerationConfig, by their names on the wire."""
ALL: dict[str, Ledger] = {
    "chat_on_messages": MESSAGES,
    "chat_on_gemini": GEMINI,
    "chat_on_converse": CONVERSE,
    "chat_on_responses": RESPONSES,
    "chat_on_cohere": COHERE,
    "messages_on_chat": FROM_MESSAGES,
    "responses_on_chat": FROM_RESPONSES,
    "gemini_on_chat": FROM_GEMINI,
    "cohere_on_chat": FROM_COHERE,
}
PUBLISHED = {
    "messages_on_chat": MESSAGES_NAMES,
    "responses_on_chat": RESPONSES_NAMES,
    "gemini_on_chat": GEMINI_NAMES,
    "cohere_on_chat": COHERE_NAMES,
}
LEDGERS = [(pair, ledger, names) for pair, ledger in ALL.items() for names in PUBLISHED.get(pair, CHAT).values()]


@pytest.mark.parametrize(("pair", "ledger", "names"), LEDGERS)
def test_published_names_have_a_rule(pair: str, ledger: Ledger, names: str) -> None:
    """In every pair that may meet them."""
    assert [name for name in names.split() if name not in ledger] == []


def test_published_names_of_a_gemini_configuration_have_a_rule() -> None:
    """They stand one level deeper."""
    assert [name for name in GEMINI_CONFIG_NAMES.split() if name not in FROM_GEMINI_CONFIG and name not in FROM_GEMINI_SAME] == []


@pytest.mark.parametrize("format", ["messages", "gemini", "converse", "responses", "cohere"])
def test_name_without_a_rule_is_refused(format: str) -> None:
    """Never dropped: the caller is told its path."""
    with pytest.raises(Invalid) as caught:
        upward(format, {"brand_new": {"x": 1}})
    assert (caught.value.param, caught.value.code) == ("brand_new", "unsupported_parameter")


def test_null_says_nothing() -> None:
    """In every ledger, for known names and unknown ones."""
    for names, format in ((MESSAGES_NAMES, "messages"), (RESPONSES_NAMES, "responses")):
        pair = downstream_pair(format)
        assert pair is not None
        nulls = {name: None for each in names.values() for name in each.split()} | {"brand_new": None}
        body = {**nulls, "model": "x", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
        if format == "messages":
            body.pop("input")
        else:
            body.pop("messages")
        assert pair.request(json.dumps(body).encode(), Target("p", "m")).ignored == ()
