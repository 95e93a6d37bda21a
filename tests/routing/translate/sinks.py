"""Requests that say everything which a format has a word for, as far as one request can: the published members of its messages,
parts, tools and forms (November 2026; the packages are those of test_ledgers)."""

from typing import Any

SCHEMA: Any = {"type": "object", "properties": {"x": {"type": "string"}}}
PNG, PDF = "iVBORw0KGgo=", "JVBERi0="
MARK = {"type": "ephemeral", "ttl": "1h"}
CLAUDE, GOOGLE, OPENAI = "anthropic-claude-v1", "google-gemini-v1", "openai-responses-v1"


def details(format: str) -> list[Any]:
    return [
        {"type": "reasoning.summary", "summary": "so", "format": format, "index": 0, "id": "rs_0"},
        {"type": "reasoning.text", "text": "hm", "signature": "S", "format": format, "index": 1, "id": "rs_1"},
        {"type": "reasoning.encrypted", "data": "D", "format": format, "index": 2, "id": "rs_2"},
    ]


def _chat(format: str) -> dict[str, Any]:
    return {
        "messages": [
            {
                "role": "system",
                "name": "boss",
                "content": [{"type": "text", "text": "Be brief.", "cache_control": MARK, "prompt_cache_breakpoint": {"x": 1}}],
            },
            {"role": "developer", "content": "Be kind.", "cache_control": MARK},
            {
                "role": "user",
                "name": "bob",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": MARK},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"},
                        "cache_control": MARK,
                    },
                    {"type": "image_url", "image_url": {"url": "https://x.test/1.png", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}, "cache_control": MARK},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                        "cache_control": MARK,
                    },
                    {"type": "file", "file": {"file_id": "file-1"}},
                    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "so", "cache_control": MARK},
                    {"type": "refusal", "refusal": "no"},
                ],
                "refusal": "never",
                "audio": {"id": "audio_1"},
                "annotations": [{"type": "url_citation", "url_citation": {"url": "https://x.test", "title": "x"}}],
                "images": [{"type": "image_url", "image_url": {"url": "https://x.test/2.png"}}],
                "reasoning": "thought",
                "reasoning_details": details(format),
                "cache_control": MARK,
                "prefix": True,
                "function_call": {"name": "f", "arguments": "{}"},
                "tool_calls": [
                    {
                        "id": "c1",
                        "index": 0,
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"x":1}', "description": "d"},
                        "extra_content": {"google": {"thought_signature": "T"}},
                        "cache_control": MARK,
                    },
                    {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "x"}},
                ],
            },
            {
                "role": "tool",
                "tool_call_id": "c1",
                "name": "look",
                "is_error": True,
                "cache_control": MARK,
                "content": [{"type": "text", "text": "found", "cache_control": MARK}],
            },
            {"role": "assistant", "content": None, "reasoning_content": "thought more", "tool_calls": [
                {"id": "c3", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "c3", "content": "again"},
            {"role": "user", "content": "and?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "See.", "parameters": SCHEMA, "strict": True, "defer_loading": True},
                "cache_control": MARK,
                "eager": True,
            },
            {"type": "custom", "custom": {"name": "patch", "description": "d", "format": {"type": "text"}}},
            {"type": "web_search_preview", "search_context_size": "low"},
        ],
        "reasoning": {"effort": "high", "max_tokens": 2_000, "enabled": True, "summary": "detailed", "x": 1}
        | ({} if format == OPENAI else {"exclude": True}),
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "description": "An answer.", "schema": SCHEMA, "strict": True, "x": 1},
        },
        "max_tokens": 4_000,
    }  # fmt: skip


CHAT = {"messages": _chat(CLAUDE), "gemini": _chat(GOOGLE), "converse": _chat(CLAUDE), "responses": _chat(OPENAI)}
CHAT["cohere"] = _chat(CLAUDE)
"""By the format of the provider: the thoughts are those that it signed."""
CHAT_CHOICES: list[Any] = [
    {"type": "function", "function": {"name": "look", "x": 1}, "x": 1},
    {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "look"}}], "x": 1},
        "x": 1,
    },
]
MESSAGES: dict[str, Any] = {
    "max_tokens": 4_000,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK, "citations": [{"x": 1}]}],
    "messages": [
        {
            "role": "user",
            "x": 1,
            "content": [
                {"type": "text", "text": "hi", "cache_control": MARK, "citations": [{"x": 1}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, "cache_control": MARK},
                {"type": "image", "source": {"type": "url", "url": "https://x.test/1.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "f"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    "title": "a.pdf",
                    "context": "about a",
                    "citations": {"enabled": True},
                    "cache_control": MARK,
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                    "title": "b.txt",
                    "context": "about b",
                    "cache_control": MARK,
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "piece", "cache_control": MARK}]},
                    "title": "c.txt",
                    "context": "about c",
                    "cache_control": MARK,
                },
                {"type": "document", "source": {"type": "url", "url": "https://x.test/d.pdf"}, "title": "d.pdf"},
                {"type": "container_upload", "file_id": "f"},
                {
                    "type": "search_result",
                    "source": "https://x.test/e",
                    "title": "e",
                    "content": [{"type": "text", "text": "found e"}],
                    "citations": {"enabled": True},
                    "cache_control": MARK,
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "S", "x": 1},
                {"type": "redacted_thinking", "data": "D", "x": 1},
                {
                    "type": "text",
                    "text": "so",
                    "cache_control": MARK,
                    "citations": [{"type": "char_location", "cited_text": "w", "document_index": 0}],
                },
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]},
                {
                    "type": "tool_use",
                    "id": "t1",
                    "name": "look",
                    "input": {"x": 1},
                    "caller": {"type": "code_execution_20250825", "tool_id": "s1"},
                    "cache_control": MARK,
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "cache_control": MARK,
                    "content": [
                        {"type": "text", "text": "bad"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    ],
                },
            ],
        },
        {"role": "system", "content": "Now be quick."},
        {"role": "user", "content": "and?"},
    ],
    "tools": [
        {
            "type": "custom",
            "name": "look",
            "description": "Looks.",
            "input_schema": SCHEMA,
            "strict": True,
            "cache_control": MARK,
            "defer_loading": True,
            "eager_input_streaming": True,
            "input_examples": [{"x": "1"}],
            "allowed_callers": ["direct"],
        },
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
    "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True, "x": 1},
    "thinking": {"type": "enabled", "budget_tokens": 2_000, "display": "omitted", "x": 1},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA, "x": 1}, "task_budget": {"x": 1}},
    "metadata": {"user_id": "bob", "x": 1},
    "cache_control": MARK,
}
RESPONSES: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {
            "type": "message",
            "role": "user",
            "id": "msg_1",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "x"}},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high", "x": 1},
                {"type": "input_image", "file_id": "f"},
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}", "detail": "low"},
                {"type": "input_file", "filename": "b.pdf", "file_url": "https://x.test/b.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}, "x": 1},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "E"},
        {"type": "reasoning", "id": "rs_2", "content": [{"type": "reasoning_text", "text": "hm"}], "summary": [], "status": "x"},
        {
            "type": "message",
            "role": "assistant",
            "phase": "final_answer",
            "content": [
                {
                    "type": "output_text",
                    "text": "so",
                    "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
                    "logprobs": [{"token": "so"}],
                },
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "call_id": "c1",
            "name": "look",
            "arguments": '{"x":1}',
            "namespace": "eyes",
            "caller": {"type": "program"},
        },
        {"type": "function_call_output", "id": "o_1", "status": "completed", "call_id": "c1", "output": [
            {"type": "input_text", "text": "found"}, {"type": "input_image", "image_url": "https://x.test/1.png"},
        ]},
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "patch", "input": "x", "namespace": "hands"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
        {"type": "item_reference", "id": "x"},
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "more", "parameters": SCHEMA}]},
        {"role": "developer", "content": "Now be quick."},
    ],
    "tools": [
        {
            "type": "function",
            "name": "look",
            "description": "Looks.",
            "parameters": SCHEMA,
            "strict": True,
            "defer_loading": True,
        },
        {"type": "custom", "name": "patch", "description": "Patches.", "format": {
            "type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "namespace", "name": "eyes", "description": "Sees.", "tools": [
            {"type": "function", "name": "look", "description": "Sees.", "parameters": SCHEMA, "strict": True}]},
        {"type": "web_search", "search_context_size": "low", "external_web_access": False},
    ],
    "tool_choice": {"type": "function", "name": "look", "x": 1},
    "reasoning": {"effort": "high", "summary": "detailed", "context": "all", "mode": "standard", "generate_summary": "auto"},
    "text": {"verbosity": "low", "x": 1, "format": {
        "type": "json_schema", "name": "answer", "description": "An answer.", "schema": SCHEMA, "strict": True, "x": 1}},
    "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
    "max_output_tokens": 4_000,
}  # fmt: skip
GEMINI: dict[str, Any] = {
    "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "hi", "partMetadata": {"x": 1}},
                {"inlineData": {"mimeType": "image/png", "data": PNG, "displayName": "a.png"}, "mediaResolution": {"x": 1}},
                {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "b.pdf"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AAAA", "displayName": "c.wav"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/d.png", "displayName": "d.png"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x.test/e.mp4"}, "videoMetadata": {"fps": 1}},
                {"executableCode": {"language": "PYTHON", "code": "1"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "U0lH"},
                {"text": "so"},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"functionCall": {"id": "c1", "name": "look", "args": {"x": 1}, "partialArgs": [1]}, "thoughtSignature": "VEg="},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {
                    "id": "c1", "name": "look", "response": {"output": "found"}, "scheduling": "SILENT", "willContinue": True,
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
                }},
                {"text": "and?"},
            ],
        },
    ],
    "tools": [
        {"functionDeclarations": [
            {
                "name": "look",
                "description": "Looks.",
                "parameters": {
                    "type": "OBJECT", "nullable": True, "propertyOrdering": ["b", "a"], "example": {"a": 1},
                    "properties": {"a": {"type": "STRING", "maxLength": "5"}, "b": {"type": "INTEGER", "format": "int32"}},
                },
                "response": {"type": "OBJECT"},
                "behavior": "BLOCKING",
            },
            {"name": "see", "parametersJsonSchema": SCHEMA, "responseJsonSchema": SCHEMA},
        ]},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"], "streamFunctionCallArguments": True},
        "retrievalConfig": {"languageCode": "de"},
    },
    "generationConfig": {
        "maxOutputTokens": 4_000,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}},
        "thinkingConfig": {"thinkingLevel": "HIGH", "thinkingBudget": 2_000, "includeThoughts": True, "x": 1},
    },
}  # fmt: skip
COHERE: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "x": 1}]},
        {
            "role": "user",
            "x": 1,
            "content": [
                {"type": "text", "text": "hi", "x": 1},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high", "x": 1}, "x": 1},
                {"type": "document", "document": {"id": "d1", "data": {"text": "It rains."}, "x": 1}},
            ],
        },
        {
            "role": "assistant",
            "tool_plan": "I look.",
            "content": [{"type": "thinking", "thinking": "hm", "x": 1}, {"type": "text", "text": "so", "x": 1}],
            "citations": [{"start": 0, "end": 1, "text": "s"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}', "x": 1}, "x": 1}
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "document", "document": {"id": "r1", "data": "found"}}, {"type": "text", "text": "more"}],
        },
        {"role": "user", "content": "and?"},
    ],
    "documents": ["Words.", {"id": "d2", "data": {"text": "Sun.", "title": "t"}, "x": 1}],
    "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA, "x": 1}, "x": 1}],
    "tool_choice": "REQUIRED",
    "response_format": {"type": "json_object", "json_schema": SCHEMA, "x": 1},
    "thinking": {"type": "enabled", "token_budget": 2_000, "x": 1},
    "max_tokens": 4_000,
}
