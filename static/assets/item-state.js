// What the item's page knows, and which step of the sale follows from it.

import { kept } from "/assets/store.js";
import { phase } from "/assets/ui.js";

export const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
export const api = `/api/items/${encodeURIComponent(id)}`;
/** The name under which the device keeps the reservation: its `id`, `from` and `hold`. */
export const memory = `reservation.${id}`;

export const state = {
  /** The item as the server last described it, and the ETag of that description. */
  item: null,
  etag: null,
  /** The refusal that keeps the item from being shown. */
  gone: null,
  reservation: null,
  order: null,
  challenge: null,
  /** The key of a sentence about the try before. */
  hint: null,
  /** The kind of challenge that the shopper chose, if they did. */
  kind: undefined,
  quantity: 1,
};

/** Whether the reservation keeps the shopper busy, so that the item matters less. */
export const isLive = () => ["queued", "held", "ordered"].includes(state.reservation?.state);

/** The reservation that the page follows, also while it has not been read yet. */
export const followed = () => state.reservation?.id ?? kept(memory)?.id;

/** The present step, by its name in item-steps.js. */
export function stepNow() {
  const { item, gone, reservation, order, challenge } = state;
  if (gone) return gone.status === 404 ? "missing" : "failed";
  if (!item) return "loading";
  if (!reservation && kept(memory)) return "checking";
  if (reservation) return reservation.state === "ordered" && !order ? "checking" : reservation.state;
  if (challenge) return "challenge";
  const at = phase(item);
  return at === "open" ? "ready" : at;
}

let draw = () => {};

/** Names the one function that shows the state. It is called as `then(lead)` after every change. */
export const onChange = (then) => {
  draw = then;
};

/** Says that the state changed. With `lead`, the focus moves to the new step. */
export const changed = (lead) => draw(lead);
