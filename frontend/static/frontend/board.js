// @ts-check
/** The lead's board: choosing cases, assigning and releasing them. */
import { post, showError } from "./api.js";

/** Who gives cases by themselves fills people up as far as they like. */
const MOST_HELD = 10000;

/** @param {HTMLFormElement} form */
const chosen = (form) =>
  [.../** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("tbody input[type=checkbox]:checked"))].map((box) => Number(box.value));

/** @param {HTMLFormElement} form */
function count(form) {
  const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("tbody input[type=checkbox]"));
  const number = chosen(form).length;
  for (const place of form.querySelectorAll("[data-chosen]")) place.textContent = String(number);
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (form.querySelectorAll("[data-needs-choice]"))) button.disabled = number === 0;
  const all = /** @type {HTMLInputElement | null} */ (form.querySelector("[data-all]"));
  if (all) {
    all.checked = number > 0 && number === boxes.length;
    all.indeterminate = number > 0 && number < boxes.length;
  }
}

/** @param {HTMLFormElement} form @param {string} what */
function order(form, what) {
  const data = new FormData(form);
  const to = String(data.get("to") ?? "");
  const person = to.startsWith("person:") ? to.slice("person:".length) : "";
  const minutes = String(data.get("minutes") ?? "");
  return {
    corpus: Number(form.dataset.corpus),
    purpose: form.dataset.purpose,
    way: person ? "manual" : to,
    ...(person ? { people: [person] } : {}),
    minutes: minutes ? Number(minutes) : null,
    most: MOST_HELD,
    ...(what === "match"
      ? { from_source: form.dataset.source, q: form.dataset.q, limit: Number(data.get("limit")) }
      : { cases: chosen(form) }),
  };
}

/** @param {HTMLFormElement} form @param {string} what */
async function send(form, what) {
  const error = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (form.querySelectorAll("button[type=submit]"));
  showError(error, null);
  for (const button of buttons) button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    if (form.dataset.board === "assign") {
      await post("/api/assignments", order(form, what)); // a job: the page shows how far it is
    } else {
      const reason = String(new FormData(form).get("reason") ?? "");
      const answer = await post("/api/assignments/release", { ids: chosen(form), reason });
      sessionStorage.setItem("crashdesk.flash", `${answer.released} released.`);
    }
    location.reload();
  } catch (refused) {
    showError(error, refused);
    form.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
    count(form);
  }
}

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("[data-board]"))) {
  form.addEventListener("change", (event) => {
    const box = event.target;
    if (box instanceof HTMLInputElement && box.matches("[data-all]")) {
      for (const one of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("tbody input[type=checkbox]"))) one.checked = box.checked;
    }
    count(form);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    void send(form, button?.value ?? "chosen");
  });
  count(form);
}
