// What the item's page shows at each step of a sale.

import { challengeView } from "/assets/challenge.js";
import { another, checkout, giveBack, leave, reserve, solve } from "/assets/item-actions.js";
import { forget, look } from "/assets/item-polling.js";
import { changed, memory, state } from "/assets/item-state.js";
import { now } from "/assets/net.js";
import { orderPanel } from "/assets/order-panel.js";
import { kept } from "/assets/store.js";
import {
  button,
  el,
  find,
  fuse,
  icon,
  message,
  money,
  number,
  onTick,
  showStock,
  stadiumClock,
  stockLane,
  timeOf,
  trouble,
} from "/assets/ui.js";
import { locale, say, t } from "/assets/words.js";

const view = find("#view");

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
  const starts = Date.parse(state.item.starts_at);
  // Ticks come once a second. This timer wakes the button at the very moment of the start.
  const precise = setTimeout(changed, Math.min(2 ** 31 - 1, Math.max(0, starts - now()) + 5));
  onTick(word, () => {
    const key = starts - now() > 60000 ? "marks" : "set";
    if (marks.dataset.key === key) return;
    marks.dataset.key = key;
    marks.textContent = t(key);
  });
  return {
    node: gate(
      word,
      stadiumClock(
        () => Date.parse(state.item.starts_at),
        () => t("starts_in"),
      ),
      el(
        "p",
        { class: "fine" },
        timeOf(state.item.starts_at, (time) => t("starts", { t: time })),
      ),
      button(() => t("not_yet"), null, { id: "reserve", class: "button big", disabled: true }),
      el("p", { class: "fine" }, () => t("our_clock")),
    ),
    stop: () => clearTimeout(precise),
  };
}

function ready() {
  const lane = stockLane(state.item.stock);
  const most = () =>
    Math.max(1, Math.min(state.item.per_user_limit, state.item.stock.available || state.item.per_user_limit));
  const count = el("output", { id: "quantity", "aria-label": () => t("quantity") });
  const step = (by) => () => {
    state.quantity = Math.min(most(), Math.max(1, state.quantity + by));
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
    showStock(lane, state.item.stock);
    state.quantity = Math.min(state.quantity, most());
    count.textContent = number(state.quantity);
    fewer.disabled = state.quantity <= 1;
    further.disabled = state.quantity >= most();
    sum.textContent = money({ ...state.item.sale_price, amount: state.item.sale_price.amount * state.quantity });
  }
  return {
    node: gate(
      el("h2", { class: "marks go", tabindex: -1 }, () => t("go")),
      lane,
      state.item.per_user_limit > 1 &&
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
        timeOf(state.item.ends_at, (time) => t("ends", { t: time })),
      ),
    ),
    update,
  };
}

const challenge = () => challengeView(state.challenge, { submit: solve, another, hint: state.hint, cancel: leave });

function queued() {
  const place = el("output", { class: "place", id: "position" });
  const bar = el("progress", { max: 1, id: "queue-progress", "aria-label": () => t("queue_progress") });
  const rate = el("p", { class: "fine" });
  const often = el("span");
  say(often, () => update());
  function update() {
    const position = state.reservation.position ?? 0;
    const from = Math.max(kept(memory)?.from ?? position, position, 1);
    place.textContent = position > 1 ? number(position) : t("next");
    place.classList.toggle("words", position <= 1);
    bar.value = Math.max(0.03, 1 - position / (from + 1));
    often.textContent = t("updated", { n: number(Math.round((state.reservation.poll_after_ms ?? 1000) / 100) / 10) });
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

// The least and the most characters. The server accepts any contact and address that is not empty.
const LENGTHS = { contact: [3, 200], address: [5, 500], note: [0, 500] };

function held() {
  const draft = JSON.parse(sessionStorage.getItem("stampede.details") ?? "{}");
  const fields = {};
  const field = (name, tag, properties) => {
    const input = el(tag, {
      id: name,
      name,
      maxlength: LENGTHS[name][1],
      "aria-describedby": `${name}-error`,
      required: LENGTHS[name][0] > 0,
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
      el("label", { for: name }, () => t(name), !LENGTHS[name][0] && (() => t("optional"))),
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
      const [least, most] = LENGTHS[name];
      const length = details[name].length;
      mark(name, length < least ? t(`${name}_short`) : length > most ? t("long", { n: most }) : "");
      return length < least || length > most;
    });
    if (bad.length) return fields[bad[0]].input.focus();
    checkout(details, (errors) => {
      // The server explains in English. A Chinese page uses its own words.
      for (const { field: name, message: text } of errors) {
        if (fields[name]) mark(name, locale() === "en" || !LENGTHS[name][0] ? text : t(`${name}_short`));
      }
      fields[errors.find(({ field: name }) => fields[name])?.field]?.input.focus();
    });
  }
  const { quantity: units } = state.reservation;
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
        () => Date.parse(state.reservation.hold_expires_at),
        kept(memory)?.hold ?? 300000,
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
          el("b", {}, () => money({ ...state.item.sale_price, amount: state.item.sale_price.amount * (units ?? 1) })),
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
  const closed = () => state.order.state !== "unpaid" && state.order.state !== "paid";
  const again = el("div", { class: "actions" });
  const panel = orderPanel(state.order, (fresh) => {
    state.order = fresh;
    update();
  });
  function update() {
    const key = String(closed());
    if (again.dataset.closed === key) return;
    again.dataset.closed = key;
    again.replaceChildren(
      closed() ? button(() => t("try_again"), forget, { id: "try-again", "data-action": "try-again" }) : "",
      el("a", { class: "button plain", href: `/orders/${encodeURIComponent(state.order.id)}`, id: "see-order" }, () =>
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
      state.reservation && button(() => t("try_again"), forget, { id: "try-again", "data-action": "try-again" }),
      el("a", { class: "button plain", href: "/" }, () => t("all_sales")),
    ),
  ),
});

/**
 * For each step a function that makes its view `{node, update, focus, look, stop}`; only `node` is always there.
 * `update()` shows what changed within the step, `focus()` puts the focus where the shopper goes on, `look()` asks the
 * server now, `stop()` ends what runs.
 */
export const STEPS = {
  loading,
  failed: () => ({
    node: gate(
      trouble(state.gone),
      button(
        () => t("retry"),
        () => {
          state.gone = null;
          changed();
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
  challenge,
  queued,
  held,
  ordered,
  paused: over("pause", "paused_title", "paused_text"),
  sold_out: () =>
    over("flag", state.reservation ? "out_title" : "soldout_title", state.reservation ? "out_text" : "soldout_text")(),
  ended: over("flag", "ended_title", "ended_text"),
  rejected: over("warn", "rejected_title", "rejected_text"),
  expired: over("clock", "expired_title", "expired_text"),
  released: over("check", "released_title", "released_text"),
};
