// @ts-check
/** The upload panel of a corpus: choose or drop files and folders; two travel at once, each with its own line. */
import { showError } from "./api.js";
import { forget, Sending } from "./sending.js";

const AT_ONCE = 2;
const OPEN = ["waits", "sends", "pauses", "checks"];
const panel = /** @type {HTMLElement} */ (document.querySelector("[data-upload]"));
const list = /** @type {HTMLElement} */ (panel.querySelector("[data-files]"));
const said = /** @type {HTMLElement} */ (panel.querySelector("[data-told]"));
const more = /** @type {HTMLFormElement} */ (panel.querySelector("[data-about]"));
const largest = Number(panel.dataset.max);
/** @type {Sending[]} */
const queue = [];
/** @type {Map<Sending, HTMLElement>} */
const places = new Map();
let travelling = 0;

/** Bytes for people, in powers of 1000. @param {number} count */
function size(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit ? `${value.toFixed(1)} ${units[unit]}` : `${count} bytes`;
}

/** @param {string} name @param {string} className @param {string} [text] */
function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** @param {string} text @param {string} about @param {() => void} act */
function button(text, about, act) {
  const made = /** @type {HTMLButtonElement} */ (element("button", "button button--small", text));
  made.type = "button";
  made.setAttribute("aria-label", `${text}: ${about}`);
  made.addEventListener("click", act);
  return made;
}

/** @param {Sending} sending */
function place(sending) {
  const item = element("li", "upload");
  const head = element("div", "upload__head");
  const name = element("span", "upload__name", sending.name);
  const bar = /** @type {HTMLProgressElement} */ (element("progress", "upload__bar"));
  bar.max = Math.max(1, sending.file.size);
  bar.setAttribute("aria-label", `Upload of ${sending.name}`);
  const cancel = button("Cancel", sending.name, () => void sending.cancel().catch((error) => {
    sending.become("failed", error instanceof Error ? error.message : String(error));
  }));
  cancel.dataset.role = "cancel";
  const again = button("Try again", sending.name, () => {
    sending.become("waits");
    queue.push(sending);
    go();
  });
  again.dataset.role = "again";
  const link = /** @type {HTMLAnchorElement} */ (element("a", "upload__video", "See the video"));
  head.append(name, element("span", "upload__state"), link, again, cancel);
  item.append(head, bar, element("p", "upload__problem"));
  return item;
}

/** @param {Sending} sending */
function words(sending) {
  const share = `${size(sending.sent)} of ${size(sending.file.size)}`;
  switch (sending.state) {
    case "waits": return "waits";
    case "sends": return `${sending.resumed ? "goes on, " : ""}${share}`;
    case "pauses": return `interrupted at ${share}; tries again by itself`;
    case "checks": return "arrived; the server looks at it";
    case "done": return "done";
    case "failed": return "failed";
    default: return "cancelled";
  }
}

/** @param {Sending} sending */
function show(sending) {
  const item = /** @type {HTMLElement} */ (places.get(sending));
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (item.querySelector(selector));
  item.dataset.state = sending.state;
  find(".upload__state").textContent = words(sending);
  const bar = /** @type {HTMLProgressElement} */ (find("progress"));
  bar.value = sending.state === "done" ? bar.max : sending.sent;
  bar.hidden = sending.state === "cancelled";
  find(".upload__problem").textContent = sending.problem;
  find("[data-role=again]").hidden = sending.state !== "failed";
  find("[data-role=cancel]").hidden = !OPEN.includes(sending.state);
  const link = /** @type {HTMLAnchorElement} */ (find(".upload__video"));
  link.hidden = sending.video === null;
  if (sending.video !== null) link.href = `/videos/${sending.video}`;
}

/** @param {Sending} sending */
function changed(sending) {
  show(sending);
  if (sending.state === "done") announce(`${sending.name} is uploaded.`);
  if (sending.state === "failed") announce(`${sending.name} failed: ${sending.problem}`);
}

/** Tell assistive technology, with how many are left. @param {string} text */
function announce(text) {
  const all = [...places.keys()].filter((sending) => sending.state !== "cancelled");
  const done = all.filter((sending) => sending.state === "done").length;
  said.textContent = `${text} ${done} of ${all.length} done.`;
}

function go() {
  while (travelling < AT_ONCE) {
    const next = queue.shift();
    if (!next) return;
    travelling += 1;
    void next.run().finally(() => {
      travelling -= 1;
      go();
    });
  }
}

/** @param {{file: File, name: string}[]} files */
function take(files) {
  const about = Object.fromEntries([...new FormData(more)].filter(([, value]) => typeof value === "string" && value.trim()));
  for (const { file, name } of files) {
    const sending = new Sending(file, name, panel.dataset.corpus ?? "", /** @type {Record<string, string>} */ (about), changed);
    const item = place(sending);
    places.set(sending, item);
    list.append(item);
    if (file.size > largest) {
      sending.become("failed", `It has ${size(file.size)}; a clip may have ${size(largest)} at most.`);
      continue;
    }
    show(sending);
    queue.push(sending);
  }
  if (files.length) announce(files.length === 1 ? "One file chosen." : `${files.length} files chosen.`);
  go();
}

/** Files below a dropped folder, named by their path. @param {FileSystemEntry} entry @returns {Promise<{file: File, name: string}[]>} */
async function below(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) { // a reader hands out a hundred entries at a time
    const entries = /** @type {FileSystemEntry[]} */ (await new Promise((resolve, reject) => reader.readEntries(resolve, reject)));
    if (!entries.length) return found;
    for (const inner of entries) if (!inner.name.startsWith(".")) found.push(...(await below(inner)));
  }
}

for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (panel.querySelectorAll("input[type=file]"))) {
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])].filter((file) => !file.name.startsWith("."));
    take(files.map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = "";
  });
}
const zone = /** @type {HTMLElement} */ (panel.querySelector("[data-drop]"));
zone.addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("drop--over");
});
zone.addEventListener("dragleave", () => zone.classList.remove("drop--over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("drop--over");
  const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  try {
    take((await Promise.all(entries.map(below))).flat());
  } catch (error) {
    said.textContent = `What was dropped cannot be read: ${error instanceof Error ? error.message : error}`;
  }
});
more.addEventListener("submit", (event) => event.preventDefault());
addEventListener("beforeunload", (event) => {
  if ([...places.keys()].some((sending) => ["waits", "sends", "pauses"].includes(sending.state))) event.preventDefault();
});
for (const end of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-end-upload]"))) {
  end.addEventListener("click", async () => {
    const row = end.closest("tr");
    end.disabled = true;
    try {
      await forget(end.dataset.endUpload ?? "");
      row?.remove();
      said.textContent = `${end.dataset.name ?? ""} is cancelled.`;
    } catch (error) {
      end.disabled = false;
      showError(row?.querySelector("[data-error]"), error);
    }
  });
}
