"""OpenRouter's Python SDK."""

from typing import Any

from harness import CITY, IMAGE, PROMPT, WEATHER, Given, run
from openrouter import OpenRouter
from openrouter.utils import BackoffStrategy, RetryConfig

ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)


def client(given: Given) -> OpenRouter:
    return OpenRouter(api_key=given.key, server_url=given.base_url, timeout_ms=20_000, retry_config=ONCE)


def ask(given: Given, **more: Any) -> Any:
    return client(given).chat.send(**{"model": given.model, "messages": [{"role": "user", "content": PROMPT}], **more})


def plain(given: Given) -> dict[str, Any]:
    answer = ask(given, max_tokens=50, temperature=0.5)
    return {
        "text": answer.choices[0].message.content,
        "usage": [int(answer.usage.prompt_tokens), int(answer.usage.completion_tokens)],
    }


def stream(given: Given) -> dict[str, Any]:
    usage = None
    with ask(given, stream=True) as events:
        for event in events:
            chunk = getattr(event, "data", event)
            if getattr(chunk, "error", None):
                raise RuntimeError(f"{chunk.error.code}: {chunk.error.message}")
            usage = chunk.usage or usage
            given.deltas.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)
    return {"text": "".join(given.deltas), "usage": usage and [int(usage.prompt_tokens), int(usage.completion_tokens)]}


def tools(given: Given) -> dict[str, Any]:
    (call,) = ask(given, tools=[WEATHER]).choices[0].message.tool_calls
    return {"tool": [call.function.name, call.function.arguments]}


def tools_stream(given: Given) -> dict[str, Any]:
    name, arguments = "", ""
    with ask(given, tools=[WEATHER], stream=True) as events:
        for event in events:
            for choice in getattr(event, "data", event).choices:
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


def models(given: Given) -> dict[str, Any]:
    with client(given) as made:
        one = made.models.get(author="echo", slug="echo-1").data.id
        assert made.models.count().data.count
        assert made.endpoints.list(author="echo", slug="echo-1").data.endpoints[0].provider_name
        return {"ids": [model.id for model in made.models.list().result.data], "one": one}


def account(given: Given) -> dict[str, Any]:
    answer = ask(given)
    with client(given) as made:
        generation = made.generations.get_generation(id=answer.id).data
        assert (generation.native_tokens_prompt, generation.native_tokens_completion) == (9, 3)
        label = made.api_keys.get_current_key_metadata().data.label
        return {"label": label, "credits": made.credits.get_credits().data.total_credits}


def cancel(given: Given) -> dict[str, Any]:
    with ask(given, stream=True) as events:
        for event in events:
            return {"text": getattr(event, "data", event).choices[0].delta.content}
    return {}


if __name__ == "__main__":
    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, models, account, cancel)})
