// What the page remembers on this device. Without storage, as in private windows, it forgets at a reload.

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
    // This device stores nothing. `memory` has it until the next reload.
  }
}

/** Calls `then(value)` when another tab changes `name`. */
export function onKept(name, then) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + name) then(kept(name));
  });
}
