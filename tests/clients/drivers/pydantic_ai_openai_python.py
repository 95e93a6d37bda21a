"""pydantic-ai with its OpenAI provider."""

from typing import Any

from harness import Given
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai_common import run_model


def make(given: Given) -> Any:
    client = AsyncOpenAI(base_url=given.base_url, api_key=given.key, max_retries=0, timeout=20)
    return OpenAIChatModel(given.model, provider=OpenAIProvider(openai_client=client))


if __name__ == "__main__":
    run_model(make)
