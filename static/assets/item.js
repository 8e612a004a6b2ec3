// The item's page: from the countdown through the challenge and the queue to an order.
//
// The server decides what the shopper has. This page only remembers the id of the reservation, per item, and asks. So a
// reload, a second tab, the back button and a lost connection all end up at the same place.
//
// item-state.js holds what the page knows, item-polling.js asks the server, item-actions.js does what the shopper wants,
// item-steps.js makes the views. This module draws them.

import { dropPrepared, isActing, prepareSoon } from "/assets/item-actions.js";
import { begin, lookIn, poll, pollSoon, stopLooking } from "/assets/item-polling.js";
import { memory, onChange, state, stepNow } from "/assets/item-state.js";
import { STEPS } from "/assets/item-steps.js";
import { hasSession, now, openSession } from "/assets/net.js";
import { onKept } from "/assets/store.js";
import {
  announce,
  badge,
  brief,
  el,
  find,
  icon,
  number,
  onReturn,
  onTick,
  phase,
  picture,
  price,
  timer,
  told,
} from "/assets/ui.js";
import { half, t } from "/assets/words.js";

const stage = find("#stage");
const view = find("#view");
const notice = find("#notice");

/** What the present view was drawn for. */
let drawn;
/** The present view, of item-steps.js. */
let current = {};

/** Shows the present step. The focus follows where the shopper had it on the stage, or when `lead` says so. */
function draw(lead) {
  const { item, reservation, challenge } = state;
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
    if (held || (lead && step !== "loading")) {
      const focus = current.focus ?? (() => (find("#reserve", view) ?? heading)?.focus({ preventScroll: false }));
      focus();
    }
    if (step !== "ready" && step !== "challenge") dropPrepared();
    // Bots act within a moment of the start. A phone needs a second for its work, so it need not wait for the finger.
    if (step === "ready" && before === "upcoming") prepareSoon();
    if (step === "ready" && before === "upcoming") announce(t("announce_go"));
    else if (before && heading && step !== "challenge") announce(heading.textContent);
  }
  current.update?.();
  showTitle();
}

function showTitle() {
  const { item, reservation } = state;
  const lead = {
    upcoming: () => (Date.parse(item.starts_at) - now() < 3600000 ? brief(Date.parse(item.starts_at) - now()) : ""),
    ready: () => t("go"),
    queued: () => (reservation.position > 1 ? `#${number(reservation.position)}` : t("next")),
    held: () => `${t("held")} ${brief(Date.parse(reservation.hold_expires_at) - now())}`,
  }[document.body.dataset.step]?.();
  const name = item ? half(item.title) : "";
  document.title = [lead, name, "Stampede"].filter(Boolean).join(" · ");
}

/** What the item's own words and figures were last shown for. */
let shown;

/** Shows the item's own words and figures, if they changed. */
function showItem() {
  const { item } = state;
  const at = phase(item);
  const { stock, server_time, ...rest } = item;
  const key = JSON.stringify([rest, at]);
  if (key === shown) return;
  const first = shown === undefined;
  shown = key;
  if (first || find("#picture img")?.getAttribute("src") !== item.image) {
    find("#picture").replaceChildren(picture(item, true));
  }
  find("#facts").replaceChildren(
    badge(at),
    told("h1", () => state.item.title),
    told("p", () => state.item.subtitle, { class: "subtitle" }),
    price(item),
  );
  const mode =
    item.mode === "instant" ? { symbol: "bolt", words: "instant_mode" } : { symbol: "queue", words: "queued_mode" };
  find("#about").replaceChildren(
    el(
      "ul",
      { class: "rules" },
      el("li", {}, icon("person"), () => t("limit", { n: number(state.item.per_user_limit) })),
      el("li", {}, icon("stack"), () => t("units", { n: number(state.item.stock.total) })),
      el("li", {}, icon(mode.symbol), () => t(mode.words)),
    ),
    told("p", () => state.item.description, { class: "description" }),
  );
}

// --- What the clock alone brings: the start, the end, and a session asked for before the rush --------------------------

let announced = null;
let isWarming = false;
const warmUp = timer(() => hasSession() || openSession().catch(() => {}));

onTick(stage, () => {
  const { item } = state;
  if (!item) return;
  if (stepNow() !== document.body.dataset.step) draw();
  showTitle();
  if (phase(item) !== "upcoming") return;
  const left = Date.parse(item.starts_at) - now();
  if (left < 90000 && !isWarming) {
    isWarming = true;
    warmUp.set(Math.random() * Math.max(0, left - 5000));
  }
  const mark = [300, 60, 30, 10].find((seconds) => Math.ceil(left / 1000) === seconds);
  if (!mark || mark === announced) return;
  announced = mark;
  announce(mark < 60 ? t("announce_s", { n: mark }) : t("announce_m", { n: mark / 60 }));
});

// --- Coming and going -----------------------------------------------------------------------------------------------

function resume() {
  pollSoon();
  current.look?.();
  lookIn(Math.random() * 300);
}

onReturn(resume);
document.addEventListener("visibilitychange", () => document.hidden && stopLooking());
addEventListener("online", resume);
addEventListener("language", showTitle);
onKept(memory, (notes) => {
  // Another tab has a newer reservation, or has let go of this one.
  if (isActing() || notes?.id === state.reservation?.id) return;
  state.reservation = state.order = state.challenge = null;
  draw();
  if (notes) poll();
});

onChange(draw);
draw();
begin(showItem);
