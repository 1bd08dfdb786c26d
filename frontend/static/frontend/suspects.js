// @ts-check
/** Suspect labels by keys: move through the list, open a case, decide. */
import { listen } from "./keys.js";

const rows = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-suspect]"))];
let at = -1;

/** @param {number} place */
function go(place) {
  if (!rows.length) return;
  at = Math.max(0, Math.min(rows.length - 1, place));
  for (const [number, row] of rows.entries()) {
    if (number === at) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  rows[at].focus({ preventScroll: true });
  rows[at].scrollIntoView({ block: "nearest" });
}

/** @param {string} selector @returns {HTMLElement | null} */
const part = (selector) => (at < 0 ? null : rows[at].querySelector(selector));

listen({
  j: () => go(at + 1),
  k: () => go(at - 1),
  o: () => part("[data-open-case]")?.click(),
  d: () => part("[data-dismiss]")?.click(),
  c: () => part("[data-confirm]")?.click(),
  r: () => part("[data-reason]")?.focus(),
}, null);
