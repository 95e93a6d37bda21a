"""LiteLLM's `completion`, with the prefix that says whose API is spoken."""

import asyncio
from typing import Any

import litellm
from harness import CITY, IMAGE, PROMPT, WEATHER, Given, run

litellm.suppress_debug_info = True


def run_prefix(prefix: str) -> None:
    def ask(given: Given, **more: Any) -> Any:
        asked = {"messages": [{"role": "user", "content": PROMPT}], "num_retries": 0, "timeout": 20, **more}
        return litellm.completion(model=f"{prefix}/{given.model}", api_base=given.base_url, api_key=given.key, **asked)

    def plain(given: Given) -> dict[str, Any]:
        answer = ask(given, max_tokens=50)
        return {"text": answer.choices[0].message.content, "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens]}

    def stream(given: Given) -> dict[str, Any]:
        usage = None
        for chunk in ask(given, stream=True, stream_options={"include_usage": True}):
            usage = getattr(chunk, "usage", None) or usage
            given.deltas.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)
        return {"text": "".join(given.deltas), "usage": usage and [usage.prompt_tokens, usage.completion_tokens]}

    def tools(given: Given) -> dict[str, Any]:
        (call,) = ask(given, tools=[WEATHER]).choices[0].message.tool_calls
        return {"tool": [call.function.name, call.function.arguments]}

    def tools_stream(given: Given) -> dict[str, Any]:
        name, arguments = "", ""
        for chunk in ask(given, tools=[WEATHER], stream=True):
            for choice in chunk.choices:
                for call in choice.delta.tool_calls or ():
                    name += call.function.name or ""
                    arguments += call.function.arguments or ""
        return {"tool": [name, arguments]}

    def schema(given: Given) -> dict[str, Any]:
        import json

        wanted = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}
        return {"object": json.loads(ask(given, response_format=wanted).choices[0].message.content)}

    def image(given: Given) -> dict[str, Any]:
        parts = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE}}]
        return {"text": ask(given, messages=[{"role": "user", "content": parts}]).choices[0].message.content}

    def cancel(given: Given) -> dict[str, Any]:
        async def go() -> Any:
            asked = {"messages": [{"role": "user", "content": PROMPT}], "num_retries": 0, "timeout": 20, "stream": True}
            chunks = await litellm.acompletion(
                model=f"{prefix}/{given.model}", api_base=given.base_url, api_key=given.key, **asked
            )
            async for chunk in chunks:
                if chunk.choices[0].delta.content:
                    await chunks.aclose()
                    return chunk.choices[0].delta.content
            return None

        return {"text": asyncio.run(go())}

    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, cancel)})
