// Vercel's AI SDK with @ai-sdk/openai, its chat models.
import { createOpenAI } from "@ai-sdk/openai";
import { runModel } from "./ai_common.mjs";

await runModel((given) => createOpenAI({ baseURL: given.base_url, apiKey: given.key }).chat(given.model));
