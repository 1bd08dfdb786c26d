// @ts-check
/**
 * Forms that post to the API: <form data-post="/api/…" data-done="reload|next|open" data-said="…">.
 * Their fields become the JSON body, those called "name[]" a list; data-method is POST unless it says DELETE. A refusal is shown in [data-error] inside the form. With "open" the page goes on
 * to data-open, an address with names of the answer's fields in braces: "/imports/{args.import_run_id}".
 */
import { post, showError } from "./api.js";

const FLASH = "crashdesk.flash";
const GO_ON = "crashdesk.goOn";

/** @param {HTMLFormElement} form @returns {Record<string, unknown>} */
function fields(form) {
  const data = new FormData(form);
  const names = [...new Set(data.keys())];
  return Object.fromEntries(names.map((name) =>
    name.endsWith("[]") ? [name.slice(0, -2), data.getAll(name)] : [name, data.get(name)]));
}

/** @param {HTMLFormElement} form */
async function send(form) {
  const url = form.dataset.post ?? "";
  const place = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  const button = /** @type {HTMLButtonElement | null} */ (form.querySelector("button[type=submit]"));
  showError(place, null);
  if (button) button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await post(url, fields(form), form.dataset.method);
    if (form.dataset.said) sessionStorage.setItem(FLASH, form.dataset.said);
    leave(form, answer);
  } catch (error) {
    showError(place, error);
    if (button) button.disabled = false;
    form.removeAttribute("aria-busy");
    button?.focus();
  }
}

/** @param {HTMLFormElement} form @param {any} answer */
function leave(form, answer) {
  const address = form.dataset.open?.replace(/\{([\w.]+)\}/g, (_, path) =>
    encodeURIComponent(path.split(".").reduce((/** @type {any} */ at, /** @type {string} */ name) => at[name], answer)));
  if (form.dataset.done === "open" && address) {
    location.assign(address);
    return;
  }
  const next = /** @type {HTMLAnchorElement | null} */ (document.querySelector("[data-next-case]"));
  const goOn = /** @type {HTMLInputElement | null} */ (form.querySelector("[data-go-on]"));
  if (form.dataset.done === "next" && goOn?.checked && next) location.assign(next.href);
  else location.reload();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.dataset.post) return;
  event.preventDefault();
  void send(form);
});

const flash = /** @type {HTMLElement | null} */ (document.querySelector("[data-flash]"));
const said = sessionStorage.getItem(FLASH);
if (flash && said) {
  sessionStorage.removeItem(FLASH);
  flash.textContent = said;
  flash.hidden = false;
}
for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[data-go-on]"))) {
  box.checked = localStorage.getItem(GO_ON) === "yes";
  box.addEventListener("change", () => localStorage.setItem(GO_ON, box.checked ? "yes" : "no"));
}
