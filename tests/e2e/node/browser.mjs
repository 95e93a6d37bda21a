// Drives a real browser (Debian's chromium) as it is told: a list of steps on standard input, what was seen on standard output.
// Each step is [verb, ...arguments]. What a browser complains of (console, page errors, CSP) is reported at the end.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const given = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const browser = await chromium.launch({ executablePath: given.chromium, args: flags.split(" ") });
const complaints = [];
const seen = [];
const contexts = {};

const open = async (name, options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, permissions: ["clipboard-read", "clipboard-write"], ...options });
  contexts[name] = { context, page: await context.newPage() };
  watch(contexts[name].page);
};

const watch = (page) => {
  page.setDefaultTimeout(given.timeout ?? 30000);
  page.on("console", (message) => message.type() === "error" && complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`page: ${error.message}`));
  page.on("dialog", (dialog) => dialog.accept());
};

const verbs = {
  use: async (name, options) => {
    if (!contexts[name]) await open(name, options);
    page = contexts[name].page;
  },
  tab: async (path) => {
    page = await contexts.main.context.newPage();
    watch(page);
    await page.goto(given.base + path);
  },
  back_to_first: () => (page = contexts.main.page).bringToFront().then(() => null),
  wait_within: (selector, timeout) => page.waitForSelector(selector, { timeout }).then(() => null),
  goto: async (path) => (await page.goto(given.base + path, { waitUntil: "load" }))?.status(),
  click: (selector) => page.click(selector),
  fill: (selector, text) => page.fill(selector, text),
  select: (selector, value) => page.selectOption(selector, value),
  press: (key) => page.keyboard.press(key),
  type: (text) => page.keyboard.type(text),
  focus: (selector) => page.focus(selector),
  outlined: () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none"),
  wait: (selector) => page.waitForSelector(selector).then(() => null),
  wait_text: (selector, text) => page.waitForFunction(([s, t]) => document.querySelector(s)?.textContent.includes(t), [selector, text]).then(() => null),
  text: (selector) => page.textContent(selector),
  texts: (selector) => page.$$eval(selector, (found) => found.map((each) => each.textContent.trim().replace(/\s+/g, " "))),
  value: (selector) => page.inputValue(selector),
  attribute: (selector, name) => page.getAttribute(selector, name),
  html: () => page.content(),
  url: async () => page.url(),
  cookies: () => contexts[Object.keys(contexts).find((name) => contexts[name].page === page)].context.cookies(),
  focused: () => page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200)),
  wide: () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  scrolled: () => page.$$eval(".scroll", (found) => found.filter((each) => each.scrollWidth > each.clientWidth).map((each) => `${each.getAttribute("aria-label")}: ${each.scrollWidth - each.clientWidth} px`)),
  media: (options) => page.emulateMedia(options),
  size: (width, height) => page.setViewportSize({ width, height }),
  picture: (path) => page.screenshot({ path, fullPage: true }).then(() => null),
  bytes: () => page.evaluate(() => performance.getEntries().filter((e) => "transferSize" in e).reduce((sum, e) => sum + e.encodedBodySize, 0)),
  axe: () => page.evaluate(axe).then(() => page.evaluate(async () =>
    (await window.axe.run()).violations.filter((each) => ["serious", "critical"].includes(each.impact))
      .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html).join(" | ")}`))),
};
let page;
try {
  await verbs.use("main", given.options);
  for (const [verb, ...args] of given.steps) {
    try {
      seen.push((await verbs[verb](...args)) ?? null);
    } catch (problem) {
      throw new Error(`${verb} ${JSON.stringify(args)}: ${problem.message}\nat ${page.url()}\n${complaints.join("\n")}\n${(await page.innerText("body").catch(() => "")).slice(0, 1500)}`);
    }
  }
  process.stdout.write(JSON.stringify({ seen, complaints }));
} finally {
  await browser.close();
}
