"""instructor over OpenAI's SDK."""

from typing import Any

import instructor
import openai
from harness import PROMPT, Given, run
from pydantic import BaseModel


class City(BaseModel):
    city: str
    population: int


class weather(BaseModel):
    """The weather in a city."""

    city: str


def create(given: Given, kind: Any, mode: Any, *, streamed: bool = False) -> Any:
    client = instructor.from_openai(
        openai.OpenAI(base_url=given.base_url, api_key=given.key, max_retries=0, timeout=20), mode=mode
    )
    messages = [{"role": "user", "content": PROMPT}]
    made = client.chat.completions
    if streamed:
        return list(made.create_partial(model=given.model, messages=messages, response_model=kind, max_retries=1))[-1]
    return made.create(model=given.model, messages=messages, response_model=kind, max_retries=1)


def plain(given: Given) -> dict[str, Any]:
    return {"text": create(given, None, instructor.Mode.TOOLS).choices[0].message.content}


def tools(given: Given) -> dict[str, Any]:
    return {"tool": ["weather", create(given, weather, instructor.Mode.TOOLS).model_dump_json()]}


def tools_stream(given: Given) -> dict[str, Any]:
    return {"tool": ["weather", create(given, weather, instructor.Mode.TOOLS, streamed=True).model_dump_json()]}


def schema(given: Given) -> dict[str, Any]:
    return {"object": create(given, City, instructor.Mode.JSON_SCHEMA).model_dump()}


if __name__ == "__main__":
    run({call.__name__: call for call in (plain, tools, tools_stream, schema)})
