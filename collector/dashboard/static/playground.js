// The playground: calls the API as any client does, and shows what came.
"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const form = at("ask");
  const origin = form.dataset.origin || location.origin;
  let key = null;
  let controller = null;

  const body = () => {
    const messages = [];
    if (at("system").value) messages.push({ role: "system", content: at("system").value });
    messages.push({ role: "user", content: at("message").value });
    const request = { model: at("model").value.trim(), messages };
    if (at("max_tokens").value) request.max_tokens = Number(at("max_tokens").value);
    if (at("temperature").value) request.temperature = Number(at("temperature").value);
    if (at("stream").checked) Object.assign(request, { stream: true, stream_options: { include_usage: true } });
    return request;
  };

  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const showLines = () => {
    const request = body();
    at("curl").textContent =
      `curl -sS${request.stream ? "N" : ""} ${origin}/v1/chat/completions \\\n` +
      `  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(request))}`;
    const told = Object.entries(request).filter(([name]) => name !== "stream_options");
    const value = (it) => (it === true ? "True" : JSON.stringify(it));
    at("python").textContent =
      `from openai import OpenAI\n\nclient = OpenAI(base_url="${origin}/v1", api_key="sk_live_…")\n` +
      `answer = client.chat.completions.create(\n${told.map(([name, it]) => `    ${name}=${value(it)},`).join("\n")}\n)\n` +
      (request.stream
        ? `for chunk in answer:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="")`
        : `print(answer.choices[0].message.content)`);
  };

  const getKey = async () => {
    if (key && key.expires_ms > Date.now() + 60_000) return key.key;
    const answer = await fetch(form.dataset.keyAddress, { method: "POST" });
    if (!answer.ok) throw new Error("No key could be made: your session must be one that may change things.");
    key = await answer.json();
    return key.key;
  };

  const figure = (id, text) => (at(id).textContent = text ?? "–");
  const showUsage = (usage) => {
    at("figures").hidden = false;
    figure("prompt_tokens", usage.prompt_tokens);
    figure("completion_tokens", usage.completion_tokens);
  };
  // The cost as the answer's text has it: a JavaScript number would round it.
  const showCost = (text) => {
    const found = [...text.matchAll(/"cost":\s*([0-9.eE+-]+)/g)].pop();
    if (found) figure("cost", `$${found[1]}`);
  };
  const reasonOf = (text, status) => {
    try {
      return JSON.parse(text).error.message;
    } catch {
      return `The answer was ${status}.`;
    }
  };

  const readStream = async (answer, startedAt) => {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:") || line.includes("[DONE]")) continue;
        const chunk = JSON.parse(line.slice(5));
        if (chunk.error) throw new Error(chunk.error.message);
        const text = chunk.choices?.[0]?.delta?.content;
        if (text) {
          if (!at("answer").textContent) figure("first", `${Math.round(performance.now() - startedAt)} ms`);
          at("answer").append(text);
        }
        if (chunk.usage) {
          showUsage(chunk.usage);
          showCost(line);
        }
      }
    }
  };

  const send = async () => {
    at("answer").textContent = "";
    at("figures").hidden = true;
    for (const id of ["cost", "first", "total"]) figure(id, "–");
    controller = new AbortController();
    at("send").disabled = true;
    at("stop").disabled = false;
    try {
      const bearer = await getKey();
      const startedAt = performance.now();
      const answer = await fetch(`${origin}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
        body: JSON.stringify(body()),
        credentials: "omit",
        signal: controller.signal,
      });
      const id = answer.headers.get("x-generation-id");
      at("generation").textContent = id ?? "";
      if (id) at("generation").href = at("generation").dataset.base.replace("ID", id);
      if (!answer.ok) throw new Error(reasonOf(await answer.text(), answer.status));
      if (answer.headers.get("content-type")?.startsWith("text/event-stream")) {
        await readStream(answer, startedAt);
      } else {
        const text = await answer.text();
        const whole = JSON.parse(text);
        at("answer").textContent = whole.choices?.[0]?.message?.content ?? "";
        if (whole.usage) showUsage(whole.usage);
        showCost(text);
      }
      figure("total", `${Math.round(performance.now() - startedAt)} ms`);
    } catch (problem) {
      at("answer").append(problem.name === "AbortError" ? "\n(stopped)" : `\n${problem.message}`);
    } finally {
      at("send").disabled = false;
      at("stop").disabled = true;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.addEventListener("input", showLines);
  at("stop").addEventListener("click", () => controller?.abort());
  showLines();
  // The list of models is long: it is asked for when somebody is about to choose one.
  at("model").addEventListener(
    "focus",
    async () => {
      const listing = await fetch(`${origin}/v1/models`, { credentials: "omit" })
        .then((answer) => answer.json())
        .catch(() => ({}));
      for (const model of listing.data ?? []) {
        const option = document.createElement("option");
        option.value = model.id;
        at("models").append(option);
      }
    },
    { once: true },
  );
})();
