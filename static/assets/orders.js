// My orders, newest first.

import { call, delay, hasSession, itemOfOrder, Refusal } from "/assets/net.js";
import {
  button,
  el,
  find,
  icon,
  message,
  money,
  number,
  onReturn,
  picture,
  timeOf,
  timer,
  told,
  trouble,
} from "/assets/ui.js";
import { define, t } from "/assets/words.js";

define({
  no_orders: ["No orders yet", "还没有订单"],
  no_orders_text: ["What you buy shows up here, on this device.", "在本设备上下的订单会显示在这里。"],
  orders_failed: ["Your orders could not be loaded", "订单加载失败"],
});

const list = find("#list");
const again = timer(read);
const items = new Map();
let failures = 0;
let shown;

/** The item of an order. The page asks for it once, and shows the order without it if that fails. */
function itemOf({ id, item_id }) {
  if (!items.has(item_id))
    items.set(
      item_id,
      itemOfOrder(id, item_id).catch(() => items.delete(item_id) && null),
    );
  return items.get(item_id);
}

async function read() {
  again.stop();
  // A shopper without a session has no orders. Opening one would only burden the server.
  if (!hasSession()) return empty();
  try {
    const { data } = await call("GET", "/api/orders?page_size=100", { user: true });
    failures = 0;
    const orders = data.orders;
    if (!orders.length) return empty();
    const key = JSON.stringify(orders);
    if (key !== shown) {
      const tickets = await Promise.all(orders.map(async (order) => ticket(order, await itemOf(order))));
      shown = key;
      document.body.dataset.step = "ready";
      list.replaceChildren(...tickets);
    }
    const waits = orders.some(({ state }) => state === "unpaid" || state === "refund_due");
    if (!document.hidden) again.set((waits ? 8000 : 60000) * (1 + Math.random() * 0.3));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.slug === "unauthorized") return empty();
    failures++;
    if (!shown) {
      document.body.dataset.step = "failed";
      list.replaceChildren(
        trouble(error),
        message(
          "receipt",
          () => t("orders_failed"),
          null,
          button(() => t("retry"), read, { "data-action": "retry" }),
        ),
      );
    }
    if (error.passing) again.set(delay(error, failures));
  } finally {
    list.removeAttribute("aria-busy");
  }
}

function empty() {
  shown = undefined;
  document.body.dataset.step = "empty";
  list.removeAttribute("aria-busy");
  list.replaceChildren(
    message(
      "receipt",
      () => t("no_orders"),
      () => t("no_orders_text"),
      el("a", { class: "button", href: "/" }, () => t("all_sales")),
    ),
  );
}

const ticket = (order, item) =>
  el(
    "a",
    {
      class: "ticket",
      href: `/orders/${encodeURIComponent(order.id)}`,
      "data-order": order.id,
      "data-state": order.state,
    },
    el("div", { class: "frame" }, item ? picture(item) : icon("receipt")),
    el(
      "div",
      { class: "body" },
      item ? told("h2", () => item.title) : el("h2", {}, () => t("order")),
      el(
        "p",
        {},
        el("span", {}, () => `${number(order.quantity)} × ${money(order.unit_price)}`),
        el("b", {}, () => money(order.total)),
      ),
      el(
        "p",
        {},
        el("span", { class: `badge ${order.state}` }, () => t(`order_${order.state}`)),
        el(
          "span",
          { class: "fine" },
          order.state === "unpaid" && order.pay_by
            ? timeOf(order.pay_by, (time) => `${t("pay_by")} ${time}`)
            : timeOf(order.created_at),
        ),
      ),
    ),
  );

onReturn(() => again.set(Math.random() * 300));
addEventListener("online", () => again.set(Math.random() * 500));
read();
