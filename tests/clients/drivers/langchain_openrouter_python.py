"""LangChain's ChatOpenRouter."""

from harness import Given
from langchain_common import run_model
from langchain_openrouter import ChatOpenRouter
from openrouter.utils import BackoffStrategy, RetryConfig


def make(given: Given) -> ChatOpenRouter:
    model = ChatOpenRouter(base_url=given.base_url, api_key=given.key, model=given.model, max_retries=0, timeout=20_000)
    # `max_retries=0` leaves the SDK beneath at its own default, which tries a 5xx again for up to an hour.
    model.client.sdk_configuration.retry_config = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)
    return model


if __name__ == "__main__":
    run_model(make)
