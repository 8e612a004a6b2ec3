// The challenge before a place in the queue, one view for each kind.

import { now } from "/assets/net.js";
import { button, el, find, icon, timer, trouble } from "/assets/ui.js";
import { locale, t } from "/assets/words.js";
import { work } from "/assets/work.js";

/**
 * A view `{node, focus, stop}` of `challenge`. It calls `submit(solution)` with the solution, `another(hint, kind)` for a
 * new challenge, `cancel()` when the shopper leaves. `hint` is the key of a sentence about the try before.
 */
export function challengeView(challenge, { submit, another, cancel, hint }) {
  const view = (KINDS[challenge.kind] ?? unknown)(challenge, submit, another);
  const lapse = timer(() => another("lapsed"));
  const life = Date.parse(challenge.expires_at) - now();
  if (life > 0) lapse.set(life);
  const node = el(
    "div",
    { class: "challenge", "data-kind": challenge.kind },
    el("h2", { tabindex: -1 }, () => t("challenge")),
    hint && el("p", { class: "hint", role: "alert" }, () => t(hint)),
    view.node,
    challenge.alternative &&
      button(
        () => t("instead"),
        () => another(null, challenge.alternative),
        { id: "challenge-alternative", class: "button quiet" },
      ),
    button(() => t("cancel"), cancel, { class: "button quiet", "data-action": "cancel-challenge" }),
  );
  return {
    node,
    focus: view.focus ?? (() => find("h2", node).focus()),
    stop: () => {
      lapse.stop();
      view.stop?.();
    },
  };
}

function image(challenge, submit, another) {
  const field = el("input", {
    id: "challenge-answer",
    name: "answer",
    autocomplete: "off",
    autocapitalize: "off",
    autocorrect: "off",
    spellcheck: "false",
    inputmode: "text",
    enterkeyhint: "go",
    maxlength: 32,
    "aria-describedby": "challenge-how challenge-missing",
  });
  const missing = el("p", { id: "challenge-missing", class: "field-error", role: "alert" });
  const form = el(
    "form",
    { id: "challenge-form", novalidate: true, on: { submit: answer } },
    el("p", { id: "challenge-how" }, () => t("challenge_image")),
    el(
      "div",
      { class: "puzzle" },
      el("img", { id: "challenge-image", src: challenge.image, alt: () => t("picture") }),
      el(
        "button",
        {
          type: "button",
          class: "button plain square",
          id: "challenge-refresh",
          "aria-label": () => t("another"),
          title: () => t("another"),
          on: { click: () => another() },
        },
        icon("again"),
      ),
    ),
    el("label", { for: "challenge-answer" }, () => t("answer")),
    el(
      "div",
      { class: "row" },
      field,
      el("button", { class: "button", id: "challenge-submit" }, () => t("submit")),
    ),
    missing,
  );
  function answer(event) {
    event.preventDefault();
    const text = field.value.trim();
    if (text) return submit(text);
    missing.textContent = t("answer_missing");
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
  return { node: form, focus: () => field.focus() };
}

function pow(challenge, submit, another) {
  const bar = el("progress", { max: 100, value: 0, "aria-label": () => t("challenge") });
  const words = el("p", { class: "digits", id: "pow-progress" });
  const node = el(
    "div",
    {},
    el("p", {}, () => t("challenge_pow")),
    bar,
    words,
  );
  // The work may have begun before the shopper asked.
  challenge.work ??= work(challenge);
  challenge.work.watch(({ share, answer, failed }) => {
    bar.value = share * 100;
    words.textContent = answer ? t("pow_done") : t("pow_progress", { n: Math.floor(share * 100) });
    // The view that is being drawn must stand before it sends.
    if (answer) queueMicrotask(() => submit(answer));
    if (!failed) return;
    node.append(
      trouble({ title: t("widget_failed") }),
      button(
        () => t("retry"),
        () => another(),
      ),
    );
  });
  return {
    node,
    stop: () => {
      challenge.work.stop();
      delete challenge.work;
    },
  };
}

/** A hosted widget. The page loads its script only where the server names one, and its policy must allow it. */
function turnstile(challenge, submit, another) {
  const place = el(
    "div",
    { class: "widget" },
    el("p", { class: "busy", role: "status" }, () => t("widget_loading")),
  );
  const node = el(
    "div",
    {},
    el("p", {}, () => t("challenge_widget")),
    place,
  );
  let over = false;
  let widget;
  const failed = () =>
    over ||
    place.replaceChildren(
      trouble({ title: t("widget_failed") }),
      button(
        () => t("retry"),
        () => another(),
        { id: "challenge-retry" },
      ),
    );
  const render = () => {
    if (over) return;
    place.replaceChildren();
    widget = window.turnstile.render(place, {
      sitekey: challenge.site_key,
      action: challenge.action,
      cData: challenge.cdata,
      language: locale(),
      callback: submit,
      "error-callback": failed,
      "unsupported-callback": failed,
      "expired-callback": () => another("lapsed"),
    });
  };
  if (window.turnstile) render();
  else
    document.head.append(el("script", { src: challenge.script_url, async: true, on: { load: render, error: failed } }));
  return {
    node,
    stop: () => {
      over = true;
      if (widget !== undefined) window.turnstile.remove(widget);
    },
  };
}

const unknown = (challenge) => ({ node: trouble({ title: t("widget_failed"), detail: challenge.kind }) });

const KINDS = { image, pow, turnstile };
