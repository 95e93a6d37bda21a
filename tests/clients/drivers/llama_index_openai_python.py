"""LlamaIndex' OpenAILike."""

from harness import Given
from llama_index.llms.openai_like import OpenAILike
from llama_index_common import run_model


def make(given: Given) -> OpenAILike:
    return OpenAILike(
        model=given.model,
        api_base=given.base_url,
        api_key=given.key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        timeout=20,
    )


if __name__ == "__main__":
    run_model(make)
