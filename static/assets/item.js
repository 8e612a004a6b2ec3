// The item's page: from the countdown through the challenge and the queue to an order.
//
// What the shopper has is the server's to say; this page only remembers the id of the reservation, per item, and asks.
// So a reload, a second tab, the back button and a lost connection all end up at the same place.

import { challengeView } from "/assets/challenge.js";
import { call, delay, hasSession, insist, now, openSession, Refusal } from "/assets/net.js";
import { orderPanel } from "/assets/order-panel.js";
import { keep, kept, onKept } from "/assets/store.js";
import {
  announce,
  badge,
  brief,
  button,
  confirmed,
  el,
  find,
  fuse,
  icon,
  message,
  money,
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
  waiting,
} from "/assets/ui.js";
import { half, locale, say, t } from "/assets/words.js";

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const api = `/api/items/${encodeURIComponent(id)}`;
const memory = `reservation.${id}`;

const stage = find("#stage");
const view = find("#view");
const notice = find("#notice");

let item = null;
let etag = null;
let gone = null; // the refusal that keeps the item from being shown
let reservation = null;
let order = null;
let challenge = null;
let hint = null;
let kind; // of challenge, where the shopper chose one
let quantity = 1;

// --- Which step ---------------------------------------------------------------------------------------------------

const LIVE = ["queued", "held", "ordered"];

function stepNow() {
  if (gone) return gone.status === 404 ? "missing" : "failed";
  if (!item) return "loading";
  if (!reservation && kept(memory)) return "checking";
  if (reservation) return reservation.state === "ordered" && !order ? "checking" : reservation.state;
  if (challenge) return "challenge";
  const at = phase(item);
  return at === "open" ? "ready" : at;
}

let drawn;
let current = {};

/** Shows the present step. The focus follows where the shopper had it on the stage, or when `lead` says so. */
function draw(lead) {
  const step = stepNow();
  document.body.dataset.step = step;
  document.body.dataset.reservation = reservation?.state ?? "";
  const key = [step, reservation?.id, challenge?.challenge, item?.per_user_limit].join();
  if (key !== drawn) {
    const before = drawn?.split(",")[0];
    drawn = key;
    const held = stage.contains(document.activeElement);
    current.stop?.();
    current = STEPS[step]();
    view.replaceChildren(current.node);
    stage.dataset.step = step;
    notice.replaceChildren();
    const heading = find("h1, h2", view);
    if (held || (lead && step !== "loading"))
      (current.focus ?? (() => (find("#reserve", view) ?? heading)?.focus({ preventScroll: false })))();
    if (step === "ready" && before === "upcoming") announce(t("announce_go"));
    else if (before && heading && step !== "challenge") announce(heading.textContent);
  }
  current.update?.();
  titles();
}

// --- One thing at a time --------------------------------------------------------------------------------------------

let acting = null;

/** Runs what the shopper asked for: says so meanwhile, shows pauses with a way out, and its refusal afterwards. */
async function act(words, work) {
  if (acting) return;
  const abort = (acting = new AbortController());
  const { signal } = abort;
  const from = document.activeElement;
  const busy = el("p", { class: "busy", role: "status" }, () => t(words));
  document.body.dataset.busy = words;
  notice.replaceChildren(busy);
  view.inert = true;
  const onWait = (pause) => notice.replaceChildren(pause ? waiting(pause, () => abort.abort()) : busy);
  let refusal;
  try {
    await work(signal, onWait);
  } catch (error) {
    if (!signal.aborted) {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    }
  } finally {
    acting = null;
    view.inert = false;
    delete document.body.dataset.busy;
    notice.replaceChildren();
    if (refusal) refused(refusal);
    draw(true);
    if (document.activeElement === document.body && from?.isConnected) from.focus();
  }
}

/** A refusal that says how the item stands moves the page there; any other is told. */
function refused(refusal) {
  const state = { paused: "paused", "sold-out": "sold_out", ended: "ended" }[refusal.slug];
  if (state) {
    item = { ...item, state, stock: state === "sold_out" ? { ...item.stock, available: 0 } : item.stock };
    challenge = null;
    looking.set(2000 + Math.random() * 3000);
    return;
  }
  if (refusal.slug === "hold-expired" || refusal.slug === "conflict") poll();
  draw();
  notice.replaceChildren(trouble(refusal));
  if (refusal.slug === "purchase-limit")
    notice.append(el("a", { class: "button plain", href: "/orders" }, () => t("orders")));
}

const isFinal = (refusal) => refusal.slug === "paused";

// --- The item, looked at again and again -----------------------------------------------------------------------------

let misses = 0;
const looking = timer(look);

async function look() {
  looking.stop();
  try {
    const answer = await call("GET", api, { etag });
    misses = 0;
    gone = null;
    if (answer.data) {
      item = answer.data;
      etag = answer.etag;
      showItem();
    }
    draw();
    looking.set(pace());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 404 || (!item && !error.passing)) {
      gone = error;
      return draw();
    }
    misses++;
    if (!item && misses > 2) gone = error;
    draw();
    looking.set(delay(error, misses));
  }
}

/** When to look again: often while stock moves, seldom otherwise, and spread out so that a crowd is not a wave. */
function pace() {
  if (document.hidden) return 2 ** 31 - 1;
  const at = phase(item);
  const time = now();
  const busy = LIVE.includes(reservation?.state);
  const usual = { open: busy ? 10000 : 1500, paused: 4000, sold_out: 8000, upcoming: 20000, ended: 60000 }[at] ?? 10000;
  const edge = Math.min(
    ...[item.starts_at, item.ends_at].map((iso) => Date.parse(iso) - time).filter((ms) => ms > 0),
    Infinity,
  );
  return Math.min(usual * (0.85 + Math.random() * 0.3), edge + 200 + Math.random() * 1300);
}

// The moments that need no answer of the server: the start, the end, and a session asked for before the rush.
let said = null;
const early = timer(() => hasSession() || openSession().catch(() => {}));
let warming = false;

onTick(stage, () => {
  if (!item) return;
  if (stepNow() !== document.body.dataset.step) draw();
  titles();
  const left = Date.parse(item.starts_at) - now();
  if (phase(item) !== "upcoming") return;
  if (left < 90000 && !warming) {
    warming = true;
    early.set(Math.random() * Math.max(0, left - 5000));
  }
  const mark = [300, 60, 30, 10].find((seconds) => Math.ceil(left / 1000) === seconds);
  if (mark && mark !== said)
    announce(mark < 60 ? t("announce_s", { n: (said = mark) }) : t("announce_m", { n: (said = mark) / 60 }));
});

// --- The reservation ---------------------------------------------------------------------------------------------------

let failures = 0;
let asked = -Infinity;
const polling = timer(poll);

/** Takes in what the server says of the reservation. */
function adopt(fresh, lead) {
  const notes = kept(memory);
  const mine = notes?.id === fresh.id ? notes : { id: fresh.id };
  reservation = fresh;
  if (fresh.state === "queued") mine.from = Math.max(mine.from ?? 0, fresh.position ?? 0);
  if (fresh.state === "held") mine.whole ??= Math.max(1000, Date.parse(fresh.hold_expires_at) - now());
  keep(memory, mine);
  challenge = null;
  if (fresh.state === "ordered" && order?.reservation_id !== fresh.id && fresh.order_id) readOrder(fresh.order_id);
  draw(lead);
  planPoll();
}

function planPoll() {
  const { state, poll_after_ms, hold_expires_at } = reservation ?? {};
  const spread = 1 + Math.random() * 0.15;
  if (state === "queued") polling.set(Math.max(document.hidden ? 5000 : 200, poll_after_ms ?? 1000) * spread);
  else if (state === "held")
    polling.set(Math.min(15000 * spread, Math.max(0, Date.parse(hold_expires_at) - now()) + 300 + Math.random() * 700));
  else polling.stop();
}

async function poll() {
  polling.stop();
  asked = performance.now();
  const wanted = reservation?.id ?? kept(memory)?.id;
  if (!wanted) return;
  try {
    const { data } = await call("GET", `/api/reservations/${encodeURIComponent(wanted)}`, { user: true });
    failures = 0;
    if (wanted === (reservation?.id ?? kept(memory)?.id)) adopt(data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // Nobody's, or not this session's any more: then there is nothing to go on with.
    if (error.slug === "not-found" || error.slug === "unauthorized") return forget();
    polling.set(delay(error, failures++));
  }
}

async function readOrder(orderId) {
  try {
    order = (await insist("GET", `/api/orders/${encodeURIComponent(orderId)}`, { user: true })).data;
    draw();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    notice.replaceChildren(trouble(error));
  }
}

/** Lets go of the reservation, for a new try. */
function forget() {
  polling.stop();
  reservation = order = challenge = null;
  keep(memory, null);
  draw();
  looking.set(0);
}

// --- What the shopper does ------------------------------------------------------------------------------------------------

const reserve = () => {
  kind = undefined;
  act("asking", ask);
};

async function ask(signal, onWait) {
  const { data } = await insist(
    "POST",
    `${api}/challenges`,
    { user: true, body: { kind }, signal },
    { onWait, settle: isFinal },
  );
  if (data.kind === "off") return enter({}, signal, onWait);
  challenge = data;
}

let lapses = 0;
const another = (why, preferred = kind) => {
  kind = preferred;
  // Nobody is looking any more: no need to draw pictures for them.
  if (why === "lapsed" && (document.hidden || ++lapses > 3)) {
    challenge = hint = null;
    lapses = 0;
    return draw();
  }
  hint = why;
  act("asking", ask);
};

const answer = (text) =>
  act("sending", (signal, onWait) => enter({ challenge: challenge.challenge, answer: text }, signal, onWait));

async function enter(proof, signal, onWait) {
  document.body.dataset.busy = "sending";
  try {
    const { data } = await insist(
      "POST",
      `${api}/reservations`,
      { user: true, body: { ...proof, quantity }, signal },
      { onWait, settle: isFinal },
    );
    hint = null;
    adopt(data, true);
  } catch (error) {
    if (error.slug === "challenge-failed" && proof.challenge) {
      hint = "wrong";
      await ask(signal, onWait);
    } else {
      challenge = null;
      throw error;
    }
  }
}

async function giveBack() {
  if (!(await confirmed("give_back_ask", "give_back_text", "give_back_yes"))) return;
  await act("wait_open", async (signal, onWait) => {
    const { id: wanted } = reservation;
    await insist("DELETE", `/api/reservations/${encodeURIComponent(wanted)}`, { user: true, signal }, { onWait });
    if (reservation?.id === wanted) adopt({ ...reservation, state: "released" }, true);
  });
}

const checkout = (details, mark) =>
  act("ordering", async (signal, onWait) => {
    try {
      const { data } = await insist(
        "POST",
        `/api/reservations/${encodeURIComponent(reservation.id)}/checkout`,
        { user: true, body: details, signal },
        { onWait },
      );
      order = data;
      sessionStorage.removeItem("stampede.details");
      adopt({ ...reservation, state: "ordered", order_id: data.id }, true);
    } catch (error) {
      if (error.slug === "invalid") mark(error.errors ?? []);
      throw error;
    }
  });

// --- The steps ----------------------------------------------------------------------------------------------------------------

const heading = (key, values) => el("h2", { tabindex: -1 }, () => t(key, values?.()));

function gate(...parts) {
  return el("div", { class: "gate" }, ...parts);
}

function loading() {
  return { node: el("p", { class: "busy", role: "status" }, () => t("loading")) };
}

function upcoming() {
  const word = el("h2", { class: "marks", tabindex: -1 });
  const marks = el("span");
  word.append(marks);
  say(marks, () => (marks.textContent = t(marks.dataset.key || "marks")));
  const starts = Date.parse(item.starts_at);
  // The ticks come once a second; this one is for the very moment.
  const precise = setTimeout(draw, Math.min(2 ** 31 - 1, Math.max(0, starts - now()) + 5));
  onTick(word, () => {
    const key = starts - now() > 60000 ? "marks" : "set";
    if (marks.dataset.key !== key) marks.textContent = t((marks.dataset.key = key));
  });
  return {
    node: gate(
      word,
      stadiumClock(
        () => Date.parse(item.starts_at),
        () => t("starts_in"),
      ),
      el(
        "p",
        { class: "fine" },
        timeOf(item.starts_at, (time) => t("starts", { t: time })),
      ),
      button(() => t("not_yet"), null, { id: "reserve", class: "button big", disabled: true }),
      el("p", { class: "fine" }, () => t("our_clock")),
    ),
    stop: () => clearTimeout(precise),
  };
}

function ready() {
  const lane = stockLane(item.stock);
  const most = () => Math.max(1, Math.min(item.per_user_limit, item.stock.available || item.per_user_limit));
  const count = el("output", { id: "quantity", "aria-label": () => t("quantity") });
  const step = (by) => () => {
    quantity = Math.min(most(), Math.max(1, quantity + by));
    update();
  };
  const fewer = button(icon("minus"), step(-1), {
    class: "button plain square",
    "data-action": "fewer",
    "aria-label": () => t("fewer"),
  });
  const further = button(icon("plus"), step(1), {
    class: "button plain square",
    "data-action": "more",
    "aria-label": () => t("one_more"),
  });
  const sum = el("b");
  function update() {
    showStock(lane, item.stock);
    quantity = Math.min(quantity, most());
    count.textContent = number(quantity);
    fewer.disabled = quantity <= 1;
    further.disabled = quantity >= most();
    sum.textContent = money({ ...item.sale_price, amount: item.sale_price.amount * quantity });
  }
  return {
    node: gate(
      el("h2", { class: "marks go", tabindex: -1 }, () => t("go")),
      lane,
      item.per_user_limit > 1 &&
        el(
          "div",
          { class: "quantity" },
          el("span", {}, () => t("quantity")),
          fewer,
          count,
          further,
          sum,
        ),
      button(() => t("reserve"), reserve, { id: "reserve", class: "button big", "data-action": "reserve" }),
      el(
        "p",
        { class: "fine" },
        () => t("how"),
        " ",
        timeOf(item.ends_at, (time) => t("ends", { t: time })),
      ),
    ),
    update,
  };
}

const challengeStep = () =>
  challengeView(challenge, {
    submit: answer,
    another,
    hint,
    cancel: () => {
      challenge = hint = null;
      draw(true);
    },
  });

function queued() {
  const place = el("output", { class: "place", id: "position" });
  const bar = el("progress", { max: 1, id: "queue-progress", "aria-label": () => t("queue_progress") });
  const rate = el("p", { class: "fine" });
  const often = el("span");
  say(often, () => update());
  function update() {
    const position = reservation.position ?? 0;
    const from = Math.max(kept(memory)?.from ?? position, position, 1);
    place.textContent = position > 1 ? number(position) : t("next");
    place.classList.toggle("words", position <= 1);
    bar.value = Math.max(0.03, 1 - position / (from + 1));
    often.textContent = t("updated", { n: number(Math.round((reservation.poll_after_ms ?? 1000) / 100) / 10) });
  }
  rate.append(often);
  return {
    node: gate(
      el(
        "div",
        { class: "bib" },
        el("p", { class: "race" }, "Stampede"),
        el("p", { class: "label" }, () => t("place")),
        place,
        bar,
        heading("queued"),
      ),
      el("p", { class: "fine" }, () => t("queued_text")),
      rate,
      button(() => t("give_back"), giveBack, { id: "give-back", class: "button quiet", "data-action": "give-back" }),
    ),
    update,
    focus: () => find("h2", view).focus(),
  };
}

// The least and the most characters. The server takes any contact and address that is not empty.
const LIMITS = { contact: [3, 200], address: [5, 500], note: [0, 500] };

function held() {
  const draft = JSON.parse(sessionStorage.getItem("stampede.details") ?? "{}");
  const fields = {};
  const field = (name, tag, properties) => {
    const input = el(tag, {
      id: name,
      name,
      maxlength: LIMITS[name][1],
      "aria-describedby": `${name}-error`,
      required: LIMITS[name][0] > 0,
      ...properties,
    });
    input.value = draft[name] ?? "";
    const error = el("p", { class: "field-error", id: `${name}-error`, role: "alert" });
    input.addEventListener("input", () => {
      mark(name, "");
      sessionStorage.setItem("stampede.details", JSON.stringify(read()));
    });
    fields[name] = { input, error };
    return el(
      "div",
      { class: "field" },
      el("label", { for: name }, () => t(name), !LIMITS[name][0] && (() => t("optional"))),
      input,
      error,
    );
  };
  const read = () => Object.fromEntries(Object.entries(fields).map(([name, { input }]) => [name, input.value.trim()]));
  const mark = (name, text) => {
    const { input, error } = fields[name];
    error.textContent = text;
    input.setAttribute("aria-invalid", String(Boolean(text)));
  };
  function submit(event) {
    event.preventDefault();
    const details = read();
    const bad = Object.keys(fields).filter((name) => {
      const [least, most] = LIMITS[name];
      const length = details[name].length;
      mark(name, length < least ? t(`${name}_short`) : length > most ? t("long", { n: most }) : "");
      return length < least || length > most;
    });
    if (bad.length) return fields[bad[0]].input.focus();
    checkout(details, (errors) => {
      // The server speaks English; in Chinese the page says what it wants in its own words.
      for (const { field: name, message: text } of errors)
        if (fields[name]) mark(name, locale() === "en" || !LIMITS[name][0] ? text : t(`${name}_short`));
      fields[errors.find(({ field: name }) => fields[name])?.field]?.input.focus();
    });
  }
  const { quantity: units } = reservation;
  return {
    node: gate(
      el(
        "header",
        { class: "verdict won" },
        icon("check"),
        heading("held"),
        el("p", {}, () => t("held_text", { n: number(units ?? 1) })),
      ),
      fuse(
        () => Date.parse(reservation.hold_expires_at),
        kept(memory)?.whole ?? 300000,
        () => t("hold_left"),
      ),
      el(
        "form",
        { id: "checkout-form", novalidate: true, on: { submit } },
        el("h3", {}, () => t("checkout")),
        field("contact", "input", { autocomplete: "tel", inputmode: "email", placeholder: () => t("contact_hint") }),
        field("address", "textarea", { rows: 2, autocomplete: "street-address" }),
        field("note", "input", { autocomplete: "off", placeholder: () => t("note_hint") }),
        el(
          "p",
          { class: "sum" },
          el("span", {}, () => t("total")),
          el("b", {}, () => money({ ...item.sale_price, amount: item.sale_price.amount * (units ?? 1) })),
        ),
        el("button", { class: "button big", id: "checkout" }, () => t("order_now")),
      ),
      button(() => t("give_back_hold"), giveBack, {
        id: "give-back",
        class: "button quiet",
        "data-action": "give-back",
      }),
    ),
  };
}

function ordered() {
  const closed = () => order.state !== "unpaid" && order.state !== "paid";
  const again = el("div", { class: "actions" });
  const panel = orderPanel(order, (fresh) => {
    order = fresh;
    update();
  });
  function update() {
    const key = String(closed());
    if (again.dataset.closed === key) return;
    again.dataset.closed = key;
    again.replaceChildren(
      closed() ? button(() => t("try_again"), forget, { id: "try-again", "data-action": "try-again" }) : "",
      el("a", { class: "button plain", href: `/orders/${encodeURIComponent(order.id)}`, id: "see-order" }, () =>
        t("see_order"),
      ),
    );
  }
  requestAnimationFrame(panel.plan);
  return {
    node: gate(panel.node, again),
    update,
    stop: panel.stop,
    focus: () => find("h2", view).focus(),
    look: panel.look,
  };
}

const over = (symbol, title, text) => () => ({
  node: gate(
    message(
      symbol,
      () => t(title),
      () => t(text),
      reservation && button(() => t("try_again"), forget, { id: "try-again", "data-action": "try-again" }),
      el("a", { class: "button plain", href: "/" }, () => t("all_sales")),
    ),
  ),
});

const STEPS = {
  loading,
  failed: () => ({
    node: gate(
      trouble(gone),
      button(
        () => t("retry"),
        () => {
          gone = null;
          drawn = undefined;
          draw();
          look();
        },
        { "data-action": "retry" },
      ),
    ),
  }),
  missing: over("flag", "missing", "missing_text"),
  checking: () => ({ node: gate(el("p", { class: "busy", role: "status" }, () => t("checking"))) }),
  upcoming,
  ready,
  challenge: challengeStep,
  queued,
  held,
  ordered,
  paused: over("pause", "paused_title", "paused_text"),
  sold_out: () =>
    over("flag", reservation ? "out_title" : "soldout_title", reservation ? "out_text" : "soldout_text")(),
  ended: over("flag", "ended_title", "ended_text"),
  rejected: over("warn", "rejected_title", "rejected_text"),
  expired: over("clock", "expired_title", "expired_text"),
  released: over("check", "released_title", "released_text"),
};

// --- The rest of the page ---------------------------------------------------------------------------------------------------------

let shown;

/** The item's own words and figures, made anew when they changed. */
function showItem() {
  const state = phase(item);
  const { stock, server_time, ...rest } = item;
  const key = JSON.stringify([rest, state]);
  if (key === shown) return;
  const first = shown === undefined;
  shown = key;
  if (first || find("#picture img")?.getAttribute("src") !== item.image)
    find("#picture").replaceChildren(picture(item, true));
  find("#facts").replaceChildren(
    badge(state),
    told("h1", () => item.title),
    told("p", () => item.subtitle, { class: "subtitle" }),
    price(item),
  );
  find("#about").replaceChildren(
    el(
      "ul",
      { class: "rules" },
      el("li", {}, icon("person"), () => t("limit", { n: number(item.per_user_limit) })),
      el("li", {}, icon("stack"), () => t("units", { n: number(item.stock.total) })),
      el("li", {}, icon(item.mode === "instant" ? "bolt" : "queue"), () =>
        t(item.mode === "instant" ? "instant_mode" : "queued_mode"),
      ),
    ),
    told("p", () => item.description, { class: "description" }),
  );
}

function titles() {
  const name = item ? half(item.title) : "";
  const lead = {
    upcoming: () => (Date.parse(item.starts_at) - now() < 3600000 ? brief(Date.parse(item.starts_at) - now()) : ""),
    ready: () => t("go"),
    queued: () => (reservation.position > 1 ? `#${number(reservation.position)}` : t("next")),
    held: () => `${t("held")} ${brief(Date.parse(reservation.hold_expires_at) - now())}`,
  }[document.body.dataset.step]?.();
  document.title = [lead, name, "Stampede"].filter(Boolean).join(" · ");
}

function resume() {
  // Coming and going must not outrun what the server asked for.
  if (kept(memory)) polling.set(Math.max(0, asked + (reservation?.poll_after_ms ?? 1000) - performance.now()));
  current.look?.();
  looking.set(Math.random() * 300);
}

onReturn(resume);
document.addEventListener("visibilitychange", () => document.hidden && looking.stop());
addEventListener("online", resume);
addEventListener("language", titles);
onKept(memory, (notes) => {
  // Another tab has a newer reservation, or has let go of this one.
  if (acting || notes?.id === reservation?.id) return;
  reservation = order = challenge = null;
  draw();
  if (notes) poll();
});

draw();
look();
if (kept(memory)) poll();
