// @ts-check
/** The form for a new auto-approval policy: percentages become shares, the rules one object; previewed or set up. */
import { post, showError } from "./api.js";

const FLASH = "crashdesk.flash";
const POLICIES = "/api/auto-approval-policies";
const SAID = {
  preview: "The preview is queued. Load the page again to see it.",
  create: "The policy is set up and its sample is being drawn. Nothing is approved yet.",
};

/** @param {HTMLFormElement} form @returns {Record<string, unknown>} kind to its rule, for the kinds that are ticked */
function rules(form) {
  /** @type {Record<string, unknown>} */
  const found = {};
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-kind]"))) {
    const box = /** @type {HTMLInputElement} */ (row.querySelector("input[type=checkbox]"));
    const rule = /** @type {HTMLInputElement | HTMLSelectElement} */ (row.querySelector("[data-rule]")).value;
    const value = /** @type {HTMLInputElement | null} */ (row.querySelector("[data-value]"));
    if (!box.checked) continue;
    found[row.dataset.kind ?? ""] = rule === "differs" || !value ? { rule } : { rule, value: Number(value.value) };
  }
  return found;
}

/** @param {HTMLFormElement} form @param {boolean} whole @returns {Record<string, unknown>} the request's body */
function body(form, whole) {
  /** @type {Record<string, unknown>} */
  const found = { corpus: Number(form.dataset.corpus), error_rules: rules(form) };
  for (const field of /** @type {NodeListOf<HTMLInputElement | HTMLSelectElement>} */ (form.querySelectorAll("[name]"))) {
    if (field.value === "" || (!whole && field.closest("[data-only-new]"))) continue;
    const share = "percent" in field.dataset;
    found[field.name] = share ? Number((Number(field.value) / 100).toFixed(6)) : field.value;
  }
  return found;
}

/** @param {HTMLFormElement} form @param {"preview" | "create"} what */
async function send(form, what) {
  const place = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (form.querySelectorAll("button"));
  showError(place, null);
  for (const button of buttons) button.disabled = true;
  try {
    await post(what === "preview" ? `${POLICIES}/preview` : POLICIES, body(form, what === "create"));
    sessionStorage.setItem(FLASH, SAID[what]);
    location.assign(location.pathname);
  } catch (error) {
    showError(place, error);
    for (const button of buttons) button.disabled = false;
  }
}

const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-policy]"));
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const pressed = /** @type {HTMLButtonElement | null} */ (event.submitter);
  void send(form, pressed?.value === "preview" ? "preview" : "create");
});
