// What every Node driver shares; see harness.py, of which this is the other half.
export const PROMPT = "Say hello.";
export const IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const WEATHER = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
export const CITY = {
  type: "object",
  properties: { city: { type: "string" }, population: { type: "integer" } },
  required: ["city", "population"],
  additionalProperties: false,
};

function statusOf(error) {
  for (let at = error; at; at = at.cause ?? at.lastError) {
    for (const value of [at.statusCode, at.status, at.code, at.data?.error?.code]) {
      if (Number.isInteger(value) && value >= 400 && value < 600) return value;
    }
  }
  return null;
}

export async function run(calls) {
  const given = JSON.parse(await new Response(process.stdin).text());
  const seen = {};
  for (const asked of given.calls) {
    const here = { base_url: asked.base_url ?? given.base_url, key: asked.key ?? given.key, model: asked.model, deltas: [] };
    try {
      seen[asked.name] = calls[asked.call]
        ? { ...(await calls[asked.call](here)), deltas: here.deltas }
        : { skipped: "this client has no such call" };
    } catch (error) {
      const told = { class: error?.constructor?.name, status: statusOf(error), message: String(error?.message ?? error).slice(0, 2000) };
      seen[asked.name] = { error: told, deltas: here.deltas };
    }
  }
  process.stdout.write("\n" + JSON.stringify(seen) + "\n");
  process.exit(0);
}
