"""The calls of a LangChain chat model, whoever made it."""

from collections.abc import Callable
from typing import Any

from harness import CITY, IMAGE, PROMPT, WEATHER, Given, run


def run_model(make: Callable[[Given], Any]) -> None:
    """`make` makes the chat model."""

    def usage_of(message: Any) -> list[int] | None:
        usage = message.usage_metadata
        return usage and [usage["input_tokens"], usage["output_tokens"]]

    def plain(given: Given) -> dict[str, Any]:
        answer = make(given).invoke(PROMPT)
        return {"text": answer.text if isinstance(answer.text, str) else answer.text(), "usage": usage_of(answer)}

    def stream(given: Given) -> dict[str, Any]:
        whole: Any = None
        for chunk in make(given).stream(PROMPT):
            whole = chunk if whole is None else whole + chunk
            if chunk.content:
                given.deltas.append(chunk.content)
        finish = whole.response_metadata.get("finish_reason")
        return {"text": "".join(given.deltas), "usage": usage_of(whole), "finish": finish}

    def tools(given: Given) -> dict[str, Any]:
        (call,) = make(given).bind_tools([WEATHER]).invoke(PROMPT).tool_calls
        return {"tool": [call["name"], call["args"]]}

    def tools_stream(given: Given) -> dict[str, Any]:
        whole: Any = None
        for chunk in make(given).bind_tools([WEATHER]).stream(PROMPT):
            whole = chunk if whole is None else whole + chunk
        (call,) = whole.tool_calls
        return {"tool": [call["name"], call["args"]]}

    def schema(given: Given) -> dict[str, Any]:
        wanted = {"title": "City", "description": "A city.", **CITY}
        return {"object": make(given).with_structured_output(wanted, method="json_schema").invoke(PROMPT)}

    def image(given: Given) -> dict[str, Any]:
        parts = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE}}]
        return {"text": make(given).invoke([{"role": "user", "content": parts}]).content}

    def cancel(given: Given) -> dict[str, Any]:
        chunks = make(given).stream(PROMPT)
        for chunk in chunks:
            if chunk.content:
                chunks.close()
                return {"text": chunk.content}
        return {}

    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, cancel)})
