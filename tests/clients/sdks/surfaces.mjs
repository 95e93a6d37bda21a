// Each SDK for Node on each surface it has, for `scripts/soak sdks`: a line of JSON for each call.
import { createAnthropic } from "@ai-sdk/anthropic"
import { createGoogleGenerativeAI } from "@ai-sdk/google"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import Anthropic from "@anthropic-ai/sdk"
import { GoogleGenAI } from "@google/genai"
import { ChatAnthropic } from "@langchain/anthropic"
import { ChatOpenAI } from "@langchain/openai"
import { streamText } from "ai"
import { CohereClientV2 } from "cohere-ai"
import OpenAI, { toFile } from "openai"

const { BASE, KEY, POOR } = process.env
const TARGETS = process.env.TARGETS.split(" ")
const ECHO = "echo/echo-1"
const messages = [{ role: "user", content: "hi" }]
const said = (text) => (text ? "" : "nothing was said")

async function tried(client, call, run) {
  let problem
  try { problem = (await run()) ?? "" } catch (error) { problem = `${error?.name}: ${String(error?.message).slice(0, 300)}` }
  console.log(JSON.stringify({ client, call, problem }))
}

async function refused(client, status, run) {
  await tried(client, "without credit", async () => {
    try { await run() } catch (error) { return error.status === status ? "" : `status ${error.status}` }
    return "it was answered"
  })
}

const claude = new Anthropic({ baseURL: `${BASE}/api`, apiKey: KEY, maxRetries: 0 })
for (const model of TARGETS) {
  await tried("@anthropic-ai/sdk", `messages, ${model}`, async () => said((await claude.messages.stream({ model, max_tokens: 100, messages }).finalMessage()).content[0].text))
}
await tried("@anthropic-ai/sdk", "count", async () => said((await claude.messages.countTokens({ model: ECHO, messages })).input_tokens))
await refused("@anthropic-ai/sdk", 402, () => new Anthropic({ baseURL: `${BASE}/api`, apiKey: POOR }).messages.create({ model: TARGETS[1], max_tokens: 1000, messages }))

const openai = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 })
for (const model of TARGETS) {
  await tried("openai", `responses, ${model}`, async () => said((await openai.responses.stream({ model, input: "hi" }).finalResponse()).output_text))
}
await tried("openai", "embeddings", async () => said((await openai.embeddings.create({ model: ECHO, input: ["a", "b"] })).data[1].embedding.length))
await tried("openai", "images", async () => said((await openai.images.generate({ model: ECHO, prompt: "cat" })).data[0].b64_json))
await tried("openai", "image edits", async () => said((await openai.images.edit({ model: ECHO, prompt: "cat", image: await toFile(Buffer.from("x"), 'ä"x.png', { type: "image/png" }) })).data[0].b64_json))
const tone = Buffer.from(await (await openai.audio.speech.create({ model: ECHO, input: "one two", voice: "alloy" })).arrayBuffer())
await tried("openai", "speech", async () => said(tone.length))
await tried("openai", "transcriptions", async () => said((await openai.audio.transcriptions.create({ model: ECHO, file: await toFile(tone, "a.wav") })).text))
await tried("openai", "translations", async () => said((await openai.audio.translations.create({ model: ECHO, file: await toFile(tone, "a.wav") })).text))
await tried("openai", "moderations", async () => said((await openai.moderations.create({ model: ECHO, input: "hi" })).results.length))
await refused("openai", 429, () => new OpenAI({ baseURL: `${BASE}/v1`, apiKey: POOR }).responses.create({ model: TARGETS[1], input: "hi" }))

const google = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE } })
for (const model of TARGETS) {
  await tried("@google/genai", `stream, ${model}`, async () => {
    let text = ""
    for await (const piece of await google.models.generateContentStream({ model, contents: "one two" })) text += piece.text ?? ""
    return said(text)
  })
}
await tried("@google/genai", "embed", async () => said((await google.models.embedContent({ model: ECHO, contents: ["a", "b"] })).embeddings.length === 2))

const cohere = new CohereClientV2({ token: KEY, environment: BASE, baseUrl: BASE })
await tried("cohere-ai", "rerank", async () => said((await cohere.rerank({ model: ECHO, query: "a b", documents: ["a", "b c"] })).results.length))
for (const model of TARGETS) {
  await tried("cohere-ai", model, async () => said((await cohere.chat({ model, messages })).message.content.at(-1).text))
  await tried("cohere-ai", `stream, ${model}`, async () => {
    let text = ""
    for await (const event of await cohere.chatStream({ model, messages })) text += event.delta?.message?.content?.text ?? ""
    return said(text)
  })
}
await tried("cohere-ai", "embed", async () => said((await cohere.embed({ model: ECHO, texts: ["a"], inputType: "search_document", embeddingTypes: ["float"] })).embeddings.float.length))

async function drawn(stream) {
  let text = ""
  for await (const piece of await stream) text += piece.text
  return said(text)
}
async function streamed(model) {
  const answer = streamText({ model, prompt: "hi", onError: () => {} })
  let text = ""
  for await (const piece of answer.textStream) text += piece
  return said(text)
}
for (const model of TARGETS) {
  await tried("@ai-sdk/openai-compatible", model, () => streamed(createOpenAICompatible({ name: "tollway", baseURL: `${BASE}/v1`, apiKey: KEY })(model)))
  await tried("@ai-sdk/openai", model, () => streamed(createOpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY })(model)))
  await tried("@ai-sdk/anthropic", model, () => streamed(createAnthropic({ baseURL: `${BASE}/api/v1`, apiKey: KEY })(model)))
  await tried("@ai-sdk/google", model, () => streamed(createGoogleGenerativeAI({ baseURL: `${BASE}/v1beta`, apiKey: KEY })(`models/${model}`)))
  await tried("@langchain/openai", model, () => drawn(new ChatOpenAI({ model, apiKey: KEY, configuration: { baseURL: `${BASE}/v1` } }).stream("hi")))
  await tried("@langchain/anthropic", model, () => drawn(new ChatAnthropic({ model, apiKey: KEY, anthropicApiUrl: `${BASE}/api`, maxTokens: 100 }).stream("hi")))
}
