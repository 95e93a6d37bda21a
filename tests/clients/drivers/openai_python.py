"""OpenAI's Python SDK."""

from typing import Any

import openai
from harness import IMAGE, PROMPT, WEATHER, Given, run
from pydantic import BaseModel


class City(BaseModel):
    city: str
    population: int


def client(given: Given) -> openai.OpenAI:
    return openai.OpenAI(base_url=given.base_url, api_key=given.key, max_retries=0, timeout=20)


def ask(given: Given, **more: Any) -> Any:
    return client(given).chat.completions.create(
        **{"model": given.model, "messages": [{"role": "user", "content": PROMPT}], **more}
    )


def plain(given: Given) -> dict[str, Any]:
    answer = ask(given, max_tokens=50, temperature=0.5)
    return {"text": answer.choices[0].message.content, "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens]}


def stream(given: Given) -> dict[str, Any]:
    usage = None
    for chunk in ask(given, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
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
    messages: Any = [{"role": "user", "content": PROMPT}]
    answer = client(given).chat.completions.parse(model=given.model, messages=messages, response_format=City)
    city = answer.choices[0].message.parsed
    assert city is not None
    return {"object": city.model_dump()}


def image(given: Given) -> dict[str, Any]:
    parts = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    return {"text": ask(given, messages=[{"role": "user", "content": parts}]).choices[0].message.content}


def models(given: Given) -> dict[str, Any]:
    with client(given) as made:
        ids = [model.id for model in made.models.list()]
        return {"ids": ids, "one": made.models.retrieve("echo/echo-1").id}


def cancel(given: Given) -> dict[str, Any]:
    with ask(given, stream=True) as chunks:
        for chunk in chunks:
            return {"text": chunk.choices[0].delta.content}
    return {}


if __name__ == "__main__":
    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, models, cancel)})
