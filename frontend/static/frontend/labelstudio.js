// @ts-check
/**
 * In Label Studio's pages: the way back to CrashDesk, and a skip, which Label Studio itself offers in its own stream only.
 * Loaded from CrashDesk by crashdesk_labelstudio_wsgi.py; data-desk is CrashDesk's address.
 */
(() => {
  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  const desk = script && script.dataset.desk;
  if (!desk) return;
  const begun = Date.now();
  const taskOf = () => Number(new URLSearchParams(location.search).get("task")) || null;

  const bar = document.createElement("nav");
  bar.setAttribute("aria-label", "CrashDesk");
  bar.style.cssText = "position:fixed;z-index:2147483000;right:392px;top:6px;display:flex;gap:8px;font:14px/1.4 system-ui,sans-serif";
  const look = "padding:4px 10px;border:1px solid #1d5f6b;border-radius:6px;background:#fff;color:#1d5f6b;text-decoration:none;cursor:pointer;font:inherit";

  const back = document.createElement("a");
  back.textContent = "CrashDesk: next case";
  back.href = `${desk}/work`;
  back.style.cssText = look;

  const skip = document.createElement("button");
  skip.type = "button";
  skip.textContent = "Skip this case";
  skip.style.cssText = look;
  skip.addEventListener("click", async () => {
    const task = taskOf();
    if (!task || !confirm("Skip this case? It goes back to the queue without an answer.")) return;
    skip.disabled = true;
    const body = { result: [], was_cancelled: true, lead_time: (Date.now() - begun) / 1000 };
    const answer = await fetch(`/api/tasks/${task}/annotations/?was_cancelled=1`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    }).catch(() => null);
    if (answer && answer.ok) {
      location.assign(`${desk}/work`);
      return;
    }
    const said = answer ? await answer.json().catch(() => ({})) : {};
    skip.disabled = false;
    alert(`Not skipped: ${said.detail || "Label Studio does not answer."}`);
  });
  bar.append(back, skip);

  const place = () => {
    skip.hidden = taskOf() === null;
    if (!bar.isConnected && document.body) document.body.append(bar);
  };
  place();
  setInterval(place, 1000); // the page changes its address and its content without loading anew
})();
