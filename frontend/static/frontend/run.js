// @ts-check
/** The page of one prediction run: the part that moves is fetched again while it moves. */
const EVERY_MS = 2000;
const place = /** @type {HTMLElement} */ (document.querySelector("[data-progress]"));

const told = () => /** @type {HTMLElement} */ (place.querySelector("[data-state]")).dataset;

/** Offer what may be done to the run as it stands. */
function offer() {
  const may = told();
  for (const form of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-when]"))) {
    form.hidden = !may[form.dataset.when ?? ""];
  }
}

async function refresh() {
  const response = await fetch(place.dataset.url ?? "", { credentials: "same-origin" });
  if (!response.ok || response.redirected) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("[data-state]");
  if (!fresh) return;
  const held = place.contains(document.activeElement) ? document.activeElement?.getAttribute("href") : null;
  place.replaceChildren(fresh);
  if (held) /** @type {HTMLElement | undefined} */ ([...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === held))?.focus();
  offer();
  if (!told().live && !document.querySelector("form[aria-busy]")) location.reload();
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
