// @ts-check
/** Single-key shortcuts that can be switched off (WCAG 2.1.4), and keep out of the way of fields and buttons. */

const KEPT = "crashdesk.keys";

export const keysOn = () => localStorage.getItem(KEPT) !== "off";

/** @param {boolean} on */
export function switchKeys(on) {
  localStorage.setItem(KEPT, on ? "on" : "off");
}

/** @param {EventTarget | null} target */
const typing = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || target.closest("input, textarea, select") !== null);

/** @param {EventTarget | null} target */
const pressable = (target) => target instanceof HTMLElement && target.closest("button, a, summary") !== null;

/**
 * The name of a key press as the table of shortcuts spells it, or null when it belongs to something else.
 * @param {KeyboardEvent} event
 * @returns {string | null} e.g. "space", "left", "shift+right", "[", "j", "?"
 */
export function keyName(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return null;
  if (document.querySelector("dialog[open]")) return null;
  if (event.key === " ") return pressable(event.target) ? null : "space";
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const side = event.key === "ArrowLeft" ? "left" : "right";
    return event.shiftKey ? `shift+${side}` : side;
  }
  return event.key.length === 1 ? event.key.toLowerCase() : null;
}

/**
 * Listen on the whole page. Where keys are switched off, only `home` (the element that has the focus) still hears them.
 * @param {Record<string, () => void>} table
 * @param {HTMLElement | null} home
 */
export function listen(table, home) {
  document.addEventListener("keydown", (event) => {
    const name = keyName(event);
    const act = name === null ? undefined : table[name];
    if (!act) return;
    const onHome = home !== null && event.target === home;
    if (!keysOn() && !onHome) return;
    event.preventDefault();
    act();
  });
}
