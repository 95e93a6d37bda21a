// OpenRouter's SDK for Node.
import { OpenRouter } from "@openrouter/sdk";
import { CITY, IMAGE, PROMPT, WEATHER, run } from "./harness.mjs";

const client = (given) =>
  new OpenRouter({ apiKey: given.key, serverURL: given.base_url, timeoutMs: 20_000, retryConfig: { strategy: "none" } });
const ask = (given, more) =>
  client(given).chat.send({ chatRequest: { model: given.model, messages: [{ role: "user", content: PROMPT }], ...more } });
const tool = { type: "function", function: { name: "weather", parameters: WEATHER } };

async function* chunks(stream) {
  for await (const chunk of stream) {
    if (chunk.error) throw Object.assign(new Error(chunk.error.message), { code: chunk.error.code });
    yield chunk;
  }
}

await run({
  async plain(given) {
    const { choices, usage } = await ask(given, { maxTokens: 50 });
    return { text: choices[0].message.content, usage: [usage.promptTokens, usage.completionTokens] };
  },
  async stream(given) {
    let usage;
    for await (const chunk of chunks(await ask(given, { stream: true }))) {
      usage = chunk.usage ?? usage;
      for (const { delta } of chunk.choices) if (delta.content) given.deltas.push(delta.content);
    }
    return { text: given.deltas.join(""), usage: usage && [usage.promptTokens, usage.completionTokens] };
  },
  async tools(given) {
    const [call] = (await ask(given, { tools: [tool] })).choices[0].message.toolCalls;
    return { tool: [call.function.name, call.function.arguments] };
  },
  async tools_stream(given) {
    let name = "", text = "";
    for await (const chunk of chunks(await ask(given, { tools: [tool], stream: true }))) {
      for (const call of chunk.choices.flatMap(({ delta }) => delta.toolCalls ?? [])) {
        name += call.function?.name ?? "";
        text += call.function?.arguments ?? "";
      }
    }
    return { tool: [name, text] };
  },
  async schema(given) {
    const responseFormat = { type: "json_schema", jsonSchema: { name: "city", strict: true, schema: CITY } };
    return { object: JSON.parse((await ask(given, { responseFormat })).choices[0].message.content) };
  },
  async image(given) {
    const content = [
      { type: "text", text: PROMPT },
      { type: "image_url", imageUrl: { url: IMAGE } },
    ];
    return { text: (await ask(given, { messages: [{ role: "user", content }] })).choices[0].message.content };
  },
  async models(given) {
    const listed = await client(given).models.list();
    const one = await client(given).models.get({ author: "echo", slug: "echo-1" });
    const { data } = await client(given).endpoints.list({ author: "echo", slug: "echo-1" });
    if (!data.endpoints[0].providerName) throw new Error("the endpoint has no provider");
    return { ids: (listed.data ?? listed.result.data).map(({ id }) => id), one: one.data.id };
  },
  async account(given) {
    const made = client(given);
    const { id } = await ask(given);
    const generation = await made.generations.getGeneration({ id });
    if (generation.data.nativeTokensPrompt !== 9) throw new Error("the generation is another one");
    const credits = await made.credits.getCredits();
    const key = await made.apiKeys.getCurrentKeyMetadata();
    return { label: key.data.label, credits: credits.data.totalCredits };
  },
  async cancel(given) {
    for await (const chunk of chunks(await ask(given, { stream: true }))) return { text: chunk.choices[0].delta.content };
  },
});
