// Drives the OpenAI Node SDK, unmodified: one call as standard input says, what its user sees as JSON on standard output.
import OpenAI from "openai";

const input = JSON.parse(await new Response(process.stdin).text());
const client = new OpenAI({ baseURL: input.base_url, apiKey: input.key, maxRetries: input.max_retries ?? 0, timeout: 20_000 });
const seen = { chunks: [] };
try {
  const { data, response } = await client.chat.completions.create(input.arguments).withResponse();
  seen.headers = Object.fromEntries(response.headers);
  if (input.arguments.stream) {
    for await (const chunk of data) {
      seen.chunks.push(chunk);
      if (seen.chunks.length === input.leave_after) break;
    }
  } else {
    seen.answer = data;
    seen.request_id = data._request_id;
  }
} catch (error) {
  const { status, code, param, type, message, requestID } = error;
  seen.error = { name: error.constructor.name, status, code, param, type, message, request_id: requestID };
  seen.headers = error.headers ? Object.fromEntries(error.headers) : {};
}
process.stdout.write(JSON.stringify(seen));
