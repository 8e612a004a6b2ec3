// Calls to the API: sessions, timeouts, retries, and the server's clock.

import { Clock } from "/assets/clock.js";
import { keep, kept } from "/assets/store.js";

/** A response that says no. `slug` is "offline" or "timeout" where no response came; `status` is then 0. */
export class Refusal extends Error {
  constructor(slug, status, members = {}) {
    super(slug);
    Object.assign(this, members, { slug, status });
  }

  /** Whether the same request may be sent again by itself. */
  get passing() {
    // The shopper pressed a moment too early by the server's clock.
    const soon = this.slug === "not-started" && this.retry_after_ms < 10000;
    return soon || this.status === 0 || [408, 429, 500, 502, 503, 504].includes(this.status);
  }
}

// --- The server's clock ---------------------------------------------------------------------------------------

const clock = new Clock();

/** The server's time, in ms since 1970; the device's, before the first response. */
export const now = () => clock.timeAt(performance.now()) ?? Date.now();

/** `sent` and `got` are when the request left and its response came, by `performance.now()`. */
function learnFrom(response, data, sent, got) {
  const age = Number(response.headers.get("age") ?? 0) * 1000;
  const exact = Date.parse(data?.server_time);
  const rounded = Date.parse(response.headers.get("date"));
  if (exact) clock.learn(exact + age, age ? 1000 : 0, sent, got);
  else if (rounded) clock.learn(rounded + age, age ? 2000 : 1000, sent, got);
}

// --- The connection, as people should know it -------------------------------------------------------------------

let connection = "ok";

function notice(state) {
  if (connection === state) return;
  connection = state;
  document.body.dataset.connection = state;
  dispatchEvent(new Event("connection"));
}
addEventListener("offline", () => notice("offline"));
addEventListener("online", () => notice("ok"));

/** "ok", "slow", "lost" or "offline". */
export const connected = () => connection;

// --- One call ---------------------------------------------------------------------------------------------------

async function send(method, path, { body, etag, signal, timeout = method === "GET" ? 8000 : 15000 }) {
  const abort = new AbortController();
  const stop = () => abort.abort();
  signal?.addEventListener("abort", stop);
  const slow = setTimeout(notice, 3000, "slow");
  let late = false;
  const deadline = setTimeout(() => {
    late = true;
    stop();
  }, timeout);
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (etag) headers["if-none-match"] = etag;
  const sent = performance.now();
  try {
    if (signal?.aborted) stop();
    const response = await fetch(path, {
      method,
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const got = performance.now();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    const data = isJson ? await response.json() : null;
    learnFrom(response, data, sent, got);
    const empty = response.status === 304 || response.status === 204;
    // A hotel's or a train's log-in page comes from somebody else, so the shop was not reached.
    if (response.ok && !empty && !isJson) throw new Refusal("offline", 0);
    notice("ok");
    if (response.ok || empty) return { status: response.status, data, etag: response.headers.get("etag") };
    const seconds = Number(response.headers.get("retry-after"));
    const slug =
      /([^/]+)$/.exec(data?.type ?? "")?.[1] ?? (response.status >= 500 ? "unavailable" : String(response.status));
    throw new Refusal(slug, response.status, {
      title: response.statusText,
      retry_after_ms: seconds ? seconds * 1000 : undefined,
      ...data,
    });
  } catch (error) {
    if (error instanceof Refusal && error.status) throw error;
    if (signal?.aborted) throw error;
    notice(navigator.onLine === false ? "offline" : "lost");
    throw new Refusal(late ? "timeout" : "offline", 0);
  } finally {
    clearTimeout(slow);
    clearTimeout(deadline);
    signal?.removeEventListener("abort", stop);
    if (connection === "slow") notice("ok");
  }
}

// The session is a cookie that scripts can't read. This mark says that there should be one, and changes with it.
const session = () => kept("session");
let opening = null;

/** Opens a session unless there is one other than `stale`. Tabs take turns, so that they end up with the same one. */
export function openSession(stale = null) {
  const open = async () => {
    if (session() && session() !== stale) return;
    // Where the shop has its own sign-in there are no guest sessions. The shop's own cookie then names the shopper.
    const made = await send("POST", "/api/session", {}).then(
      () => "guest",
      (refusal) => {
        if (refusal.status === 404 || refusal.status === 405) return "shop";
        throw refusal;
      },
    );
    keep("session", `${made} ${Math.random()}`);
  };
  opening ??= (navigator.locks ? navigator.locks.request("stampede.session", open) : open()).finally(
    () => (opening = null),
  );
  return opening;
}

/** Whether this device has had a session. */
export const hasSession = () => Boolean(session());

/**
 * Sends a request once and returns `{status, data, etag}`, or throws a `Refusal`.
 * With `user` it sends as the shopper: it opens a session when there is none, and renews a refused one once.
 */
export async function call(method, path, options = {}) {
  if (!options.user) return send(method, path, options);
  if (!session()) await openSession();
  const used = session();
  try {
    return await send(method, path, options);
  } catch (error) {
    if (error.slug !== "unauthorized") throw error;
    await openSession(used).catch((refusal) => {
      throw refusal.passing ? refusal : error;
    });
    return send(method, path, options);
  }
}

/** The item of an order. Of an archived sale only those who have an order see it. */
export async function itemOfOrder(orderId, itemId) {
  try {
    return (await call("GET", `/api/items/${encodeURIComponent(itemId)}`)).data;
  } catch (error) {
    if (error.slug !== "not-found") throw error;
    return (await call("GET", `/api/orders/${encodeURIComponent(orderId)}/item`, { user: true })).data;
  }
}

/**
 * Milliseconds to wait after `refusal`, the `n`-th in a row: never less than the server asked for, and spread out so that
 * many devices do not come back at once.
 */
export function delay(refusal, n) {
  const asked = refusal?.retry_after_ms ?? Math.min(15000, 500 * 2 ** n);
  return asked * (1 + Math.random() * 0.3) + Math.random() * 200;
}

/**
 * Waits `ms`. Ends early with an error if `signal` aborts. With `wake` it also ends early when the device is online again.
 */
export const sleep = (ms, signal, wake) =>
  new Promise((resolve, reject) => {
    const done = (end, value) => () => {
      clearTimeout(timer);
      removeEventListener("online", online);
      signal?.removeEventListener("abort", abort);
      end(value);
    };
    const abort = done(reject, signal?.reason);
    const online = done(resolve);
    const timer = setTimeout(online, ms);
    if (wake) addEventListener("online", online);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });

/**
 * Like `call`, but tries again after refusals that pass by themselves: lost connections, 429, 503.
 * It calls `onWait({until, problem})` before every pause and `onWait(null)` after it; `until` is a `performance.now()`.
 * A refusal for which `settle(refusal)` is true is final all the same.
 */
export async function insist(method, path, options, { onWait, settle } = {}) {
  for (let n = 0; ; n++) {
    try {
      return await call(method, path, options);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.passing || settle?.(error) || n > 60) throw error;
      const ms = delay(error, n);
      onWait?.({ until: performance.now() + ms, problem: error });
      await sleep(ms, options.signal, error.status === 0).finally(() => onWait?.(null));
    }
  }
}
