// @ts-check
/** Talking to the API with the session's cookie. One error body: {error: {code, message, fields}}. */

/** A refusal, with what is wrong where. */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {Record<string, unknown>} fields
   * @param {number} status 0 when the server was not reached
   */
  constructor(code, message, fields, status) {
    super(message);
    this.code = code;
    this.fields = fields;
    this.status = status;
  }
}

/** @returns {string} the value of the CSRF cookie, '' when there is none */
export function csrf() {
  const found = document.cookie.split("; ").find((part) => part.startsWith("crashdesk_csrf="));
  return found ? decodeURIComponent(found.slice(found.indexOf("=") + 1)) : "";
}

/**
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<any>} the parsed body; rejects with an ApiError
 */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw new ApiError("unreachable", "The server could not be reached.", {}, 0);
  }
  const json = response.headers.get("content-type")?.includes("json");
  const body = json ? await response.json() : null;
  if (response.ok) return body;
  const error = body?.error;
  if (error) throw new ApiError(error.code, error.message, error.fields ?? {}, response.status);
  throw new ApiError("error", `The server answered ${response.status} ${response.statusText}.`, {}, response.status);
}

/**
 * @param {string} url
 * @param {Record<string, unknown>} [body]
 * @param {string} [method]
 */
export function post(url, body = {}, method = "POST") {
  return request(url, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrf() },
    body: JSON.stringify(body),
  });
}

/**
 * @param {unknown} error
 * @returns {string[]} lines for a person: the message, then what is wrong with which field
 */
export function explain(error) {
  if (!(error instanceof ApiError)) return [error instanceof Error ? error.message : String(error)];
  const lines = [error.message];
  for (const [name, wrong] of Object.entries(error.fields)) {
    const said = Array.isArray(wrong) ? wrong.map(inWords).join(" ") : inWords(wrong);
    lines.push(name === "non_field_errors" ? said : `${name.replaceAll("_", " ")}: ${said}`);
  }
  return lines;
}

/** @param {unknown} value */
function inWords(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

/**
 * Show an error in an element with role=alert, as text, never as markup.
 * @param {HTMLElement | null | undefined} place
 * @param {unknown} error null clears it
 */
export function showError(place, error) {
  if (!place) return;
  place.replaceChildren();
  place.hidden = error === null;
  if (error === null) return;
  explain(error).forEach((line, number) => {
    if (number) place.append(document.createElement("br"));
    place.append(line);
  });
}
