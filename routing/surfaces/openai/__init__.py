"""OpenAI's APIs: Chat Completions (in both flavours), Responses, vectors, pictures, sound."""
