// @ts-check
/** Near duplicates: choose clusters to merge; play the members of one together, each at its own place in time. */
import { post, showError } from "./api.js";
import { seconds } from "./timeline.js";

const FLASH = "crashdesk.flash";
const DRIFT_S = 0.12;

function choosing() {
  const bar = /** @type {HTMLElement | null} */ (document.querySelector("[data-choosing]"));
  if (!bar) return;
  const boxes = [.../** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[data-choose]"))];
  const merge = /** @type {HTMLButtonElement} */ (bar.querySelector("[data-merge]"));
  const told = /** @type {HTMLElement} */ (bar.querySelector("[data-chosen]"));
  const refusal = /** @type {HTMLElement} */ (bar.querySelector("[data-error]"));
  const chosen = () => boxes.filter((box) => box.checked).map((box) => Number(box.dataset.choose));
  const show = () => {
    const count = chosen().length;
    bar.hidden = count === 0;
    merge.disabled = count < 2;
    told.textContent = count === 1 ? "1 cluster chosen; choose another to merge it with." : `${count} clusters chosen.`;
    showError(refusal, null);
  };
  for (const box of boxes) box.addEventListener("change", show);
  bar.querySelector("[data-none]")?.addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    show();
    boxes[0]?.focus();
  });
  merge.addEventListener("click", async () => {
    const [first, ...others] = chosen();
    merge.disabled = true;
    try {
      const cluster = await post(`/api/duplicate-clusters/${first}/merge`, { clusters: others });
      sessionStorage.setItem(FLASH, `${others.length + 1} clusters are one now.`);
      location.assign(`/duplicates/${cluster.id}`);
    } catch (error) {
      showError(refusal, error);
      merge.disabled = false;
    }
  });
  show(); // the browser may have kept what was chosen before
}

/** One clock for all clips: at its time T a clip shows its own T + offset. */
function together() {
  const bar = /** @type {HTMLElement | null} */ (document.querySelector("[data-together]"));
  const videos = [.../** @type {NodeListOf<HTMLVideoElement>} */ (document.querySelectorAll("video[data-offset-us]"))];
  if (!bar || videos.length < 2) return;
  bar.hidden = false;
  const start = /** @type {HTMLButtonElement} */ (bar.querySelector("[data-play-all]"));
  const range = /** @type {HTMLInputElement} */ (bar.querySelector("[data-all-at]"));
  const told = /** @type {HTMLElement} */ (bar.querySelector("[data-all-time]"));
  const clips = videos.map((video) => ({
    video, offset: Number(video.dataset.offsetUs) / 1e6, duration: Number(video.dataset.durationUs) / 1e6,
  }));
  // The common time runs from the first moment that any clip shows to the last one.
  const first = Math.min(...clips.map(({ offset }) => -offset));
  const last = Math.max(...clips.map(({ offset, duration }) => duration - offset));
  let at = Math.max(...clips.map(({ offset }) => -offset)); // begin where all of them show something
  let playing = false;
  let before = 0;

  const show = () => {
    range.value = String(Math.round((1000 * (at - first)) / (last - first)));
    range.setAttribute("aria-valuetext", `${(at - first).toFixed(2)} seconds`);
    told.textContent = `${seconds(Math.round((at - first) * 1e6))} s`;
  };
  const place = () => {
    for (const { video, offset, duration } of clips) {
      const own = Math.max(0, Math.min(duration - 0.001, at + offset));
      if (Math.abs(video.currentTime - own) > (playing && !video.paused ? DRIFT_S : 0.001)) video.currentTime = own;
      const within = at + offset >= 0 && at + offset < duration;
      if (playing && within && video.paused) void video.play().catch(() => undefined);
      if ((!playing || !within) && !video.paused) video.pause();
    }
    show();
  };
  const tick = (/** @type {number} */ now) => {
    if (!playing) return;
    at += (now - before) / 1000;
    before = now;
    if (at >= last) {
      at = first;
      stop();
      return;
    }
    place();
    requestAnimationFrame(tick);
  };
  const stop = () => {
    playing = false;
    start.textContent = "Play together";
    start.setAttribute("aria-pressed", "false");
    place();
  };
  start.addEventListener("click", () => {
    if (playing) {
      stop();
      return;
    }
    playing = true;
    start.textContent = "Pause";
    start.setAttribute("aria-pressed", "true");
    before = performance.now();
    place();
    requestAnimationFrame(tick);
  });
  range.addEventListener("input", () => {
    at = first + (Number(range.value) / 1000) * (last - first);
    for (const { video } of clips) if (video.preload === "none") video.preload = "auto";
    place();
  });
  show();
}

choosing();
together();
