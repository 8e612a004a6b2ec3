// The panel of one order: what it is, until when to pay, pay and cancel. The item's page and the order's page have it.

import { actor } from "/assets/acting.js";
import { call, insist, now, Refusal } from "/assets/net.js";
import { keep, kept } from "/assets/store.js";
import {
  announce,
  button,
  confirmed,
  el,
  exactly,
  find,
  fuse,
  icon,
  moment,
  money,
  number,
  timer,
  trouble,
} from "/assets/ui.js";
import { locale, t } from "/assets/words.js";

/**
 * A panel `{node, show, plan, look, stop}` for `order`. It calls `changed(order)` with each new state from the server.
 * While an order waits for money, the panel asks for it again and again, faster just after paying. It goes on asking
 * when the order has ended with a payment under way: such money goes back, and the panel tells the shopper.
 */
export function orderPanel(order, changed) {
  const node = el("div", { class: "order" });
  const path = () => `/api/orders/${encodeURIComponent(order.id)}`;
  const look = timer(async () => {
    try {
      show((await call("GET", path(), { user: true })).data);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      plan();
    }
  });

  const awaited = () => order.payment?.state === "pending";
  const ended = () => order.state === "timed_out" || order.state === "cancelled";
  /** Whether the shopper left for the payment page on this device, and its outcome is not known yet. */
  const paying = () => awaited() && kept("paying") === order.id;

  function plan() {
    const open = order.state === "unpaid" || order.state === "refund_due" || (ended() && awaited());
    if (!open || document.hidden || !node.isConnected) return look.stop();
    const usual = order.state === "refund_due" || (ended() && !paying()) ? 20000 : paying() ? 2000 : 10000;
    const left = Date.parse(order.pay_by) - now();
    look.set(Math.min(usual * (1 + Math.random() * 0.2), left > 0 ? left + 500 + Math.random() * 1000 : Infinity));
  }

  const stage = () => [order.state, order.payment?.id, order.payment?.state].join();

  function show(fresh) {
    const [before, stood] = [stage(), order.state];
    order = fresh;
    if (kept("paying") === order.id && !awaited()) keep("paying", null);
    if (before !== stage()) {
      const held = node.contains(document.activeElement);
      draw();
      if (held) find("h2", node).focus();
      if (stood !== order.state) announce(t(`order_${order.state}`));
      else if (order.payment?.state === "failed") announce(t("pay_failed"));
    }
    changed?.(order);
    plan();
  }

  const notice = el("div", { class: "notice" });
  const { act } = actor({
    notice,
    hold: () => {
      const actions = find(".actions", node);
      if (actions) actions.inert = true;
      return () => {
        if (actions) actions.inert = false;
      };
    },
    after: (refusal) => {
      if (!refusal) return;
      notice.append(trouble(refusal));
      if (refusal.slug === "conflict") look.set(0);
    },
  });

  const pay = () =>
    act("paying", async (signal, onWait) => {
      const { data } = await insist("POST", `${path()}/payments`, { user: true, body: {}, signal }, { onWait });
      const url = new URL(data.pay_url, location.href);
      if (!/^https?:$/.test(url.protocol)) throw new Refusal("unavailable", 503);
      // A payment page of this shop speaks the language that the shopper chose here.
      if (url.origin === location.origin) url.searchParams.set("lang", locale());
      keep("paying", order.id);
      location.assign(url);
      // Controls stay held while the next page loads, so that nobody clicks twice. The back button frees them.
      await new Promise((resolve) => {
        addEventListener("pageshow", resolve, { once: true });
        setTimeout(resolve, 15000);
      });
    });

  const cancel = async () => {
    if (!(await confirmed("cancel_ask", "cancel_text", "cancel_yes"))) return;
    await act("cancelling", async (signal, onWait) => {
      const { data } = await insist("POST", `${path()}/cancel`, { user: true, body: {}, signal }, { onWait });
      show(data);
      find("h2", node)?.focus();
    });
  };

  function draw() {
    const { state } = order;
    node.dataset.state = state;
    node.dataset.order = order.id;
    node.dataset.payment = order.payment?.state ?? "";
    const failed = order.payment?.state === "failed";
    const row = (name, ...value) =>
      el(
        "div",
        {},
        el("dt", {}, () => t(name)),
        el("dd", {}, value),
      );
    const when = (name, iso) =>
      iso &&
      row(
        name,
        el("time", { datetime: iso, title: () => exactly(iso) }, () => moment(iso)),
      );
    const unpaid = state === "unpaid";
    node.replaceChildren(
      el(
        "header",
        { class: "verdict" },
        icon({ unpaid: "clock", paid: "check", refund_due: "clock" }[state] ?? "flag"),
        el("h2", { tabindex: -1, id: "order-state", "data-state": state }, () => t(`order_${state}`)),
        el("p", {}, () => t(`text_${state}`)),
      ),
      unpaid && failed
        ? el(
            "div",
            { class: "trouble", id: "pay-failed" },
            icon("warn"),
            el("p", {}, () => t("pay_failed")),
          )
        : "",
      unpaid && order.pay_by
        ? fuse(
            () => Date.parse(order.pay_by),
            Date.parse(order.pay_by) - Date.parse(order.created_at),
            () => t("pay_left"),
          )
        : "",
      el(
        "dl",
        {},
        row("order", el("code", { id: "order-id" }, order.id)),
        row("quantity", () => number(order.quantity)),
        row("unit_price", () => money(order.unit_price)),
        row(
          "total",
          el("b", { id: "order-total" }, () => money(order.total)),
        ),
        when("created", order.created_at),
        unpaid && when("pay_by", order.pay_by),
        when("paid_at", order.paid_at),
        ["contact", "address", "note"].map((name) => order[name] && row(name, order[name])),
      ),
      unpaid
        ? el(
            "div",
            { class: "actions" },
            button(() => t(failed ? "pay_again" : "pay", { sum: money(order.total) }), pay, {
              id: "pay",
              "data-action": "pay",
            }),
            button(() => t("cancel_order"), cancel, {
              id: "cancel",
              class: "button plain",
              "data-action": "cancel-order",
            }),
          )
        : "",
      unpaid && paying() ? el("p", { class: "busy", id: "pay-awaited" }, () => t("pay_return")) : "",
      ended() && paying() ? el("p", { class: "fine", id: "pay-late" }, () => t("pay_late")) : "",
      notice,
    );
  }

  draw();
  return { node, show, plan, look: () => look.set(Math.random() * 200), stop: look.stop };
}
