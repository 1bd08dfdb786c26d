// @ts-check
/** The page that starts a prediction run: a dry run that follows the form, and the start itself. */
import { csrf, post, showError } from "./api.js";

const PAUSE_MS = 350;
const form = /** @type {HTMLFormElement} */ (document.querySelector("[data-run]"));
const place = /** @type {HTMLElement} */ (form.querySelector("[data-preview]"));
const refusal = /** @type {HTMLElement} */ (form.querySelector("[data-error]"));
const submit = /** @type {HTMLButtonElement} */ (form.querySelector("[type=submit]"));
const trial = /** @type {HTMLButtonElement} */ (form.querySelector("[data-trial]"));
const limit = /** @type {HTMLInputElement} */ (form.querySelector("[data-limit]"));

const filled = () => new URLSearchParams(/** @type {any} */ (new FormData(form))).toString();

let asked = 0;
let shown = "";
/** Show the dry run of what the form says now; a later question makes an earlier answer void. */
async function preview() {
  const mine = ++asked;
  const wanted = filled();
  place.setAttribute("aria-busy", "true");
  submit.disabled = true;
  const response = await fetch(form.dataset.previewUrl ?? "", {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": csrf() },
    body: wanted,
  });
  if (response.redirected || !response.ok) throw new Error(`The server answered ${response.status} ${response.statusText}.`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (mine !== asked) return;
  shown = wanted;
  place.replaceChildren(...page.body.childNodes);
  place.setAttribute("aria-busy", "false");
  const told = /** @type {HTMLElement} */ (place.querySelector("[data-told]")).dataset;
  const toDo = Number(told.toDo);
  const some = Number(told.trialCases);
  submit.disabled = toDo === 0;
  submit.textContent = toDo ? `Start the run with ${toDo.toLocaleString("en-GB")} ${toDo === 1 ? "case" : "cases"}` : "Start the run";
  trial.hidden = !(some && some < toDo);
  trial.textContent = `Make it a trial of ${some}`;
  trial.dataset.cases = String(some);
}

function follow() {
  showError(refusal, null);
  void preview().catch((error) => showError(refusal, error));
}

let timer = 0;
for (const name of ["input", "change"]) {
  form.addEventListener(name, () => {
    clearTimeout(timer);
    timer = setTimeout(follow, PAUSE_MS);
  });
}

trial.addEventListener("click", () => {
  limit.value = trial.dataset.cases ?? "";
  limit.focus();
  follow();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  showError(refusal, null);
  try {
    clearTimeout(timer);
    if (shown !== filled()) await preview();
    const body = document.querySelector("#run-body")?.textContent;
    if (!body) return;
    submit.disabled = true;
    const run = await post("/api/prediction-runs", JSON.parse(body));
    location.assign(`/runs/${run.id}`);
  } catch (error) {
    showError(refusal, error);
    submit.disabled = false;
    submit.focus();
  }
});

follow();
