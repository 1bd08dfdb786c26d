// @ts-check
/** The page that starts an import: a folder browser, the options of a format, the editor of a column mapping. */
import { post, showError } from "./api.js";

const PAUSE_MS = 350;
const form = /** @type {HTMLFormElement} */ (document.querySelector("[data-import]"));
const path = /** @type {HTMLInputElement} */ (form.querySelector("[data-path]"));
const folders = /** @type {HTMLElement} */ (form.querySelector("[data-folders]"));
const step = /** @type {HTMLElement} */ (form.querySelector("[data-mapping-step]"));
const editor = /** @type {HTMLElement} */ (form.querySelector("[data-mapping-place]"));
const refusal = /** @type {HTMLElement} */ (form.querySelector("[data-error]"));
const submit = /** @type {HTMLButtonElement} */ (form.querySelector("[type=submit]"));

/** @returns {HTMLInputElement} */
const chosen = () => /** @type {HTMLInputElement} */ (form.querySelector("[name=format]:checked"));

/**
 * The part of a page that `selector` names, or the whole answer.
 * @param {string} address @param {string} [selector]
 * @returns {Promise<Node[]>}
 */
async function part(address, selector) {
  const response = await fetch(address, { credentials: "same-origin" });
  if (response.redirected || !response.ok) throw new Error(`The server answered ${response.status} ${response.statusText}.`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const found = selector ? page.querySelector(selector) : page.body;
  return found ? [...found.childNodes] : [];
}

/** @param {string} at */
async function browse(at) {
  try {
    folders.replaceChildren(...(await part(`?at=${encodeURIComponent(at)}`, "[data-folders]")));
    const first = folders.querySelector(".folders a, .folders button") ?? folders.querySelector("[aria-current]");
    if (first instanceof HTMLElement) first.focus();
  } catch (error) {
    showError(refusal, error);
  }
}

folders.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target.closest("[data-folder], [data-take]") : null;
  if (!(target instanceof HTMLElement)) return;
  event.preventDefault();
  if (target.dataset.take === undefined) {
    void browse(target.dataset.folder ?? "");
    return;
  }
  path.value = target.dataset.take;
  path.focus();
  void look();
});

function showOptions() {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-options]"))) {
    place.hidden = place.dataset.options !== chosen().value;
  }
  step.hidden = chosen().dataset.mapped === undefined;
}

let looked = "";
/** Show the table's columns, where the format needs a mapping and the path is another one. */
async function look() {
  if (step.hidden || path.value === "" || path.value === looked) return;
  const wanted = path.value;
  looked = wanted;
  try {
    const nodes = await part(`${form.dataset.mappingUrl}?path=${encodeURIComponent(wanted)}`);
    if (wanted === path.value) editor.replaceChildren(...nodes);
  } catch (error) {
    looked = "";
    showError(refusal, error);
  }
}

let asked = 0;
/** Ask what the mapping in the form makes of the first rows. */
async function attempt() {
  const place = editor.querySelector("[data-trial]");
  if (!place) return;
  const mine = (asked += 1);
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") query.append(name, value);
  const nodes = await part(`${form.dataset.trialUrl}?${query}`);
  if (mine === asked) place.replaceChildren(...nodes);
}

let timer = 0;
editor.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => void attempt().catch((error) => showError(refusal, error)), PAUSE_MS);
});
form.addEventListener("change", (event) => {
  if (event.target instanceof HTMLInputElement && event.target.name === "format") showOptions();
  if (event.target === path || (event.target instanceof HTMLInputElement && event.target.name === "format")) void look();
});

/** @param {string} name @param {string} text @returns {unknown} */
function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/** @returns {Promise<Record<string, unknown>>} what the format needs to be told; rejects when it cannot start yet */
async function options() {
  /** @type {Record<string, unknown>} */
  const told = {};
  const place = form.querySelector(`[data-options="${chosen().value}"]`);
  for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (place?.querySelectorAll("[data-option]") ?? [])) {
    const name = field.dataset.option ?? "";
    const value = field.type === "checkbox" ? field.checked : field.value.trim();
    if (value) told[name] = field.dataset.json === undefined ? value : parsed(name, String(value));
  }
  if (!step.hidden) {
    clearTimeout(timer);
    await look();
    await attempt();
    const problems = editor.querySelector("[data-trial] .alert--list");
    const data = editor.querySelector("#mapping-data");
    if (problems || !data) {
      /** @type {HTMLElement | null} */ (problems ?? step)?.scrollIntoView({ block: "center" });
      throw new Error(problems ? "The mapping cannot be used yet: see what is wrong above." : "Choose a table first: its columns need a mapping.");
    }
    told.mapping = JSON.parse(data.textContent ?? "{}");
  }
  return told;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  showError(refusal, null);
  if (path.value.trim() === "") {
    showError(refusal, new Error("Say where it lies: choose a folder or file."));
    path.focus();
    return;
  }
  submit.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    const job = await post("/api/imports", {
      corpus: form.dataset.corpus, format: chosen().value, path: path.value.trim(), options: await options(),
    });
    location.assign(`/imports/${job.args.import_run_id}`);
  } catch (error) {
    showError(refusal, error);
    submit.disabled = false;
    form.removeAttribute("aria-busy");
    submit.focus();
  }
});

showOptions();
void look();
