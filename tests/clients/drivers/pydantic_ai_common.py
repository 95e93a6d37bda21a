"""The calls of a pydantic-ai agent, whoever made its model."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from harness import IMAGE, PROMPT, Given, run
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput


class City(BaseModel):
    city: str
    population: int


class Weather(BaseModel):
    """The weather in a city."""

    city: str


def run_model(make: Callable[[Given], Any]) -> None:
    """`make` makes the model."""

    def usage_of(result: Any) -> list[int]:
        usage = result.usage() if callable(result.usage) else result.usage
        return [usage.input_tokens, usage.output_tokens]

    def plain(given: Given) -> dict[str, Any]:
        result = Agent(make(given), retries=0).run_sync(PROMPT)
        return {"text": result.output, "usage": usage_of(result)}

    def stream(given: Given) -> dict[str, Any]:
        async def go() -> Any:
            async with Agent(make(given), retries=0).run_stream(PROMPT) as result:
                async for text in result.stream_text(delta=True, debounce_by=None):
                    given.deltas.append(text)
                return usage_of(result)

        usage = asyncio.run(go())
        return {"text": "".join(given.deltas), "usage": usage}

    def tools(given: Given) -> dict[str, Any]:
        agent = Agent(make(given), output_type=ToolOutput(Weather, name="weather"), retries=0)
        return {"tool": ["weather", agent.run_sync(PROMPT).output.model_dump()]}

    def tools_stream(given: Given) -> dict[str, Any]:
        async def go() -> Any:
            agent = Agent(make(given), output_type=ToolOutput(Weather, name="weather"), retries=0)
            async with agent.run_stream(PROMPT) as result:
                return await result.get_output()

        return {"tool": ["weather", asyncio.run(go()).model_dump()]}

    def schema(given: Given) -> dict[str, Any]:
        agent = Agent(make(given), output_type=NativeOutput(City), retries=0)
        return {"object": agent.run_sync(PROMPT).output.model_dump()}

    def image(given: Given) -> dict[str, Any]:
        picture = BinaryContent(base64.b64decode(IMAGE.partition(",")[2]), media_type="image/png")
        return {"text": Agent(make(given), retries=0).run_sync([PROMPT, picture]).output}

    def cancel(given: Given) -> dict[str, Any]:
        async def go() -> Any:
            async with Agent(make(given), retries=0).run_stream(PROMPT) as result:
                async for text in result.stream_text(delta=True, debounce_by=None):
                    return text
            return None

        return {"text": asyncio.run(go())}

    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, cancel)})
