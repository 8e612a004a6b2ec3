// What the shopper asks for: one thing at a time.

import { Refusal } from "/assets/net.js";
import { el, waiting } from "/assets/ui.js";
import { t } from "/assets/words.js";

/**
 * Returns `{act, isActing}`. `act(words, work)` runs `work(signal, onWait)` unless something runs already. Meanwhile
 * `notice` says the words of that key, or shows a pause with a way out; the way out aborts `signal`.
 *
 * `hold(words)` keeps controls from being used and returns the function that frees them. `after(refusal)` follows every
 * end; `refusal` is there only if the work was refused.
 */
export function actor({ notice, hold, after }) {
  let running = false;
  async function act(words, work) {
    if (running) return;
    running = true;
    const abort = new AbortController();
    const { signal } = abort;
    const from = document.activeElement;
    const busy = el("p", { class: "busy", role: "status" }, () => t(words));
    const free = hold(words);
    notice.replaceChildren(busy);
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
      running = false;
      free();
      notice.replaceChildren();
      after(refusal);
      // Controls that were held lost the focus.
      if (document.activeElement === document.body && from?.isConnected) from.focus();
    }
  }
  return { act, isActing: () => running };
}
