// What all pages share: elements, money and time in the reader's language, clocks, bars, messages, the page's frame.

import { drawIcon } from "/assets/icons.js";
import { connected, now } from "/assets/net.js";
import { explain, half, locale, say, switchLanguage, t, tongue } from "/assets/words.js";

export const find = (selector, root = document) => root.querySelector(selector);

/**
 * Makes an element. A property or child that is a function gives words: it runs again when the language changes.
 * `on` holds listeners. Null and false children are left out.
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [type, listen] of Object.entries(value)) element.addEventListener(type, listen);
    else if (typeof value === "function") say(element, () => element.setAttribute(name, value()));
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (typeof child === "function") element.append(words(child));
    else if (child || child === 0) element.append(child);
  }
  return element;
}

const words = (speak) => {
  const span = document.createElement("span");
  say(span, () => (span.textContent = speak()));
  return span;
};

/** An element with the half of a catalogue text in the chosen language. Its `lang` names that language. */
export function told(tag, text, properties) {
  const element = el(tag, properties);
  say(element, () => {
    element.textContent = half(text());
    element.lang = tongue(element.textContent);
  });
  return element;
}

export const icon = (name) => drawIcon(document.createElementNS("http://www.w3.org/2000/svg", "svg"), name);

export const button = (label, act, properties = {}, ...before) =>
  el("button", { type: "button", class: "button", ...properties, on: { click: act } }, ...before, label);

// --- Numbers, money, time -----------------------------------------------------------------------------------------

export const number = (n) => new Intl.NumberFormat(locale()).format(n);

export function money({ amount, currency }) {
  const format = (options) =>
    new Intl.NumberFormat(locale(), { style: "currency", currency, currencyDisplay: "narrowSymbol", ...options });
  const digits = format().resolvedOptions().maximumFractionDigits;
  const units = amount / 10 ** digits;
  return format(Number.isInteger(units) ? { minimumFractionDigits: 0 } : {}).format(units);
}

/** A moment as people write it, without the date when it is today. */
export function moment(iso) {
  const time = new Date(iso);
  const day = (date) => new Intl.DateTimeFormat("en", { dateStyle: "short" }).format(date);
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(
    locale(),
    day(time) === day(now()) ? clock : { weekday: "short", month: "short", day: "numeric", ...clock },
  ).format(time);
}

/** A moment in full, with seconds and the time zone, for tooltips and records. */
export const exactly = (iso) =>
  new Intl.DateTimeFormat(locale(), { dateStyle: "long", timeStyle: "long" }).format(new Date(iso));

/** A `<time>` element whose text is `speak(moment)`. */
export const timeOf = (iso, speak = (text) => text) =>
  el("time", { datetime: iso, title: () => exactly(iso) }, () => speak(moment(iso)));

const pad = (n) => String(n).padStart(2, "0");

/** "4:05", or "1:04:05". */
export function brief(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const m = Math.floor(s / 60);
  return m < 60 ? `${m}:${pad(s % 60)}` : `${Math.floor(m / 60)}:${pad(m % 60)}:${pad(s % 60)}`;
}

// --- Clocks ---------------------------------------------------------------------------------------------------------
// One loop drives all of them, at every second of the server's clock.

const clocks = new Set();
let isBeating = false;

/** Runs `tick()` now and at every second of the server's clock while `element` is on the page. */
export function onTick(element, tick) {
  clocks.add([element, tick]);
  tick();
  if (!isBeating) beat();
}

function beat() {
  isBeating = true;
  setTimeout(loop, 1000 - (now() % 1000));
}

function loop() {
  for (const entry of clocks) {
    if (entry[0].isConnected) entry[1]();
    else clocks.delete(entry);
  }
  isBeating = false;
  if (clocks.size) beat();
}

/** The stadium clock: days when there are any, hours, minutes, seconds until `end()`, in ms since 1970. */
export function stadiumClock(end, label) {
  const units = [
    ["d", 86400, 1e9],
    ["h", 3600, 24],
    ["m", 60, 60],
    ["s", 1, 60],
  ];
  const digits = units.map(() => el("b", {}, "00"));
  const cells = units.map(([unit], i) =>
    el(
      "span",
      { class: "cell" },
      digits[i],
      el("i", {}, () => t(unit)),
    ),
  );
  const clock = el("div", { class: "clock", role: "timer", "aria-label": label }, ...cells);
  onTick(clock, () => {
    const left = Math.max(0, Math.ceil((end() - now()) / 1000));
    for (const [i, [, size, modulus]] of units.entries())
      digits[i].textContent = pad(Math.floor(left / size) % modulus);
    cells[0].hidden = left < 86400;
    clock.classList.toggle("soon", left <= 10);
  });
  return clock;
}

/** A line that runs down: the time left until `end()`, in words and as a bar that is full at `length` ms. */
export function fuse(end, length, label) {
  const text = el("b", { class: "digits" });
  const bar = el("i");
  const line = el(
    "div",
    { class: "fuse", role: "timer" },
    el("span", {}, label),
    text,
    el("span", { class: "track" }, bar),
  );
  onTick(line, () => {
    const left = Math.max(0, end() - now());
    text.textContent = brief(left);
    bar.style.transform = `scaleX(${Math.min(1, left / length)})`;
    line.classList.toggle("soon", left < 60000);
  });
  return line;
}

/** A bar of stock: how much is left of the total. */
export function stockLane(stock) {
  const lane = el("div", { class: "stock" }, el("span", { class: "lane" }, el("i")), el("span", { class: "count" }));
  showStock(lane, stock);
  return lane;
}

export function showStock(lane, { available, total }) {
  const share = total > 0 ? available / total : 0;
  find("i", lane).style.transform = `scaleX(${share})`;
  lane.classList.toggle("low", share < 0.15);
  const count = find(".count", lane);
  count.speaks = [];
  say(count, () => (count.textContent = t("left", { n: number(available), total: number(total) })));
}

/** The state of an item now. The server may have said it before a start or an end that has passed since. */
export function phase(item) {
  const time = now();
  if (time >= Date.parse(item.ends_at)) return "ended";
  if (item.state === "upcoming" && time >= Date.parse(item.starts_at)) return "open";
  return item.state;
}

export const badge = (state) => el("span", { class: `badge ${state}` }, () => t(state));

export function price(item, tag = "p") {
  const was = item.list_price.amount > item.sale_price.amount;
  const cut = Math.round(100 - (100 * item.sale_price.amount) / item.list_price.amount);
  return el(
    tag,
    { class: "price" },
    el("b", { "aria-label": () => `${t("sale_price")} ${money(item.sale_price)}` }, () => money(item.sale_price)),
    was &&
      el("s", { "aria-label": () => `${t("list_price")} ${money(item.list_price)}` }, () => money(item.list_price)),
    was && cut > 0 && el("em", {}, () => t("off", { n: cut, z: number((100 - cut) / 10) })),
  );
}

/** An item's picture. Where its address is broken, the plain background shows instead of the browser's torn icon. */
export function picture(item, eager) {
  const image = el("img", {
    src: item.image,
    width: 800,
    height: 800,
    alt: () => half(item.title),
    decoding: "async",
    loading: eager ? "eager" : "lazy",
    fetchpriority: eager ? "high" : undefined,
  });
  image.addEventListener("error", () => image.classList.add("broken"), { once: true });
  return image;
}

// --- Messages -------------------------------------------------------------------------------------------------------

/** Tells people who use a screen reader what changed. */
export function announce(text) {
  const voice = find("#voice");
  // Screen readers say only what changed, so the same words twice need a difference.
  voice.textContent = voice.textContent === text ? `${text}\u00a0` : text;
}

/** A problem in words, with the reference that a shopper can give when asking for help. */
export const trouble = (problem) =>
  el(
    "div",
    { class: "trouble", role: "alert", "data-problem": problem.slug },
    icon("warn"),
    el(
      "p",
      {},
      () => explain(problem),
      problem.request_id && el("small", {}, () => t("reference", { id: problem.request_id })),
    ),
  );

/** "Trying again by itself in 3", with a button that stops it. */
export function waiting({ until, problem }, stop) {
  const left = el("b", { class: "digits" });
  const box = el(
    "div",
    { class: "trouble waiting", role: "status", "data-problem": problem.slug },
    icon("clock"),
    el(
      "p",
      {},
      () => explain(problem),
      " ",
      el("span", {}, () => t("wait"), " ", left),
    ),
    stop && button(() => t("stop"), stop, { class: "button quiet", "data-action": "stop" }),
  );
  onTick(box, () => (left.textContent = brief(until - performance.now())));
  return box;
}

/** A message in place of content: a heading, a sentence, what to do next. */
export const message = (name, title, text, ...actions) =>
  el(
    "div",
    { class: "message" },
    icon(name),
    el(find("h1") ? "h2" : "h1", { tabindex: -1 }, title),
    text && el("p", {}, text),
    el("div", { class: "actions" }, actions),
  );

/** Asks before something that can't be undone; resolves to true or false. */
export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const close = (value) => () => dialog.close(value);
    const dialog = el(
      "dialog",
      { "aria-labelledby": "ask" },
      el("h2", { id: "ask" }, () => t(title)),
      el("p", {}, () => t(text)),
      el(
        "div",
        { class: "actions" },
        button(() => t("keep_it"), close(""), { class: "button plain", "data-action": "keep", autofocus: true }),
        button(() => t(yes), close("yes"), { "data-action": "confirm" }),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// --- Being looked at --------------------------------------------------------------------------------------------------

/** Calls `then()` whenever people come back to the page: another tab closed, the device woke, the back button. */
export function onReturn(then) {
  document.addEventListener("visibilitychange", () => document.hidden || then());
  addEventListener("pageshow", (event) => event.persisted && then());
}

/** One delayed call at a time: a new `set(ms)` forgets the one before. */
export function timer(act) {
  let handle;
  return {
    set: (ms) => {
      clearTimeout(handle);
      handle = setTimeout(act, ms);
    },
    stop: () => clearTimeout(handle),
  };
}

// --- The frame ----------------------------------------------------------------------------------------------------------

for (const svg of document.querySelectorAll("[data-icon]")) drawIcon(svg, svg.dataset.icon);
for (const element of document.querySelectorAll("[data-t]"))
  say(element, () => (element.textContent = t(element.dataset.t)));
document.documentElement.dataset.ready = "";
find("#language").addEventListener("click", switchLanguage);
say(find("#language"), (element) => {
  element.textContent = t("other");
  element.lang = locale() === "en" ? "zh-CN" : "en";
});

const strip = find("#connection");
function showConnection() {
  const state = connected();
  strip.hidden = state === "ok";
  if (state !== "ok") strip.textContent = t(state);
}
addEventListener("connection", showConnection);
addEventListener("language", showConnection);
