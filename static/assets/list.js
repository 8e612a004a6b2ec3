// The list of sales: open, coming and past.

import { call, delay, now, Refusal } from "/assets/net.js";
import {
  announce,
  badge,
  button,
  el,
  find,
  icon,
  message,
  number,
  onReturn,
  onTick,
  phase,
  picture,
  price,
  showStock,
  stadiumClock,
  stockLane,
  timeOf,
  timer,
  told,
  trouble,
} from "/assets/ui.js";
import { define, say, t } from "/assets/words.js";

define({
  hero_next: ["Next at the line", "下一场"],
  hero_open: ["On the track now", "正在抢购"],
  hero_none: ["The track is quiet", "赛道静候"],
  hero_none_text: ["No sale is on or announced. Come back soon.", "暂无进行中或预告的抢购，请稍后再来。"],
  hero_text: ["Scarce things, honest queues, one clock for all.", "好物稀缺，排队公平，人人同一个时钟。"],
  enter: ["Go to the start", "前往起跑线"],
  search: ["Search sales and items", "搜索活动与商品"],
  clear: ["Clear the search", "清除搜索"],
  nothing: ["Nothing found for “{q}”.", "没有找到“{q}”。"],
  none: ["There are no sales yet.", "还没有抢购活动。"],
  more: ["Show more sales", "加载更多活动"],
  shown: ["{n} of {total} sales", "已显示 {n} / {total} 场"],
  list_failed: ["The sales could not be loaded", "活动加载失败"],
});

const PAGE = 10;
const list = find("#sales");
const more = find("#more");
const hero = find("#hero");
const search = find("#search");
const field = find("#q");

let sales = [];
let total = 0;
let failures = 0;
let reading = null;
const cards = new Map();
const refresh = timer(() => read(Math.max(1, Math.ceil(sales.length / PAGE)), true));

/** Reads the first `pages` pages. A newer call takes the place of an older one. */
async function read(pages, quiet) {
  reading?.abort();
  reading = new AbortController();
  const { signal } = reading;
  refresh.stop();
  const q = field.value.trim();
  const size = Math.min(100, pages * PAGE);
  const query = new URLSearchParams({ page: 1, page_size: size, ...(q && { q }) });
  if (!quiet) list.setAttribute("aria-busy", "true");
  try {
    const { data } = await call("GET", `/api/sales?${query}`, { signal });
    failures = 0;
    total = data.total;
    // One request reads a hundred at most. A refresh keeps those beyond as they are.
    sales = data.sales.concat(quiet ? sales.slice(size) : []);
    show(q);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    failures++;
    if (!quiet || !sales.length) fail(error);
    plan(delay(error, failures));
    return;
  } finally {
    if (!signal.aborted) list.removeAttribute("aria-busy");
  }
  plan();
}

async function readMore() {
  more.disabled = true;
  try {
    const page = Math.floor(sales.length / PAGE) + 1;
    const q = field.value.trim();
    const { data } = await call("GET", `/api/sales?${new URLSearchParams({ page, page_size: PAGE, ...(q && { q }) })}`);
    const known = new Set(sales.map((sale) => sale.id));
    const first = data.sales.find((sale) => !known.has(sale.id));
    sales = sales.concat(data.sales.filter((sale) => !known.has(sale.id)));
    total = data.total;
    show(q);
    if (first) find(`#sale-${CSS.escape(first.id)} a`)?.focus();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    list.append(trouble(error));
  } finally {
    more.disabled = false;
  }
}

/** Plans the next refresh: in a while, and just after the next start or end. */
function plan(ms) {
  if (document.hidden) return;
  const time = now();
  const edges = sales
    .flatMap((sale) => sale.items)
    .flatMap((item) => [Date.parse(item.starts_at), Date.parse(item.ends_at)]);
  const next = Math.min(...edges.filter((edge) => edge > time)) - time;
  const usual = sales.some((sale) => sale.items.some((item) => phase(item) === "open")) ? 5000 : 20000;
  refresh.set(ms ?? Math.min(usual * (1 + Math.random() * 0.3), next + 300 + Math.random() * 2000));
}

function fail(error) {
  document.body.dataset.step = "failed";
  list.replaceChildren(
    trouble(error),
    message(
      "flag",
      () => t("list_failed"),
      null,
      button(
        () => t("retry"),
        () => read(1),
        { "data-action": "retry" },
      ),
    ),
  );
  more.hidden = true;
}

function show(q) {
  document.body.dataset.step = sales.length ? "ready" : "empty";
  const sections = sales.map((sale) => section(sale));
  if (!sales.length) {
    const clear = () => {
      field.value = "";
      submit();
    };
    list.replaceChildren(
      q
        ? message(
            "search",
            () => t("nothing", { q }),
            null,
            button(() => t("clear"), clear, { "data-action": "clear" }),
          )
        : message(
            "flag",
            () => t("none"),
            () => t("hero_none_text"),
          ),
    );
  } else if (sections.some((node, i) => list.children[i] !== node) || list.children.length !== sections.length) {
    list.replaceChildren(...sections);
  }
  more.hidden = sales.length >= total;
  showCount();
  if (!q) lead();
}

function showCount() {
  find("#shown").textContent =
    sales.length && !more.hidden ? t("shown", { n: number(sales.length), total: number(total) }) : "";
}

/** The sale's section on the page. It is replaced only when the sale's words or items changed. */
function section(sale) {
  const key = JSON.stringify([
    sale.title,
    sale.description,
    sale.items.map((item) => [item.id, item.version, item.starts_at, item.ends_at]),
  ]);
  let entry = cards.get(sale.id);
  if (entry?.key !== key) {
    const tiles = sale.items.map(card);
    entry = {
      key,
      tiles,
      node: el(
        "section",
        { class: "sale", id: `sale-${sale.id}` },
        el(
          "header",
          {},
          told("h2", () => sale.title),
          told("p", () => sale.description),
        ),
        el(
          "div",
          { class: "cards" },
          tiles.map((tile) => tile.node),
        ),
      ),
    };
    cards.set(sale.id, entry);
  }
  for (const [i, item] of sale.items.entries()) entry.tiles[i].update(item);
  return entry.node;
}

function card(item) {
  const state = el("p", { class: "when" });
  const node = el(
    "a",
    { class: "card", href: `/items/${encodeURIComponent(item.id)}`, "data-item": item.id },
    el("div", { class: "frame" }, picture(item)),
    el(
      "div",
      { class: "body" },
      told("h3", () => item.title),
      told("p", () => item.subtitle, { class: "subtitle" }),
      price(item),
      state,
    ),
  );
  let shown;
  const draw = () => {
    const now = phase(item);
    if (now !== shown) {
      shown = now;
      node.dataset.state = now;
      const lines = {
        upcoming: () => timeOf(item.starts_at, (time) => t("starts", { t: time })),
        open: () => stockLane(item.stock),
        paused: () => stockLane(item.stock),
      };
      state.replaceChildren(badge(now), lines[now]?.() ?? "");
    }
    const lane = find(".stock", state);
    if (lane) showStock(lane, item.stock);
  };
  onTick(node, () => phase(item) !== shown && draw());
  return {
    node,
    update: (fresh) => {
      item = fresh;
      draw();
    },
  };
}

/** The top of the page: the sale that is on, or the next start with its clock. */
let leading = null; // nothing has led yet
function lead() {
  const items = sales.flatMap((sale) => sale.items);
  const upcoming = items
    .filter((item) => phase(item) === "upcoming")
    .sort((a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at))[0];
  const open = items.find((item) => phase(item) === "open");
  const key = upcoming ? upcoming.id + upcoming.starts_at : open?.id;
  if (leading === key) return;
  leading = key;
  const item = upcoming ?? open;
  const link =
    item &&
    el("a", { class: "button light", href: `/items/${encodeURIComponent(item.id)}` }, () => t("enter"), icon("go"));
  const poster =
    item &&
    el(
      "a",
      { class: "poster", href: `/items/${encodeURIComponent(item.id)}`, tabindex: -1, "aria-hidden": "true" },
      picture(item, true),
    );
  if (upcoming) {
    const marks = el("h1", { id: "lead" });
    hero.replaceChildren(
      marks,
      el(
        "p",
        { class: "kicker" },
        () => t("hero_next"),
        told("b", () => item.title),
      ),
      stadiumClock(
        () => Date.parse(item.starts_at),
        () => t("starts_in"),
      ),
      link,
      poster,
    );
    let word;
    onTick(marks, () => {
      const left = Date.parse(item.starts_at) - now();
      const next = left > 60000 ? "marks" : left > 0 ? "set" : "go";
      if (word === next) return;
      word = next;
      marks.replaceChildren(el("span", {}, () => t(next)));
    });
  } else {
    hero.replaceChildren(
      el("h1", { id: "lead" }, () => t(open ? "go" : "hero_none")),
      el("p", { class: "kicker" }, () => t(open ? "hero_open" : "hero_text"), open && told("b", () => item.title)),
      link ?? "",
      poster ?? "",
    );
  }
}

function submit(event) {
  event?.preventDefault();
  const q = field.value.trim();
  history.replaceState(null, "", q ? `/?${new URLSearchParams({ q })}` : "/");
  read(1).then(() =>
    announce(sales.length ? t("shown", { n: number(sales.length), total: number(total) }) : t("nothing", { q })),
  );
}

let typing;
search.addEventListener("submit", submit);
field.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(submit, 350);
});
more.addEventListener("click", readMore);
onReturn(() => refresh.set(Math.random() * 400));
document.addEventListener("visibilitychange", () => document.hidden && refresh.stop());
addEventListener("online", () => refresh.set(Math.random() * 1000));

say(field, () => (field.placeholder = find("#q-label").textContent = t("search")));
say(more, () => (more.textContent = t("more")));
say(find("#shown"), showCount);
field.value = new URLSearchParams(location.search).get("q") ?? "";
read(1);
