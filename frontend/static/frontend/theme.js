// @ts-check
/* Runs before the first paint: the colours chosen in this browser, else the system's. */
(() => {
  const KEY = "crashdesk.theme";
  const NAMES = /** @type {const} */ ({ system: "as the system", light: "light", dark: "dark" });
  const order = /** @type {(keyof typeof NAMES)[]} */ (Object.keys(NAMES));

  /** @returns {keyof typeof NAMES} */
  const chosen = () => {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  };
  const apply = () => {
    const theme = chosen();
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const toggle = document.querySelector("[data-theme-toggle]");
    toggle?.setAttribute("aria-label", `Colours: ${NAMES[theme]}`);
    toggle?.setAttribute("title", `Colours: ${NAMES[theme]}`);
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
      const next = order[(order.indexOf(chosen()) + 1) % order.length] ?? "system";
      localStorage.setItem(KEY, next);
      apply();
    });
  });
})();
