// The calls of Vercel's AI SDK, whatever provider made the model.
import { generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { CITY, IMAGE, PROMPT, WEATHER, run } from "./harness.mjs";

export async function runModel(make) {
  const call = (given, more) => ({ model: make(given), prompt: PROMPT, maxRetries: 0, ...more });
  const weather = { weather: tool({ description: "The weather in a city.", inputSchema: jsonSchema(WEATHER) }) };
  const usageOf = (usage) => [usage.inputTokens, usage.outputTokens];
  const streamed = async (given, more) => {
    let failed;
    const result = streamText(call(given, { ...more, onError: ({ error }) => (failed = error) }));
    for await (const delta of result.textStream) given.deltas.push(delta);
    if (failed) throw failed;
    return result;
  };
  const toolOf = ([first]) => ["weather", first.input].map((part, at) => (at ? part : first.toolName));

  await run({
    async plain(given) {
      const result = await generateText(call(given, { maxOutputTokens: 50 }));
      return { text: result.text, usage: usageOf(result.usage) };
    },
    async stream(given) {
      const result = await streamed(given, {});
      return { text: await result.text, usage: usageOf(await result.usage) };
    },
    async tools(given) {
      return { tool: toolOf((await generateText(call(given, { tools: weather }))).toolCalls) };
    },
    async tools_stream(given) {
      return { tool: toolOf(await (await streamed(given, { tools: weather })).toolCalls) };
    },
    async schema(given) {
      return { object: (await generateObject(call(given, { schema: jsonSchema(CITY) }))).object };
    },
    async image(given) {
      const content = [
        { type: "text", text: PROMPT },
        { type: "image", image: IMAGE },
      ];
      return { text: (await generateText({ ...call(given), prompt: undefined, messages: [{ role: "user", content }] })).text };
    },
    async cancel(given) {
      const stop = new AbortController();
      const result = streamText(call(given, { abortSignal: stop.signal, onError() {} }));
      for await (const delta of result.textStream) {
        stop.abort();
        return { text: delta };
      }
    },
  });
}
