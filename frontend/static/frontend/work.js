// @ts-check
/** The page of one's own work: taking the next case by a button or by one key. */
import { post, showError } from "./api.js";
import { listen } from "./keys.js";

const NOTHING = {
  nothing_waits: "Nothing waits for you just now. Come back when there are new drafts, or ask your lead.",
  paused: "You are paused, so nothing new is given to you. Your lead can lift that.",
};
const error = /** @type {HTMLElement} */ (document.querySelector("[data-take-error]"));
const said = /** @type {HTMLElement} */ (document.querySelector("[data-take-said]"));
let asking = false;

/** @param {HTMLElement} button */
async function take(button) {
  if (asking) return;
  asking = true;
  button.setAttribute("aria-busy", "true");
  showError(error, null);
  said.hidden = true;
  try {
    const answer = await post("/api/work/next", { what: button.dataset.take });
    if (answer.item) {
      location.assign(address(answer.item));
      return;
    }
    said.textContent = NOTHING[/** @type {keyof NOTHING} */ (answer.why)];
    said.hidden = false;
  } catch (refused) {
    showError(error, refused);
  }
  asking = false;
  button.removeAttribute("aria-busy");
}

/** @param {{case: number, purpose: string}} item */
const address = (item) =>
  item.purpose === "second" ? `/cases/${item.case}` : item.purpose === "adjudicate" ? "/work" : `/review/${item.case}`;

/** @param {string} what */
const button = (what) => /** @type {HTMLElement | null} */ (document.querySelector(`[data-take="${what}"]`));

for (const one of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-take]"))) {
  one.addEventListener("click", () => void take(one));
}
listen({ n: () => button("answer")?.click(), l: () => button("look_over")?.click(), d: () => button("decide")?.click() }, null);
