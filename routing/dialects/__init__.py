"""One file per provider dialect: how its usage reads as Tokens, and how its answers read as OpenAI's."""
