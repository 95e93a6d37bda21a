// OpenAI's SDK for Node.
import OpenAI from "openai";
import { CITY, IMAGE, PROMPT, WEATHER, run } from "./harness.mjs";

const client = (given) => new OpenAI({ baseURL: given.base_url, apiKey: given.key, maxRetries: 0, timeout: 20_000 });
const ask = (given, more) =>
  client(given).chat.completions.create({ model: given.model, messages: [{ role: "user", content: PROMPT }], ...more });
const tool = { type: "function", function: { name: "weather", parameters: WEATHER } };

await run({
  async plain(given) {
    const { choices, usage } = await ask(given, { max_tokens: 50 });
    return { text: choices[0].message.content, usage: [usage.prompt_tokens, usage.completion_tokens] };
  },
  async stream(given) {
    let usage;
    for await (const chunk of await ask(given, { stream: true, stream_options: { include_usage: true } })) {
      usage = chunk.usage ?? usage;
      for (const { delta } of chunk.choices) if (delta.content) given.deltas.push(delta.content);
    }
    return { text: given.deltas.join(""), usage: [usage.prompt_tokens, usage.completion_tokens] };
  },
  async tools(given) {
    const [call] = (await ask(given, { tools: [tool] })).choices[0].message.tool_calls;
    return { tool: [call.function.name, call.function.arguments] };
  },
  async tools_stream(given) {
    const runner = client(given).chat.completions.stream({
      model: given.model,
      messages: [{ role: "user", content: PROMPT }],
      tools: [tool],
    });
    const [call] = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
    return { tool: [call.function.name, call.function.arguments] };
  },
  async schema(given) {
    const wanted = { type: "json_schema", json_schema: { name: "city", strict: true, schema: CITY } };
    return { object: JSON.parse((await ask(given, { response_format: wanted })).choices[0].message.content) };
  },
  async image(given) {
    const content = [
      { type: "text", text: PROMPT },
      { type: "image_url", image_url: { url: IMAGE } },
    ];
    return { text: (await ask(given, { messages: [{ role: "user", content }] })).choices[0].message.content };
  },
  async models(given) {
    const ids = [];
    for await (const model of client(given).models.list()) ids.push(model.id);
    return { ids, one: (await client(given).models.retrieve("echo/echo-1")).id };
  },
  async cancel(given) {
    for await (const chunk of await ask(given, { stream: true })) return { text: chunk.choices[0].delta.content };
  },
});
