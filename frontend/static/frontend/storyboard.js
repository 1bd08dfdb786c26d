// @ts-check
/**
 * Moments of a clip over its picture: the pointer's place picks one; with the keyboard's focus they run by themselves,
 * unless less motion is asked for. <span data-board='{"url", "columns", "rows", "width", "height", "times_us"}'>.
 */
import { seconds } from "./timeline.js";

/** @typedef {{url: string, columns: number, rows: number, width: number, height: number, times_us: number[]}} Board */

const EVERY_MS = 350;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {HTMLElement} picture */
function enliven(picture) {
  const board = /** @type {Board} */ (JSON.parse(picture.dataset.board ?? "{}"));
  const last = board.times_us.length - 1;
  /** @type {HTMLElement | null} */
  let over = null;
  let timer = 0;

  const show = (/** @type {number} */ index) => {
    if (!over) {
      over = document.createElement("span");
      over.className = "board";
      over.setAttribute("aria-hidden", "true");
      over.style.backgroundImage = `url("${board.url}")`;
      const time = document.createElement("span");
      time.className = "board__time";
      const bar = document.createElement("span");
      bar.className = "board__bar";
      over.append(time, bar);
      picture.append(over);
    }
    const box = picture.getBoundingClientRect();
    const scale = Math.min(box.width / board.width, box.height / board.height);
    const [wide, tall] = [board.width * scale, board.height * scale];
    over.style.inset = `${(box.height - tall) / 2}px ${(box.width - wide) / 2}px`;
    over.style.backgroundSize = `${wide * board.columns}px ${tall * board.rows}px`;
    over.style.backgroundPosition = `${-wide * (index % board.columns)}px ${-tall * Math.floor(index / board.columns)}px`;
    const [time, bar] = /** @type {HTMLElement[]} */ ([...over.children]);
    if (time) time.textContent = `${seconds(board.times_us[index] ?? 0)} s`;
    if (bar) bar.style.width = `${(100 * (index + 1)) / (last + 1)}%`;
  };
  const hide = () => {
    clearInterval(timer);
    over?.remove();
    over = null;
  };

  (picture.closest("a") ?? picture).addEventListener("pointermove", (event) => {
    clearInterval(timer);
    const box = picture.getBoundingClientRect();
    const share = Math.max(0, Math.min(0.999, (event.clientX - box.left) / box.width));
    show(Math.floor(share * (last + 1)));
  });
  (picture.closest("a") ?? picture).addEventListener("pointerleave", hide);
  const link = picture.closest("a") ?? picture;
  link.addEventListener("focus", () => {
    if (still.matches || !link.matches(":focus-visible")) return;
    let index = 0;
    show(index);
    timer = setInterval(() => {
      index = index === last ? 0 : index + 1;
      show(index);
    }, EVERY_MS);
  });
  link.addEventListener("blur", hide);
}

for (const picture of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-board]"))) enliven(picture);
