"""LangChain's ChatOpenAI."""

from harness import Given
from langchain_common import run_model
from langchain_openai import ChatOpenAI


def make(given: Given) -> ChatOpenAI:
    return ChatOpenAI(base_url=given.base_url, api_key=given.key, model=given.model, max_retries=0, timeout=20, stream_usage=True)


if __name__ == "__main__":
    run_model(make)
