"""The account's API: what its keys may read and change, as OpenRouter and OpenAI shape it; and its description in OpenAPI."""
