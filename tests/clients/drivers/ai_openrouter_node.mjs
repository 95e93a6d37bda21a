// Vercel's AI SDK with @openrouter/ai-sdk-provider.
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { runModel } from "./ai_common.mjs";

await runModel((given) => createOpenRouter({ baseURL: given.base_url, apiKey: given.key }).chat(given.model));
