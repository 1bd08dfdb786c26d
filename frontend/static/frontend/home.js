// @ts-check
/** The first page: numbers, jobs and events that follow the server every two seconds. */
import { ApiError, post, request, showError } from "./api.js";

/**
 * @typedef {{key: string, value: string, details: string[], url: string}} Step
 * @typedef {{id: number, label: string, state: string, done: number, total: number | null, message: string,
 *   attempts: number, cancel_requested: boolean, error: string}} Job
 * @typedef {{name: string, label: string, done: number, failed: number, total: number,
 *   cancel_url: string}} Group
 * @typedef {{id: number, at: string, actor: string, verb: string, subject: string, url: string}} Event
 * @typedef {{steps: Step[], hint: {text: string, url: string, link: string} | null, jobs: Job[], groups: Group[],
 *   waiting: number, failures: Job[], events: Event[], revision: string}} Loop
 */

const EVERY_MS = 2000;
const row = /** @type {HTMLElement} */ (document.querySelector("[data-loop]"));
const url = row.dataset.url ?? "/api/loop";
const mayCancel = row.dataset.mayCancel === "1";
const live = /** @type {HTMLElement} */ (document.querySelector("[data-live]"));
let revision = "";

/** @param {string} selector */
const one = (selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

/**
 * @param {string} name
 * @param {string} [className]
 * @param {...(Node | string)} children
 */
function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** @param {HTMLElement} place @param {string} text */
function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** @param {Step[]} steps */
function showSteps(steps) {
  for (const step of steps) {
    const item = /** @type {HTMLElement | null} */ (row.querySelector(`[data-step="${step.key}"]`));
    if (!item) continue;
    const value = /** @type {HTMLElement} */ (item.querySelector("[data-value]"));
    if (value.textContent !== step.value) {
      value.textContent = step.value;
      item.classList.remove("loop__step--changed");
      void item.offsetWidth;
      item.classList.add("loop__step--changed");
    }
    item.classList.toggle("loop__step--empty", step.value === "0" || step.value === "none");
    const details = /** @type {HTMLElement} */ (item.querySelector("[data-details]"));
    details.replaceChildren(...step.details.map((detail) => element("span", "", detail)));
  }
}

/** @param {Loop["hint"]} hint */
function showHint(hint) {
  one("[data-hint]").hidden = hint === null;
  if (!hint) return;
  say(one("[data-hint-text]"), hint.text);
  const link = /** @type {HTMLAnchorElement} */ (one("[data-hint-link]"));
  say(link, hint.link);
  link.href = hint.url;
}

/**
 * Keep one <li> per key, so that a button that has the focus stays where it is.
 * @template T
 * @param {HTMLElement} list
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} make
 * @param {(place: HTMLElement, item: T) => void} update
 */
function keyed(list, items, key, make, update) {
  const held = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  items.forEach((item, position) => {
    const name = key(item);
    let place = /** @type {HTMLElement | undefined} */ (held.get(name));
    held.delete(name);
    if (!place) {
      place = make(item);
      place.dataset.key = name;
    }
    update(place, item);
    if (list.children[position] !== place) list.insertBefore(place, list.children[position] ?? null);
  });
  for (const gone of held.values()) gone.remove();
}

/** @param {string} text @param {string} address @param {string} [about] */
function button(text, address, about = "") {
  const made = /** @type {HTMLButtonElement} */ (element("button", "button button--small", text));
  made.type = "button";
  if (about) made.setAttribute("aria-label", `${text} ${about}`);
  made.addEventListener("click", async () => {
    const place = /** @type {HTMLElement | null} */ (made.closest("li")?.querySelector("[data-error]") ?? null);
    showError(place, null);
    made.disabled = true;
    try {
      await post(address);
      await poll();
    } catch (error) {
      showError(place, error);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

function refusal() {
  const place = element("p", "alert alert--error");
  place.dataset.error = "";
  place.setAttribute("role", "alert");
  place.hidden = true;
  return place;
}

/** @param {Job} job */
function makeJob(job) {
  const item = element("li", "job");
  const head = element("div", "job__head", element("span", "job__name", job.label), element("span", "job__state"));
  const bar = /** @type {HTMLProgressElement} */ (element("progress", "job__bar"));
  bar.setAttribute("aria-label", `Progress of ${job.label}`);
  item.append(head, bar, element("p", "job__message sub"), refusal());
  if (mayCancel) head.append(button("Cancel", `/api/jobs/${job.id}/cancel`, job.label));
  return item;
}

/** @param {HTMLElement} item @param {Job} job */
function updateJob(item, job) {
  const waits = job.state === "queued";
  const share = job.total ? `${job.done} of ${job.total}` : "";
  const state = job.cancel_requested ? "Stopping…" : waits ? (job.attempts ? "Waits to try again" : "Waits") : share || "Runs";
  say(/** @type {HTMLElement} */ (item.querySelector(".job__state")), state);
  const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
  bar.hidden = waits;
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else {
    bar.removeAttribute("value");
  }
  say(/** @type {HTMLElement} */ (item.querySelector(".job__message")), job.message);
  const cancel = /** @type {HTMLButtonElement | null} */ (item.querySelector("button"));
  if (cancel && job.cancel_requested) cancel.disabled = true;
}

/** @param {Group} group */
function makeGroup(group) {
  const bar = /** @type {HTMLProgressElement} */ (element("progress", "job__bar"));
  bar.setAttribute("aria-label", `Progress of ${group.label}`);
  const head = element("div", "job__head", element("span", "job__name", group.label), element("span", "job__state"));
  if (mayCancel && group.cancel_url) head.append(button("Cancel", group.cancel_url, group.label));
  return element("li", "job job--group", head, bar, refusal());
}

/** @param {HTMLElement} item @param {Group} group */
function updateGroup(item, group) {
  const failed = group.failed ? `, ${group.failed} failed or cancelled` : "";
  say(/** @type {HTMLElement} */ (item.querySelector(".job__state")), `${group.done} of ${group.total}${failed}`);
  const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
  bar.max = group.total;
  bar.value = group.done + group.failed;
}

/** @param {Job} job */
function makeFailure(job) {
  const head = element("div", "job__head", element("span", "job__name", job.label));
  if (mayCancel) head.append(button("Try again", `/api/jobs/${job.id}/retry`, job.label));
  const last = job.error.split("\n").filter(Boolean).at(-1) ?? "no reason was written down";
  const item = element("li", "job", head, element("p", "sub job__why", last), refusal());
  if (job.error.includes("\n")) {
    item.append(element("details", "sub", element("summary", "", "Where it happened"), element("pre", "", job.error)));
  }
  return item;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** @param {string} at ISO time */
function ago(at) {
  const seconds = Math.round((Date.parse(at) - Date.now()) / 1000);
  if (seconds > -5) return "just now";
  if (seconds > -60) return relative.format(seconds, "second");
  if (seconds > -3600) return relative.format(Math.round(seconds / 60), "minute");
  if (seconds > -86400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86400), "day");
}

/** @param {Event} event */
function makeEvent(event) {
  const time = /** @type {HTMLTimeElement} */ (element("time"));
  time.dateTime = event.at;
  time.title = new Date(event.at).toLocaleString();
  const subject = element(event.url ? "a" : "span", "", event.subject);
  if (event.url) /** @type {HTMLAnchorElement} */ (subject).href = event.url;
  return element("li", "", time, element("span", "", subject, ` ${event.verb} `, element("span", "muted", `by ${event.actor}`)));
}

/** @param {Loop} loop */
function show(loop) {
  showSteps(loop.steps);
  showHint(loop.hint);
  /** @type {({group: Group} | {job: Job})[]} */
  const work = [...loop.groups.map((group) => ({ group })), ...loop.jobs.map((job) => ({ job }))];
  keyed(
    one("[data-jobs]"), work,
    (item) => ("group" in item ? `group ${item.group.name}` : `job ${item.job.id}`),
    (item) => ("group" in item ? makeGroup(item.group) : makeJob(item.job)),
    (place, item) => ("group" in item ? updateGroup(place, item.group) : updateJob(place, item.job)),
  );
  one("[data-jobs-empty]").hidden = work.length > 0;
  one("[data-failures-part]").hidden = loop.failures.length === 0;
  keyed(one("[data-failures]"), loop.failures, (job) => `${job.id} ${job.error.length}`, makeFailure, () => undefined);
  one("[data-events-empty]").hidden = loop.events.length > 0;
  keyed(one("[data-events]"), loop.events, (event) => String(event.id), makeEvent, (place, event) => {
    say(/** @type {HTMLElement} */ (place.querySelector("time")), ago(event.at));
  });
  if (revision && revision !== loop.revision) void refreshRecords(loop.revision);
  else revision = loop.revision;
}

/** Fetch this page again and swap the tables, unless somebody is typing in one of their forms.
 * @param {string} next */
async function refreshRecords(next) {
  const place = one("[data-records]");
  if (place.contains(document.activeElement) || place.querySelector("form[aria-busy], details.action[open]")) return;
  const response = await fetch(location.pathname, { credentials: "same-origin" });
  if (!response.ok || response.redirected) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("[data-records]");
  if (!fresh) return;
  place.replaceChildren(...fresh.children);
  revision = next;
}

async function poll() {
  show(/** @type {Loop} */ (await request(url)));
  say(live, "Updates by itself.");
}

async function forever() {
  let wait = EVERY_MS;
  try {
    if (!document.hidden) await poll();
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      say(live, "You are signed out. Load the page again to sign in.");
      return;
    }
    say(live, "The server does not answer; trying again.");
    wait = 5 * EVERY_MS;
  }
  setTimeout(forever, wait);
}

show(JSON.parse(one("#loop-data").textContent ?? "{}"));
setTimeout(forever, EVERY_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void poll().catch(() => undefined);
});
