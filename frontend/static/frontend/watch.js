// @ts-check
/** Watching a clip frame by frame: what the case page and the video page share, with its keys and their panel. */
import { keysOn, listen, switchKeys } from "./keys.js";
import { Player } from "./player.js";
import { draw, edges, frameAt, point, scrub, seconds } from "./timeline.js";

/**
 * @param {HTMLVideoElement} screen
 * @param {HTMLElement} lanes
 * @param {import("./timeline.js").Timeline} timeline
 * @param {{num: number, den: number}} rate
 * @returns {Record<string, () => void>} what keys do
 */
function play(screen, lanes, timeline, rate) {
  const time = /** @type {HTMLElement} */ (document.querySelector("[data-time]"));
  const text = /** @type {HTMLElement} */ (document.querySelector("[data-frame-text]"));
  const start = /** @type {HTMLButtonElement} */ (document.querySelector("[data-play]"));
  const error = /** @type {HTMLElement} */ (document.querySelector("[data-video-error]"));
  const speed = /** @type {HTMLSelectElement} */ (document.querySelector("[data-speed]"));
  const second = Math.max(1, Math.round(rate.num / rate.den));

  const changed = (/** @type {number} */ frame) => {
    lanes.dataset.nowUs = String(timeline.frame_us[frame] ?? 0);
    time.textContent = `${seconds(timeline.frame_us[frame] ?? 0)} s`;
    text.textContent = `frame ${frame + 1} of ${timeline.frames}`;
    point(lanes, timeline, frame);
  };
  const player = new Player(screen, rate, timeline.frames, changed);
  const failed = () => {
    error.textContent = `The clip could not be played. ${screen.error?.message ?? ""}`;
    error.hidden = false;
  };
  const toggle = () => void player.toggle().catch((reason) => {
    if (!(reason instanceof DOMException) || reason.name !== "AbortError") failed();
  });
  const jump = (/** @type {1 | -1} */ way) => {
    const all = edges(timeline);
    const next = way > 0 ? all.find((f) => f > player.frame) : all.findLast((f) => f < player.frame);
    if (next !== undefined) player.seek(next);
  };

  screen.addEventListener("error", failed);
  if (screen.error) failed();
  screen.addEventListener("click", toggle);
  for (const name of ["play", "pause"]) {
    screen.addEventListener(name, () => {
      start.textContent = screen.paused ? "Play" : "Pause";
      start.setAttribute("aria-pressed", String(!screen.paused));
    });
  }
  start.addEventListener("click", toggle);
  speed.addEventListener("change", () => { screen.playbackRate = Number(speed.value); });
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-step]"))) {
    button.addEventListener("click", () => player.step(Number(button.dataset.step)));
  }
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-seek-us]") : null;
    if (!(button instanceof HTMLElement)) return;
    player.seek(frameAt(timeline.frame_us, Number(button.dataset.seekUs)));
    screen.scrollIntoView({ block: "nearest" });
  });
  scrub(lanes, timeline, (frame) => player.seek(frame));
  changed(0);
  player.settle();
  return {
    space: toggle,
    left: () => player.step(-1),
    right: () => player.step(1),
    "shift+left": () => player.step(-second),
    "shift+right": () => player.step(second),
    "[": () => jump(-1),
    "]": () => jump(1),
  };
}

/**
 * Bring the page's player to life: its timeline, the keys in `table` besides the player's own, and the keys' panel.
 * @param {Record<string, () => void>} [table]
 */
export function watch(table = {}) {
  const timeline = /** @type {import("./timeline.js").Timeline} */ (
    JSON.parse(document.querySelector("#timeline-data")?.textContent ?? "null")
  );
  const root = /** @type {HTMLElement | null} */ (document.querySelector("[data-timeline]"));
  const video = /** @type {HTMLVideoElement | null} */ (document.querySelector("[data-video]"));
  const help = /** @type {HTMLDialogElement} */ (document.querySelector("[data-help-panel]"));
  if (root && timeline.duration_us > 0) draw(root, timeline);
  const keys = root && video && timeline.fps ? play(video, root, timeline, timeline.fps) : {};
  listen({ "?": () => help.showModal(), ...table, ...keys }, root?.querySelector("[role=slider]") ?? null);

  document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());
  const box = /** @type {HTMLInputElement} */ (help.querySelector("[data-keys-on]"));
  box.checked = keysOn();
  box.addEventListener("change", () => switchKeys(box.checked));
}
