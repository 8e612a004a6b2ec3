// What the shopper does on the item's page: reserve, solve the challenge, give back, check out.

import { actor } from "/assets/acting.js";
import { adopt, lookIn, poll } from "/assets/item-polling.js";
import { api, changed, state } from "/assets/item-state.js";
import { insist, now } from "/assets/net.js";
import { confirmed, el, find, timer, trouble } from "/assets/ui.js";
import { t } from "/assets/words.js";
import { work } from "/assets/work.js";

const view = find("#view");
const notice = find("#notice");

const { act, isActing } = actor({
  notice,
  hold: (words) => {
    document.body.dataset.busy = words;
    view.inert = true;
    return () => {
      view.inert = false;
      delete document.body.dataset.busy;
    };
  },
  after: (refusal) => {
    if (refusal) refused(refusal);
    changed(true);
  },
});

export { isActing };

/** A refusal that says how the item stands moves the page there; any other is told. */
function refused(refusal) {
  const phase = { paused: "paused", "sold-out": "sold_out", ended: "ended" }[refusal.slug];
  // Fewer may be left than the shopper asked for. Then they are told how many, and may ask for those.
  if (phase && !refusal.available) {
    const { item } = state;
    const stock = phase === "sold_out" ? { ...item.stock, available: 0 } : item.stock;
    state.item = { ...item, state: phase, stock };
    state.challenge = null;
    lookIn(2000 + Math.random() * 3000);
    return;
  }
  if (refusal.slug === "hold-expired" || refusal.slug === "conflict") poll();
  changed();
  notice.replaceChildren(trouble(refusal));
  if (refusal.slug === "purchase-limit") {
    notice.append(el("a", { class: "button plain", href: "/orders" }, () => t("orders")));
  }
}

/** A pause may last for hours. The page shows it instead of trying again. */
const settle = (refusal) => refusal.slug === "paused";

// --- The challenge that the page asks for by itself at the start, so that a slow device begins to work at once ----------

/** How long the pages of a crowd take at most to ask, in ms, so that they are not one wave. */
const SPREAD = 800;
/** A challenge with less time left than this, in ms, is not worth beginning with. */
const TOO_LATE = 20000;
let ahead = null;
const starting = timer(prepare);

/** Asks for a challenge in a moment, before the shopper does. */
export const prepareSoon = () => starting.set(Math.random() * SPREAD);

function prepare() {
  if (isActing() || ahead || document.hidden) return;
  const abort = new AbortController();
  // After a refusal there is none, and the shopper who asks is told why. But the page's clock may be a little early.
  const final = (refusal) => refusal.slug !== "not-started";
  const request = { user: true, body: {}, signal: abort.signal };
  const asked = insist("POST", `${api}/challenges`, request, { settle: final }).then(
    ({ data }) => {
      if (data.kind === "pow" && !abort.signal.aborted) data.work = work(data);
      return data;
    },
    () => null,
  );
  ahead = { asked, abort };
}

/** Drops the challenge that nobody asked for, and the work on it. */
export function dropPrepared() {
  starting.stop();
  ahead?.abort.abort();
  ahead?.asked.then((data) => data?.work?.stop());
  ahead = null;
}

/** The challenge that the page asked for by itself, once; null if there is none that is good. */
async function prepared() {
  starting.stop();
  const data = await ahead?.asked;
  const isGood = data && Date.parse(data.expires_at) - now() > TOO_LATE;
  // From now on the challenge's view looks after the work.
  if (isGood) ahead = null;
  else dropPrepared();
  return isGood ? data : null;
}

/** Asks for a challenge, or for a place at once where the item has none. */
export function reserve() {
  state.kind = undefined;
  act("asking", ask);
}

async function ask(signal, onWait) {
  const body = { kind: state.kind };
  const asked = () => insist("POST", `${api}/challenges`, { user: true, body, signal }, { onWait, settle });
  const data = (await prepared()) ?? (await asked()).data;
  if (data.kind === "off") return enter({}, signal, onWait);
  state.challenge = data;
}

let lapses = 0;

/** Asks for another challenge, of the kind `preferred`. `why` is the key of a sentence about the one before. */
export function another(why, preferred = state.kind) {
  state.kind = preferred;
  // The shopper has left, so the server need not draw more pictures for them.
  if (why === "lapsed" && (document.hidden || ++lapses > 3)) {
    state.challenge = state.hint = null;
    lapses = 0;
    return changed();
  }
  state.hint = why;
  act("asking", ask);
}

/** Leaves the challenge. */
export function leave() {
  state.challenge = state.hint = null;
  changed(true);
}

/** Asks for a place with the solution of the challenge. */
export const solve = (solution) =>
  act("sending", (signal, onWait) => enter({ challenge: state.challenge.challenge, answer: solution }, signal, onWait));

async function enter(proof, signal, onWait) {
  document.body.dataset.busy = "sending";
  try {
    const body = { ...proof, quantity: state.quantity };
    const { data } = await insist("POST", `${api}/reservations`, { user: true, body, signal }, { onWait, settle });
    state.hint = null;
    adopt(data, true);
  } catch (error) {
    if (error.slug === "challenge-failed" && proof.challenge) {
      state.hint = "wrong";
      await ask(signal, onWait);
    } else {
      state.challenge = null;
      throw error;
    }
  }
}

/** Gives the place or the hold back, after asking whether that is meant. */
export async function giveBack() {
  if (!(await confirmed("give_back_ask", "give_back_text", "give_back_yes"))) return;
  await act("wait_open", async (signal, onWait) => {
    const { id } = state.reservation;
    await insist("DELETE", `/api/reservations/${encodeURIComponent(id)}`, { user: true, signal }, { onWait });
    if (state.reservation?.id === id) adopt({ ...state.reservation, state: "released" }, true);
  });
}

/** Makes an order of the hold. `mark(errors)` is told of the fields that the server refuses. */
export const checkout = (body, mark) =>
  act("ordering", async (signal, onWait) => {
    try {
      const path = `/api/reservations/${encodeURIComponent(state.reservation.id)}/checkout`;
      const { data } = await insist("POST", path, { user: true, body, signal }, { onWait });
      state.order = data;
      sessionStorage.removeItem("stampede.details");
      adopt({ ...state.reservation, state: "ordered", order_id: data.id }, true);
    } catch (error) {
      if (error.slug === "invalid") mark(error.errors ?? []);
      throw error;
    }
  });
