// @ts-check
/**
 * Tells CrashDesk when somebody did something at a case: on CrashDesk's own pages and inside Label Studio's.
 *
 * Only the moment and the sort of act are told (pointer, key, key that wrote text, player), never what was typed. At most
 * one moment a second is kept; they are sent in batches, and the rest when the page is hidden. A classic script without
 * imports, because Label Studio's pages load it from another origin:
 *   <script src="https://crashdesk/static/frontend/activity.js" defer></script>
 * with ?ticket=… where there is no session of CrashDesk's that a request could carry along. On CrashDesk's pages data-case
 * names the case; in Label Studio it is read from the task's own data (case_id).
 */
(() => {
  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  if (!script || /** @type {any} */ (window).crashdeskActivity) return;
  const home = new URL(script.src, location.href);
  const fixedCase = Number(script.dataset.case) || null;
  const place = fixedCase ? "case" : "labelstudio";
  const SEND_MS = Number(script.dataset.sendMs) || 20000;
  const SECOND_MS = 1000;
  const UNTOUCHED_MS = 120000; // a clip that plays in a loop is watched for so long after the last touch, then it is not
  const MOST_KEPT = 3000;
  const MOST_WAITING = 30;

  /** @typedef {{at: number[], pointer: number, keys: number, typed: number, player: number}} Held */
  /** @typedef {{case: number, batch: string, body: Held}} Batch */
  /** @type {Map<string, Held>} by "case:<id>" or "task:<id>" */
  const held = new Map();
  /** @type {Batch[]} */
  const waiting = [];
  /** @type {Map<string, Promise<number | null>>} */
  const tasks = new Map();
  /** @type {Map<string, number>} */
  const known = new Map();
  let ticket = home.searchParams.get("ticket") || script.dataset.ticket || "";
  let touched = -Infinity;
  let sending = false;

  const uuid = () => (crypto.randomUUID ? crypto.randomUUID() : "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
    (Number(c) ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (Number(c) / 4)))).toString(16)));

  /** The task that Label Studio shows: as its own store tells, else as the address does. @returns {any} */
  function task() {
    const store = /** @type {any} */ (window).Htx;
    const shown = store && store.task;
    if (shown && shown.id) return shown;
    const id = new URLSearchParams(location.search).get("task");
    return id ? { id: Number(id) } : null;
  }

  /** What the person is at now: "case:12", "task:5", or "" where that is nothing of ours. */
  function about() {
    if (fixedCase) return `case:${fixedCase}`;
    const shown = task();
    if (!shown) return "";
    const name = `task:${shown.id}`;
    if (!known.has(name)) {
      const data = shown.dataObj;
      if (data && Number.isInteger(data.case_id)) known.set(name, data.case_id);
      else resolve(name, shown.id);
    }
    return name;
  }

  /** Ask Label Studio once which case a task shows. @param {string} name @param {number} id */
  function resolve(name, id) {
    let asked = tasks.get(name);
    if (!asked) {
      asked = fetch(`/api/tasks/${id}/`, { credentials: "same-origin" })
        .then((answer) => (answer.ok ? answer.json() : null))
        .then((found) => {
          const number = found && found.data && found.data.case_id;
          if (Number.isInteger(number)) known.set(name, number);
          return known.get(name) ?? null;
        })
        .catch(() => {
          tasks.delete(name); // asked again at the next act
          return null;
        });
      tasks.set(name, asked);
    }
    return asked;
  }

  /** @param {"pointer" | "keys" | "typed" | "player"} sort @param {Event} event */
  function did(sort, event) {
    if (!event.isTrusted || document.visibilityState !== "visible") return;
    const now = Date.now();
    if (sort === "player") {
      if (now - touched > UNTOUCHED_MS) return;
    } else {
      touched = now;
    }
    const name = about();
    if (!name) return;
    let mine = held.get(name);
    if (!mine) {
      mine = { at: [], pointer: 0, keys: 0, typed: 0, player: 0 };
      held.set(name, mine);
    }
    const last = mine.at[mine.at.length - 1] ?? -Infinity;
    const due = now - last >= SECOND_MS;
    if (due && mine.at.length < MOST_KEPT) mine.at.push(now);
    if (sort === "keys" || sort === "typed" || due) mine[sort] += 1;
  }

  const WRITES = ["Backspace", "Delete", "Enter"];
  /** @param {KeyboardEvent} event */
  function key(event) {
    const target = /** @type {HTMLElement | null} */ (event.target);
    const field = target instanceof HTMLElement && (target.isContentEditable
      || (target.matches("input, textarea") && !target.matches("[type=button], [type=checkbox], [type=radio], [type=submit]")));
    const writes = (event.key.length === 1 || WRITES.includes(event.key)) && !event.ctrlKey && !event.metaKey && !event.altKey;
    did(field && writes ? "typed" : "keys", event);
  }

  const quiet = { capture: true, passive: true };
  for (const name of ["pointerdown", "pointermove", "wheel"]) document.addEventListener(name, (event) => did("pointer", event), quiet);
  document.addEventListener("keydown", key, quiet);
  for (const name of ["play", "pause", "seeking", "ratechange", "timeupdate"]) {
    document.addEventListener(name, (event) => did("player", event), quiet); // they do not bubble, but are captured
  }

  /** Turn what is held into batches. Acts at a task that is not known yet stay. */
  function collect() {
    for (const [name, body] of held) {
      const number = name.startsWith("case:") ? Number(name.slice(5)) : known.get(name);
      if (number === undefined || !body.at.length) continue;
      waiting.push({ case: number, batch: uuid(), body });
      held.delete(name);
    }
    waiting.splice(0, Math.max(0, waiting.length - MOST_WAITING));
  }

  /** @param {Batch} batch */
  const written = (batch) => JSON.stringify({ ticket, case: batch.case, batch: batch.batch, place, now: Date.now(), ...batch.body });
  const address = new URL("/api/activity", home).href;

  async function newTicket() {
    const answer = await fetch(new URL("/api/activity/ticket", home).href, { credentials: "include" });
    if (!answer.ok) return false;
    ticket = (await answer.json()).ticket;
    return true;
  }

  /** @param {Batch} batch @returns {Promise<"done" | "later">} */
  async function post(batch) {
    for (let again = true; ; again = false) {
      if (!ticket && !(await newTicket())) return "later";
      const answer = await fetch(address, { method: "POST", body: written(batch), headers: { "Content-Type": "text/plain" }, credentials: "omit" });
      if (answer.status === 401 && again) {
        ticket = "";
        continue;
      }
      if (answer.ok) ticket = (await answer.json()).ticket || "";
      return answer.ok || (answer.status >= 400 && answer.status < 500 && answer.status !== 401 && answer.status !== 429) ? "done" : "later";
    }
  }

  async function send() {
    collect();
    if (sending) return;
    sending = true;
    try {
      while (waiting.length && (await post(waiting[0])) === "done") waiting.shift();
    } catch {
      // The network is away: what waits is sent with the next batch, under the same name, so that it counts once.
    } finally {
      sending = false;
    }
  }

  /** The page goes: nothing is awaited any more. What was sent already is told again, and counts once. */
  function leave() {
    collect();
    if (!ticket) return;
    for (const batch of waiting) {
      navigator.sendBeacon(address, new Blob([written(batch)], { type: "text/plain" }));
    }
  }

  setInterval(send, SEND_MS);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") leave(); });
  addEventListener("pagehide", leave);
  if (!ticket) newTicket().catch(() => false); // at hand when the page is left soon
  /** @type {any} */ (window).crashdeskActivity = { send };
})();
