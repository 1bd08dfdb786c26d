// @ts-check
/** The page of one dispute: choose task by task, with keys, and see at once what is left and what it breaks. */
import { post, showError } from "./api.js";
import { seconds } from "./timeline.js";
import { watch } from "./watch.js";

const root = /** @type {HTMLElement} */ (document.querySelector("[data-dispute]"));
const mine = root.hasAttribute("data-mine");
const tasks = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[data-kind]")]);
const timeline = JSON.parse(document.querySelector("#timeline-data")?.textContent ?? "null");
const NAMES = { first: "the first's answer", second: "the second's answer", own: "your own", agreed: "not in dispute" };

/** The task that keys act on: the one with the focus, else the first that is still to decide. */
function current() {
  const focused = document.activeElement?.closest("[data-kind]");
  const open = tasks.find((task) => task.classList.contains("task--disputed") && !task.querySelector("[data-chosen]"));
  return /** @type {HTMLElement} */ (focused ?? open ?? tasks[0]);
}

/** @param {1 | -1} way */
function go(way) {
  const focused = document.activeElement?.closest("[data-kind]");
  const at = focused ? tasks.indexOf(/** @type {HTMLElement} */ (focused)) + way : tasks.indexOf(current());
  const task = tasks[Math.max(0, Math.min(tasks.length - 1, at))];
  task?.focus({ preventScroll: true });
  task?.scrollIntoView({ block: "nearest" });
}

/**
 * Show what a ruling left behind.
 * @param {HTMLElement} task @param {string} choice @param {string} words @param {any} dispute the API's answer
 */
function settle(task, choice, words, dispute) {
  for (const side of /** @type {NodeListOf<HTMLElement>} */ (task.querySelectorAll("[data-side]"))) {
    side.toggleAttribute("data-chosen", side.dataset.side === choice);
    side.querySelector("[data-choose]")?.setAttribute("aria-pressed", String(side.dataset.side === choice));
  }
  const decided = task.querySelector("[data-decided]");
  if (decided) decided.textContent = words;
  const left = document.querySelector("[data-left]");
  const names = dispute.undecided.map((/** @type {string} */ kind) =>
    tasks.find((one) => one.dataset.kind === kind)?.querySelector("h3")?.firstChild?.textContent?.trim() ?? kind);
  if (left) left.textContent = names.length ? `Still to decide: ${names.join(", ")}` : "Everything in dispute is decided.";
  const list = document.querySelector("[data-findings]");
  list?.replaceChildren(...dispute.findings.map((/** @type {{message: string, blocks: boolean}} */ finding) => {
    const item = document.createElement("li");
    item.className = `finding finding--${finding.blocks ? "error" : "warning"}`;
    const mark = document.createElement("span");
    mark.className = "finding__mark";
    mark.textContent = finding.blocks ? "Blocks" : "Warns";
    item.append(mark, ` ${finding.message}`);
    return item;
  }));
}

/**
 * @param {HTMLElement} task @param {string} choice @param {Record<string, unknown>} [own] state and value
 * @param {string} [words]
 */
async function decide(task, choice, own = {}, words = "") {
  const place = /** @type {HTMLElement | null} */ (task.querySelector(choice === "own" ? "[data-error]" : "[data-task-error]"));
  showError(place, null);
  task.setAttribute("aria-busy", "true");
  try {
    const dispute = await post(`/api/disputes/${root.dataset.dispute}/rule`, { kind: task.dataset.kind, choice, ...own });
    settle(task, choice, words || NAMES[/** @type {keyof typeof NAMES} */ (choice)], dispute);
    drawDecided(task, choice, own);
    if (choice === "own") openForm(task, false);
  } catch (error) {
    showError(place, error);
  } finally {
    task.removeAttribute("aria-busy");
  }
}

/** Draw the decided span or cue into its lane. @param {HTMLElement} task @param {string} choice @param {any} own */
function drawDecided(task, choice, own) {
  const shape = task.querySelector("form")?.dataset.shape;
  const lane = document.querySelector("[data-lane=approved]");
  if (!lane || !timeline?.duration_us || (shape !== "span" && shape !== "instant")) return;
  const name = shape === "span" ? "timeline__span" : "timeline__cue";
  const row = timeline.rows[choice === "second" ? 1 : 0];
  const value = choice === "own" ? own.value : shape === "span" ? row.span : row.onset;
  lane.querySelector(`.${name}`)?.remove();
  lane.querySelector(".timeline__none")?.remove();
  if (!value) return;
  const share = (/** @type {number} */ us) => `${(100 * Math.min(us, timeline.duration_us)) / timeline.duration_us}%`;
  const mark = document.createElement("span");
  mark.className = name;
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", `Decided: ${seconds(value.start_us ?? value.at_us)} s`);
  mark.style.left = share(value.start_us ?? value.at_us);
  if (shape === "span") mark.style.right = `calc(100% - ${share(value.end_us)})`;
  lane.append(mark);
}

/** @param {HTMLElement} task @param {boolean} open */
function openForm(task, open) {
  const form = /** @type {HTMLFormElement | null} */ (task.querySelector("[data-own-form]"));
  if (!form) return;
  form.hidden = !open;
  task.querySelector("[data-own]")?.setAttribute("aria-expanded", String(open));
  if (open) /** @type {HTMLElement | null} */ (form.querySelector("textarea, input"))?.focus();
  else task.focus({ preventScroll: true });
}

/** Microseconds from seconds that somebody typed, exact to the microsecond; null when it is no time. @param {string} typed */
export function microseconds(typed) {
  const found = /^\s*(\d+)(?:[.,](\d{0,6}))?\s*$/.exec(typed);
  return found ? Number(found[1]) * 1_000_000 + Number((found[2] ?? "").padEnd(6, "0")) : null;
}

/** Where the clip stands now, in microseconds of the source. */
function here() {
  const frame = Number(document.querySelector("[data-scale]")?.getAttribute("aria-valuenow") ?? 0);
  return timeline?.frame_us[frame] ?? 0;
}

/** @param {number} us seconds with all the digits they need */
const typed = (us) => (us / 1_000_000).toFixed(6).replace(/0{1,3}$/, "");

/** @param {HTMLElement} task @param {HTMLFormElement} form */
function send(task, form) {
  const data = new FormData(form);
  const place = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  if (data.get("absent")) return void decide(task, "own", { state: "absent", value: null }, "None: no crash");
  if (form.dataset.shape === "text" || form.dataset.shape === "label") {
    const value = Object.fromEntries(data);
    const words = value.label ? (value.label === "yes" ? "Crash" : "No crash") : String(value.text);
    return void decide(task, "own", { value }, words);
  }
  const value = Object.fromEntries([...data].map(([name, text]) => [name, microseconds(String(text))]));
  const times = /** @type {(number | null)[]} */ (Object.values(value));
  if (times.includes(null)) return showError(place, new Error("Times are seconds, for example 2.35."));
  const words = times.map((us) => `${seconds(us ?? 0)} s`).join(" to ");
  return void decide(task, "own", { value }, words);
}

for (const task of mine ? tasks : []) {
  const form = /** @type {HTMLFormElement} */ (task.querySelector("[data-own-form]"));
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (task.querySelectorAll("[data-choose]"))) {
    const side = button.dataset.choose ?? "";
    button.setAttribute("aria-pressed", String(button.closest("[data-side]")?.hasAttribute("data-chosen")));
    button.addEventListener("click", () => void decide(task, side));
  }
  task.querySelector("[data-own]")?.addEventListener("click", () => openForm(task, form.hidden));
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[data-seconds]"))) {
    input.value = input.dataset.seconds ? typed(Number(input.dataset.seconds)) : "";
  }
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-here]"))) {
    button.addEventListener("click", () => {
      const input = /** @type {HTMLInputElement} */ (form.elements.namedItem(button.dataset.here ?? ""));
      input.value = typed(here());
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(task, form);
  });
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") openForm(task, false); });
}

/** @param {string} side */
const choose = (side) => {
  const task = current();
  if (task.querySelector(`[data-choose=${side}]`)) void decide(task, side);
};
watch({
  j: () => go(-1),
  k: () => go(1),
  ...(mine ? {
    1: () => choose("first"),
    2: () => choose("second"),
    3: () => openForm(current(), true),
    a: () => /** @type {HTMLFormElement | null} */ (document.querySelector("[data-approve]"))?.requestSubmit(),
  } : {}),
});
