"""The calls of a LlamaIndex LLM, whoever made it."""

import gc
from collections.abc import Callable
from typing import Any

from harness import IMAGE, PROMPT, Given, run
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel


class City(BaseModel):
    """A city."""

    city: str
    population: int


def run_model(make: Callable[[Given], Any]) -> None:
    """`make` makes the LLM."""

    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    def usage_of(answer: Any) -> list[int] | None:
        usage = getattr(answer.raw, "usage", None) or (answer.raw.get("usage") if isinstance(answer.raw, dict) else None)
        return usage and [usage.prompt_tokens, usage.completion_tokens]

    messages = [ChatMessage(role="user", content=PROMPT)]

    def plain(given: Given) -> dict[str, Any]:
        answer = make(given).chat(messages)
        return {"text": answer.message.content, "usage": usage_of(answer)}

    def stream(given: Given) -> dict[str, Any]:
        for answer in make(given).stream_chat(messages):
            if answer.delta:
                given.deltas.append(answer.delta)
        return {"text": "".join(given.deltas)}

    def tools(given: Given) -> dict[str, Any]:
        llm = make(given)
        answer = llm.chat_with_tools([FunctionTool.from_defaults(fn=weather)], user_msg=PROMPT)
        (call,) = llm.get_tool_calls_from_response(answer)
        return {"tool": [call.tool_name, call.tool_kwargs]}

    def tools_stream(given: Given) -> dict[str, Any]:
        llm = make(given)
        *_, last = llm.stream_chat_with_tools([FunctionTool.from_defaults(fn=weather)], user_msg=PROMPT)
        (call,) = llm.get_tool_calls_from_response(last)
        return {"tool": [call.tool_name, call.tool_kwargs]}

    def image(given: Given) -> dict[str, Any]:
        blocks = [TextBlock(text=PROMPT), ImageBlock(url=IMAGE)]
        return {"text": make(given).chat([ChatMessage(role="user", blocks=blocks)]).message.content}

    def schema(given: Given) -> dict[str, Any]:
        answer = make(given).as_structured_llm(City).chat(messages)
        return {"object": answer.raw.model_dump()}

    def cancel(given: Given) -> dict[str, Any]:
        answers = make(given).stream_chat(messages)
        for answer in answers:
            if answer.delta:
                answers.close()
                gc.collect()  # what is under a generator that was closed is closed when it is collected
                return {"text": answer.delta}
        return {}

    run({call.__name__: call for call in (plain, stream, tools, tools_stream, schema, image, cancel)})
