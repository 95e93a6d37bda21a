// Walks the account with OpenRouter's SDK for Node, unmodified: a management key as standard input has it, what its user sees out.
import { OpenRouter } from "@openrouter/sdk";

const given = JSON.parse(await new Response(process.stdin).text());
const open = (apiKey) => new OpenRouter({ apiKey, serverURL: given.base_url, timeoutMs: 20_000, retryConfig: { strategy: "none" } });
const manager = open(given.key);
const { data: credits } = await manager.credits.getCredits();
const { data: generation } = await manager.generations.getGeneration({ id: given.generation });
const { data: activity } = await manager.analytics.getUserActivity();
const day = 86_400_000;
const query = await manager.analytics.queryAnalytics({
  requestBody: {
    metrics: ["usage", "requests"], dimensions: ["model"], granularity: "day",
    timeRange: { start: new Date(Date.now() - 2 * day), end: new Date(Date.now() + day) },
  },
});
const meta = await manager.analytics.getAnalyticsMeta();
const made = await manager.apiKeys.create({ requestBody: { name: "from the client", limit: 1.5, limitReset: "monthly" } });
const own = await open(made.key).apiKeys.getCurrentKeyMetadata();
const listed = await manager.apiKeys.list();
const changed = await manager.apiKeys.update({ hash: made.data.hash, requestBody: { name: "renamed", limit: 2 } });
const read = await manager.apiKeys.get({ hash: made.data.hash });
const deleted = await manager.apiKeys.delete({ hash: made.data.hash });
const { codeChallenge, codeVerifier } = await manager.oAuth.createSHA256CodeChallenge().then((done) => done.value ?? done);
const code = await manager.oAuth.createAuthCode({
  requestBody: { callbackUrl: "https://app.example/cb", codeChallenge, codeChallengeMethod: "S256", limit: 3 },
});
const exchanged = await open("").oAuth.exchangeAuthCodeForAPIKey({ requestBody: { code: code.data.id, codeVerifier } });
const granted = await open(exchanged.key).apiKeys.getCurrentKeyMetadata();
let refused = null;
try {
  await open(made.key).apiKeys.getCurrentKeyMetadata();
} catch (error) {
  refused = error.statusCode;
}
process.stdout.write(JSON.stringify({
  credits, generation, activity, query, meta: meta.data.metrics.map(({ name }) => name), own: own.data,
  listed: listed.data.map(({ hash }) => hash), made: made.data.hash, changed: changed.data, read: read.data, deleted, granted: granted.data, refused,
}));
