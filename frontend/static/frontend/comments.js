// @ts-check
/** The comments on the page of a case: sent without leaving it, moments taken from the player. */
import { post, showError } from "./api.js";

const panel = /** @type {HTMLElement | null} */ (document.querySelector("[data-comments]"));
const threads = /** @type {HTMLElement | null} */ (document.querySelector("[data-threads]"));
const here = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-here]"));
const strangers = /** @type {HTMLElement | null} */ (document.querySelector("[data-strangers]"));

/** @returns {number | null} the moment on screen, microseconds */
function now() {
  const at = /** @type {HTMLElement | null} */ (document.querySelector("[data-timeline]"))?.dataset.nowUs;
  return at === undefined ? null : Number(at);
}

async function renew() {
  if (!panel || !threads) return;
  const answer = await fetch(panel.dataset.comments ?? "", { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`The comments could not be loaded again: ${answer.status}. Reload the page.`);
  threads.innerHTML = await answer.text();
}

/** @param {HTMLFormElement} form */
async function send(form) {
  const error = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  const button = /** @type {HTMLButtonElement | null} */ (form.querySelector("button[type=submit]"));
  const words = /** @type {HTMLTextAreaElement | null} */ (form.querySelector("textarea"));
  /** @type {Record<string, unknown>} */
  const body = words ? { text: words.value } : {};
  if (form.dataset.case) body.case = Number(form.dataset.case);
  if (form.dataset.moment !== undefined || form.dataset.case) body.at_us = here?.checked ? now() : null;
  showError(error, null);
  if (button) button.disabled = true;
  try {
    const answer = await post(form.dataset.comment ?? "", body, form.dataset.method);
    if (strangers) {
      strangers.hidden = !answer?.strangers?.length;
      strangers.textContent = answer?.strangers?.length
        ? `Nobody was told by ${answer.strangers.map((/** @type {string} */ name) => `@${name}`).join(", ")}: no such person works here.` : "";
    }
    form.reset();
    await renew();
  } catch (refused) {
    showError(error, refused);
  }
  if (button) button.disabled = false;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.dataset.comment) return;
  event.preventDefault();
  void send(form);
});
