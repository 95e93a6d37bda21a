"""Each SDK for Python on each surface it has, for `scripts/soak sdks`: a line of JSON for each call. The argument says which."""

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable
from typing import Any

BASE, KEY, POOR = (os.environ[name] for name in ("BASE", "KEY", "POOR"))
TARGETS = os.environ["TARGETS"].split()
ECHO = "echo/echo-1"
EMBED: Any = {"model": ECHO, "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]}
MESSAGES: Any = [{"role": "user", "content": "hi"}]


def tried(client: str, call: str, run: Callable[[], object]) -> None:
    try:
        problem = "" if run() else "nothing was said"
    except Exception as error:
        problem = f"{type(error).__name__}: {str(error)[:300]}"
    print(json.dumps({"client": client, "call": call, "problem": problem}), flush=True)


def refused(client: str, status: int, run: Callable[[], object]) -> None:
    def judged() -> object:
        try:
            run()
        except Exception as error:
            return getattr(error, "status_code", None) == status
        return False

    tried(client, "without credit", judged)


def _said(events: Any) -> str:
    """The text of Cohere's stream, if it came to its end."""
    found = list(events)
    pieces = [event.delta.message.content.text for event in found if event.type == "content-delta"]
    return "".join(piece or "" for piece in pieces) if found[-1].delta.finish_reason == "COMPLETE" else ""


def cohere() -> None:
    import cohere as sdk

    for base in (BASE, BASE + "/api"):
        client: Any = sdk.ClientV2(api_key=KEY, base_url=base)
        tried("cohere", "rerank", lambda c=client: c.rerank(model=ECHO, query="a b", documents=["a", "b c"]).results)
        for model in (ECHO, *TARGETS):
            tried("cohere", model, lambda c=client, m=model: c.chat(model=m, messages=MESSAGES).message.content[-1].text)
            tried("cohere", f"stream, {model}", lambda c=client, m=model: _said(c.chat_stream(model=m, messages=MESSAGES)))
        tried("cohere", "embed", lambda c=client: c.embed(**EMBED).embeddings.float_)
    old: Any = sdk.Client(api_key=KEY, base_url=BASE)
    tried("cohere", "rerank, v1", lambda: old.rerank(model=ECHO, query="a b", documents=["a", "b c"]).results)
    poor: Any = sdk.ClientV2(api_key=POOR, base_url=BASE)
    refused("cohere", 402, lambda: poor.rerank(model=ECHO, query="a", documents=["a" * 4_000] * 500))


def previous() -> None:
    import anthropic
    import openai

    claude, name = anthropic.Anthropic(base_url=BASE + "/api", api_key=KEY, max_retries=0), f"anthropic {anthropic.__version__}"

    def message(model: str) -> object:
        with claude.messages.stream(model=model, max_tokens=100, messages=MESSAGES) as got:
            return got.get_final_message().content[0].text  # type: ignore[union-attr]

    for target in TARGETS:
        tried(name, f"messages, {target}", lambda t=target: message(t))
    poor = anthropic.Anthropic(base_url=BASE + "/api", api_key=POOR)
    refused(name, 402, lambda: poor.messages.create(model=TARGETS[1], max_tokens=1_000, messages=MESSAGES))
    client, name = openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0), f"openai {openai.__version__}"

    def response(model: str) -> object:
        with client.responses.stream(model=model, input="hi") as got:
            return got.get_final_response().output_text

    for target in TARGETS:
        tried(name, f"responses, {target}", lambda t=target: response(t))
    tried(name, "embeddings", lambda: client.embeddings.create(model=ECHO, input=["a", "b"]).data[1].embedding)
    tried(name, "images", lambda: client.images.generate(model=ECHO, prompt="cat").data)
    picture = ('ä"x.png', io.BytesIO(b"\x89PNG"), "image/png")
    tried(name, "image edits", lambda: client.images.edit(model=ECHO, prompt="cat", image=picture).data)
    tone = client.audio.speech.create(model=ECHO, input="one two", voice="alloy").read()
    tried(name, "speech", lambda: tone)
    tried(name, "transcriptions", lambda: client.audio.transcriptions.create(model=ECHO, file=("a.wav", tone)).text)
    tried(name, "translations", lambda: client.audio.translations.create(model=ECHO, file=("a.wav", tone)).text)
    tried(name, "moderations", lambda: client.moderations.create(model=ECHO, input="hi").results)
    tried(name, "completions", lambda: client.completions.create(model=ECHO, prompt="hi there").choices[0].text)
    short = openai.OpenAI(base_url=BASE + "/v1", api_key=POOR)
    refused(name, 429, lambda: short.responses.create(model=TARGETS[1], input="hi"))


def frameworks() -> None:
    import litellm
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    async def streamed(model: Any) -> str:
        async with Agent(model).run_stream("hi") as answer:
            return "".join([text async for text in answer.stream_text(delta=True)])

    chat: Any = ChatOpenAI
    claude: Any = ChatAnthropic
    for target in TARGETS:
        own = {"base_url": BASE + "/v1", "api_key": KEY, "model": target}
        tried("langchain-openai", target, lambda o=own: "".join(str(each.text) for each in chat(**o).stream("hi")))
        tried(
            "langchain-openai",
            f"responses, {target}",
            lambda o=own: "".join(str(each.text) for each in chat(**o, use_responses_api=True).stream("hi")),
        )
        theirs = {"base_url": BASE + "/api", "api_key": KEY, "model": target, "max_tokens": 100}
        tried("langchain-anthropic", target, lambda o=theirs: "".join(str(each.text) for each in claude(**o).stream("hi")))
        openai = OpenAIProvider(base_url=BASE + "/v1", api_key=KEY)
        tried("pydantic-ai", target, lambda t=target, p=openai: asyncio.run(streamed(OpenAIChatModel(t, provider=p))))
        tried(
            "pydantic-ai",
            f"responses, {target}",
            lambda t=target, p=openai: asyncio.run(streamed(OpenAIResponsesModel(t, provider=p))),
        )
        anthropic = AnthropicProvider(base_url=BASE + "/api", api_key=KEY)
        tried(
            "pydantic-ai",
            f"messages, {target}",
            lambda t=target, p=anthropic: asyncio.run(streamed(AnthropicModel(t, provider=p))),
        )
        for prefix, base in (("openai", BASE + "/v1"), ("anthropic", BASE + "/api")):
            asked: Any = {"model": f"{prefix}/{target}", "api_base": base, "api_key": KEY, "messages": MESSAGES}
            asked["stream"] = True
            tried(
                "litellm",
                asked["model"],
                lambda a=asked: "".join(each.choices[0].delta.content or "" for each in litellm.completion(**a)),
            )
    vectors: Any = OpenAIEmbeddings
    own = {"base_url": BASE + "/v1", "api_key": KEY, "model": ECHO, "check_embedding_ctx_length": False}
    tried("langchain-openai", "embeddings", lambda: vectors(**own).embed_query("hi"))


{"cohere": cohere, "previous": previous, "frameworks": frameworks}[sys.argv[1]]()
