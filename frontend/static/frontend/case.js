// @ts-check
/** The page of one case: the clip, and keys that lead to the cases around it. */
import { watch } from "./watch.js";

/** @param {string} selector */
const follow = (selector) => /** @type {HTMLAnchorElement | null} */ (document.querySelector(selector))?.click();

watch({
  j: () => follow("[data-previous-case]"),
  k: () => follow("[data-next-case]"),
});
