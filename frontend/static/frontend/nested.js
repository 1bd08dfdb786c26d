// @ts-check
/**
 * Forms whose fields are numbers in people's units, some of them inside one another:
 * <form data-nested-post="/api/…"> with names such as "thresholds.crash_localization", and data-scale on an input: 0.01
 * makes a share of a percentage, 1000000 makes microseconds of seconds. Empty fields are left out, an empty group is {}.
 */
import { post, showError } from "./api.js";

/**
 * @param {HTMLFormElement} form
 * @returns {Record<string, unknown>}
 */
export function nested(form) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const field of /** @type {Iterable<HTMLInputElement>} */ (/** @type {unknown} */ (form.elements))) {
    if (!field.name) continue;
    const [group, inner] = field.name.split(".");
    if (!group) continue;
    if (inner) body[group] ??= {};
    if (field.value.trim() === "") continue;
    const value = field.dataset.scale ? scaled(field.value, Number(field.dataset.scale)) : field.value.trim();
    if (inner) body[group][inner] = value;
    else body[group] = value;
  }
  return body;
}

/** @param {string} text @param {number} scale */
function scaled(text, scale) {
  const number = Number(text.replace(",", ".")) * scale;
  return scale >= 1 ? Math.round(number) : Math.round(number * 1e8) / 1e8;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.dataset.nestedPost) return;
  event.preventDefault();
  const place = /** @type {HTMLElement | null} */ (form.querySelector("[data-error]"));
  showError(place, null);
  post(form.dataset.nestedPost, nested(form)).then(() => {
    if (form.dataset.said) sessionStorage.setItem("crashdesk.flash", form.dataset.said);
    location.reload();
  }, (error) => showError(place, error));
});
