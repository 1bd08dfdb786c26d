// @ts-check
/** Spans and cues of three voices on one scale, a playhead, and seeking by pointer or slider keys. */

/**
 * @typedef {{start_us: number, end_us: number, start_frame: number, end_frame: number}} Bar
 * @typedef {{at_us: number, frame: number}} Mark
 * @typedef {{tone: string, label: string, span: Bar | null, onset: Mark | null}} Row
 * @typedef {{fps: {num: number, den: number} | null, frames: number, frame_us: number[], duration_us: number,
 *   rows: Row[]}} Timeline
 */

const TICKS_US = [100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000];
const MOST_TICKS = 10;

/** Integer microseconds as seconds with milliseconds, rounded half up. @param {number} us */
export function seconds(us) {
  const ms = Math.floor((us + 500) / 1000);
  return `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, "0")}`;
}

/**
 * The last frame that has started by then.
 * @param {number[]} frameUs ascending start times @param {number} us
 */
export function frameAt(frameUs, us) {
  let low = 0;
  let high = frameUs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((frameUs[middle] ?? 0) <= us) low = middle + 1;
    else high = middle;
  }
  const last = Math.max(0, low - 1);
  const time = frameUs[last];
  let first = last;
  while (first > 0 && frameUs[first - 1] === time) first -= 1;
  return first;
}

/** All frames at which a span or cue begins or ends, ascending. @param {Timeline} timeline */
export function edges(timeline) {
  const found = timeline.rows.flatMap(({ span, onset }) => [
    ...(span ? [span.start_frame, Math.min(span.end_frame, timeline.frames - 1)] : []),
    ...(onset ? [onset.frame] : []),
  ]);
  return [...new Set(found)].sort((a, b) => a - b);
}

/**
 * @param {HTMLElement} root
 * @param {Timeline} timeline
 */
export function draw(root, timeline) {
  const share = (/** @type {number} */ us) => `${(100 * Math.min(us, timeline.duration_us)) / timeline.duration_us}%`;
  for (const { tone, label, span, onset } of timeline.rows) {
    const lane = root.querySelector(`[data-lane="${tone}"]`);
    if (!lane) continue;
    if (span) {
      const bar = mark("timeline__span", `${label}: crash from ${seconds(span.start_us)} to ${seconds(span.end_us)} s`);
      bar.style.left = share(span.start_us);
      bar.style.right = `calc(100% - ${share(span.end_us)})`;
      lane.append(bar);
    }
    if (onset) {
      const cue = mark("timeline__cue", `${label}: first visible cue at ${seconds(onset.at_us)} s`);
      cue.style.left = share(onset.at_us);
      lane.append(cue);
    }
  }
  const scale = root.querySelector("[data-scale]");
  const step = TICKS_US.find((us) => timeline.duration_us / us <= MOST_TICKS) ?? timeline.duration_us;
  for (let us = 0; us <= timeline.duration_us; us += step) {
    const tick = document.createElement("span");
    tick.className = "timeline__tick";
    tick.textContent = step < 1_000_000 ? (us / 1_000_000).toFixed(1) : String(us / 1_000_000);
    tick.style.left = share(us);
    if (us > timeline.duration_us * 0.97) tick.classList.add("timeline__tick--last");
    scale?.append(tick);
  }
}

/** @param {string} className @param {string} label */
function mark(className, label) {
  const made = document.createElement("span");
  made.className = className;
  made.title = label;
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}

/**
 * Let a pointer seek: press anywhere on a lane, drag to scrub.
 * @param {HTMLElement} root
 * @param {Timeline} timeline
 * @param {(frame: number) => void} seek
 */
export function scrub(root, timeline, seek) {
  const scale = /** @type {HTMLElement} */ (root.querySelector("[data-scale]"));
  const go = (/** @type {PointerEvent} */ event) => {
    const box = scale.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    seek(frameAt(timeline.frame_us, share * timeline.duration_us));
  };
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.clientX < scale.getBoundingClientRect().left) return;
    root.setPointerCapture(event.pointerId);
    go(event);
    event.preventDefault();
    scale.focus({ preventScroll: true });
  });
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) go(event);
  });
}

/**
 * Move the playhead and tell assistive technology.
 * @param {HTMLElement} root
 * @param {Timeline} timeline
 * @param {number} frame
 */
export function point(root, timeline, frame) {
  const us = timeline.frame_us[frame] ?? 0;
  const head = /** @type {HTMLElement | null} */ (root.querySelector("[data-head]"));
  head?.style.setProperty("--at", String(us / timeline.duration_us));
  const scale = root.querySelector("[data-scale]");
  scale?.setAttribute("aria-valuenow", String(frame));
  scale?.setAttribute("aria-valuetext", `${seconds(us)} seconds, frame ${frame + 1} of ${timeline.frames}`);
}
