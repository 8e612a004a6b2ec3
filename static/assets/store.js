// What the page remembers on this device. It works without storage too (private windows), only not across a reload.

const PREFIX = "stampede.";
const memory = new Map();

export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name));
  } catch {
    return memory.get(name) ?? null;
  }
}

export function keep(name, value) {
  memory.set(name, value);
  try {
    if (value == null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Memory has it.
  }
}

/** Calls `then(value)` when another tab changes `name`. */
export function onKept(name, then) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + name) then(kept(name));
  });
}
