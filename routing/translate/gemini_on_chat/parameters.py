"""What becomes of the members of a Gemini request, and of its `generationConfig`, at a provider that speaks Chat.

Source: Google's reference of generateContent; the types of google-genai 3.6.
"""

from typing import Final

from routing.translate.ledger import Ledger, demand, demands, meaningless, offers, reads, same

_STATE: Final = "what is kept there would be kept under this proxy's key; leave it out"
LEDGER: Final[Ledger] = {
    **reads("model stream contents systemInstruction tools toolConfig generationConfig serviceTier"),
    **offers("safetySettings labels"),
    **demands("cachedContent continuationToken", _STATE),
    "store": demand(_STATE, b"false"),
    **same("provider models route plugins session_id trace user"),
    **meaningless("modelArmorConfig"),
}
CONFIG: Final[Ledger] = {
    **reads(
        "maxOutputTokens stopSequences candidateCount responseMimeType responseSchema responseJsonSchema responseLogprobs "
        "logprobs thinkingConfig responseModalities"
    ),
    **offers("mediaResolution audioTimestamp enableEnhancedCivicAnswers routingConfig modelSelectionConfig modelConfig"),
    **demands(
        "speechConfig imageConfig enableAffectiveDialog translationConfig audioTranscriptionConfig responseFormat", "leave it out"
    ),
}
SAME: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
"""Members of `generationConfig` that are the same under another name in Chat."""
PATHS: Final = {
    "messages": "contents",
    "tools": "tools",
    "tool_choice": "toolConfig.functionCallingConfig",
    "service_tier": "serviceTier",
    "max_tokens": "generationConfig.maxOutputTokens",
    "stop": "generationConfig.stopSequences",
    "response_format": "generationConfig.responseMimeType",
    "reasoning": "generationConfig.thinkingConfig",
    "reasoning.effort": "generationConfig.thinkingConfig.thinkingLevel",
    "reasoning.max_tokens": "generationConfig.thinkingConfig.thinkingBudget",
    "reasoning.exclude": "generationConfig.thinkingConfig.includeThoughts",
    **{there: f"generationConfig.{here}" for here, there in SAME.items()},
}
"""Where a caller said what stands at a path of the Chat request."""
