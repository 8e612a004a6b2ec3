// Asks the server how the item and the reservation stand, again and again.

import { api, changed, followed, isLive, memory, state } from "/assets/item-state.js";
import { call, delay, insist, now, Refusal } from "/assets/net.js";
import { keep, kept } from "/assets/store.js";
import { find, phase, timer, trouble } from "/assets/ui.js";

let showItem = () => {};

/** Begins to ask. `show()` is called with each new description of the item. */
export function begin(show) {
  showItem = show;
  look();
  if (kept(memory)) poll();
}

// --- The item ---------------------------------------------------------------------------------------------------

let misses = 0;
const looking = timer(look);

/** Asks for the item now, and plans the next time. */
export async function look() {
  looking.stop();
  try {
    const response = await call("GET", api, { etag: state.etag });
    misses = 0;
    state.gone = null;
    if (response.data) {
      state.item = response.data;
      state.etag = response.etag;
      showItem();
    }
    changed();
    looking.set(pace());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 404 || (!state.item && !error.passing)) {
      state.gone = error;
      return changed();
    }
    misses++;
    if (!state.item && misses > 2) state.gone = error;
    changed();
    looking.set(delay(error, misses));
  }
}

/** Asks for the item in `ms` instead of when it was planned. */
export const lookIn = looking.set;

/** Asks for the item no more, until somebody says when. */
export const stopLooking = looking.stop;

/** When to ask again: often while stock moves, seldom otherwise, and spread out so that a crowd is not a wave. */
function pace() {
  if (document.hidden) return 2 ** 31 - 1;
  const { item } = state;
  const at = phase(item);
  const time = now();
  const open = isLive() ? 10000 : 1500;
  const usual = { open, paused: 4000, sold_out: 8000, upcoming: 20000, ended: 60000 }[at] ?? 10000;
  const edge = Math.min(
    ...[item.starts_at, item.ends_at].map((iso) => Date.parse(iso) - time).filter((ms) => ms > 0),
    Infinity,
  );
  return Math.min(usual * (0.85 + Math.random() * 0.3), edge + 200 + Math.random() * 1300);
}

// --- The reservation --------------------------------------------------------------------------------------------

let failures = 0;
let asked = -Infinity;
const polling = timer(poll);

/** Asks for the reservation now, and plans the next time. */
export async function poll() {
  polling.stop();
  asked = performance.now();
  const wanted = followed();
  if (!wanted) return;
  try {
    const { data } = await call("GET", `/api/reservations/${encodeURIComponent(wanted)}`, { user: true });
    failures = 0;
    if (wanted === followed()) adopt(data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // Nobody has it, or this session no longer does. Nothing is left to follow.
    if (error.slug === "not-found" || error.slug === "unauthorized") return forget();
    polling.set(delay(error, failures++));
  }
}

/** Asks for the reservation as soon as the server's pace allows: coming and going must not outrun it. */
export function pollSoon() {
  if (kept(memory)) polling.set(Math.max(0, asked + (state.reservation?.poll_after_ms ?? 1000) - performance.now()));
}

/** Follows the reservation as the server describes it. */
export function adopt(fresh, lead) {
  const notes = kept(memory);
  const mine = notes?.id === fresh.id ? notes : { id: fresh.id };
  state.reservation = fresh;
  if (fresh.state === "queued") mine.from = Math.max(mine.from ?? 0, fresh.position ?? 0);
  if (fresh.state === "held") mine.hold ??= Math.max(1000, Date.parse(fresh.hold_expires_at) - now());
  keep(memory, mine);
  state.challenge = null;
  if (fresh.state === "ordered" && state.order?.reservation_id !== fresh.id && fresh.order_id)
    readOrder(fresh.order_id);
  changed(lead);
  planPoll();
}

function planPoll() {
  const { state: step, poll_after_ms, hold_expires_at } = state.reservation ?? {};
  const spread = 1 + Math.random() * 0.15;
  if (step === "queued") {
    polling.set(Math.max(document.hidden ? 5000 : 200, poll_after_ms ?? 1000) * spread);
  } else if (step === "held") {
    const left = Math.max(0, Date.parse(hold_expires_at) - now());
    polling.set(Math.min(15000 * spread, left + 300 + Math.random() * 700));
  } else {
    polling.stop();
  }
}

async function readOrder(orderId) {
  try {
    state.order = (await insist("GET", `/api/orders/${encodeURIComponent(orderId)}`, { user: true })).data;
    changed();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    find("#notice").replaceChildren(trouble(error));
  }
}

/** Lets go of the reservation, for a new try. */
export function forget() {
  polling.stop();
  state.reservation = state.order = state.challenge = null;
  keep(memory, null);
  changed();
  lookIn(0);
}
