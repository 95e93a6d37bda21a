// Vercel's AI SDK with @ai-sdk/openai-compatible.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { runModel } from "./ai_common.mjs";

await runModel((given) =>
  createOpenAICompatible({
    name: "tollway",
    baseURL: given.base_url,
    apiKey: given.key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  })(given.model),
);
