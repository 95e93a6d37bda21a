// LangChain's ChatOpenAI for Node.
import { ChatOpenAI } from "@langchain/openai";
import { CITY, IMAGE, PROMPT, WEATHER, run } from "./harness.mjs";

const make = (given) =>
  new ChatOpenAI({
    model: given.model,
    apiKey: given.key,
    configuration: { baseURL: given.base_url },
    maxRetries: 0,
    timeout: 20_000,
    streamUsage: true,
  });
const tool = { type: "function", function: { name: "weather", parameters: WEATHER } };
const usageOf = (message) => message.usage_metadata && [message.usage_metadata.input_tokens, message.usage_metadata.output_tokens];

await run({
  async plain(given) {
    const answer = await make(given).invoke(PROMPT);
    return { text: answer.content, usage: usageOf(answer) };
  },
  async stream(given) {
    let whole;
    for await (const chunk of await make(given).stream(PROMPT)) {
      whole = whole ? whole.concat(chunk) : chunk;
      if (chunk.content) given.deltas.push(chunk.content);
    }
    return { text: given.deltas.join(""), usage: usageOf(whole) };
  },
  async tools(given) {
    const [call] = (await make(given).bindTools([tool]).invoke(PROMPT)).tool_calls;
    return { tool: [call.name, call.args] };
  },
  async tools_stream(given) {
    let whole;
    for await (const chunk of await make(given).bindTools([tool]).stream(PROMPT)) whole = whole ? whole.concat(chunk) : chunk;
    const [call] = whole.tool_calls;
    return { tool: [call.name, call.args] };
  },
  async schema(given) {
    return { object: await make(given).withStructuredOutput(CITY, { method: "jsonSchema", name: "city" }).invoke(PROMPT) };
  },
  async image(given) {
    const content = [
      { type: "text", text: PROMPT },
      { type: "image_url", image_url: { url: IMAGE } },
    ];
    return { text: (await make(given).invoke([{ role: "user", content }])).content };
  },
  async cancel(given) {
    for await (const chunk of await make(given).stream(PROMPT)) if (chunk.content) return { text: chunk.content };
  },
});
