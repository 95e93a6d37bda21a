// Drives Vercel's AI SDK with its OpenAI-compatible provider, unmodified: one call in, what its user sees out.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

const input = JSON.parse(await new Response(process.stdin).text());
const provider = createOpenAICompatible({ name: "tollway", baseURL: input.base_url, apiKey: input.key, includeUsage: true });
const call = { model: provider(input.model), prompt: input.prompt, maxRetries: 0 };
if (input.tool) {
  const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } } });
  call.tools = { [input.tool]: tool({ description: "for tests", inputSchema }) };
}
const seen = {};
try {
  const result = input.stream ? streamText({ ...call, onError() {} }) : await generateText(call);
  if (input.stream) {
    seen.deltas = [];
    for await (const delta of result.textStream) seen.deltas.push(delta);
  }
  seen.text = await result.text;
  seen.usage = await result.usage;
  seen.finish_reason = await result.finishReason;
  seen.tool_calls = (await result.toolCalls).map(({ toolName, input }) => ({ name: toolName, input }));
  seen.response = { id: (await result.response).id, model: (await result.response).modelId };
} catch (error) {
  seen.error = { name: error.name, status: error.statusCode, message: error.message };
}
process.stdout.write(JSON.stringify(seen));
