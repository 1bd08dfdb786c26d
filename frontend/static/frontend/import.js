// @ts-check
/** The page of one import, and the board: the part that moves is fetched again while it moves. */
const EVERY_MS = 1500;
const place = /** @type {HTMLElement} */ (document.querySelector("[data-progress]"));

const told = () => /** @type {HTMLElement} */ (place.querySelector("[data-state]")).dataset;

/** Offer cancelling while the job is open, resuming once it has ended undone. */
function offer() {
  const { state = "", open, stopping } = told();
  const undone = state === "failed" || state === "cancelled";
  for (const form of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-when]"))) {
    form.hidden = !(form.dataset.when === "open" ? open && !stopping : undone);
  }
}

async function refresh() {
  const response = await fetch(place.dataset.url ?? "", { credentials: "same-origin" });
  if (!response.ok || response.redirected) return;
  const before = told().state;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("[data-state]");
  if (!fresh) return;
  place.replaceChildren(fresh);
  const choosing = document.querySelector("[data-board] tbody input:checked");
  if (told().state !== before && told().state === "done" && !choosing) {
    location.reload();
    return;
  }
  offer();
}

async function forever() {
  try {
    if (!document.hidden) await refresh();
  } catch {
    // The server does not answer for now: the next round asks again.
  }
  if (told().live) setTimeout(forever, EVERY_MS);
}

if (told().live) setTimeout(forever, EVERY_MS);
