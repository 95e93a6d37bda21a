"""LiteLLM's `openai/`."""

from litellm_common import run_prefix

if __name__ == "__main__":
    run_prefix("openai")
