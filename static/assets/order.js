// One order on its own page: pay, cancel, or see how it stands.

import { call, delay, itemOfOrder, Refusal } from "/assets/net.js";
import { orderPanel } from "/assets/order-panel.js";
import { button, el, find, message, onReturn, picture, timer, told, trouble } from "/assets/ui.js";
import { half, t } from "/assets/words.js";

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const view = find("#view");
const again = timer(read);
let failures = 0;
let panel;
let name = "";

async function read() {
  again.stop();
  try {
    const { data } = await call("GET", `/api/orders/${encodeURIComponent(id)}`, { user: true });
    failures = 0;
    if (!panel) {
      panel = orderPanel(data, (order) => (document.body.dataset.step = order.state));
      view.replaceChildren(panel.node);
      showItem(data.item_id);
    }
    panel.show(data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.slug === "not-found" || error.slug === "unauthorized") {
      document.body.dataset.step = "missing";
      return view.replaceChildren(
        el(
          "div",
          { class: "gate" },
          message(
            "receipt",
            () => t("no_order"),
            () => t("no_order_text"),
            el("a", { class: "button", href: "/orders" }, () => t("orders")),
          ),
        ),
      );
    }
    failures++;
    if (!panel) {
      document.body.dataset.step = "failed";
      view.replaceChildren(
        el(
          "div",
          { class: "gate" },
          trouble(error),
          button(() => t("retry"), read, { "data-action": "retry" }),
        ),
      );
    }
    if (error.passing) again.set(delay(error, failures));
  }
}

async function showItem(itemId) {
  const item = await itemOfOrder(id, itemId).catch(() => null);
  if (!item) return;
  name = item.title;
  titles();
  find("#item").replaceChildren(
    el(
      "a",
      { class: "ticket", href: `/items/${encodeURIComponent(itemId)}` },
      el("div", { class: "frame" }, picture(item)),
      el(
        "div",
        { class: "body" },
        told("h1", () => item.title),
        told("p", () => item.subtitle, { class: "subtitle" }),
      ),
    ),
  );
}

const titles = () => (document.title = [t("order"), half(name), "Stampede"].filter(Boolean).join(" · "));

titles();
addEventListener("language", titles);
onReturn(() => again.set(Math.random() * 200));
addEventListener("online", () => again.set(Math.random() * 500));
read();
