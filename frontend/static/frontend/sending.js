// @ts-check
/**
 * One file on its way to /api/uploads, in pieces: tus 1.0.0 (PATCH) where the store is a folder, signed addresses of the
 * bucket where it is one. What the server has is asked after every interruption, so nothing is sent twice in vain.
 */
import { ApiError, csrf, post, request } from "./api.js";

const PIECE = 8 * 1024 * 1024;
const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15000];
const ASK_MS = 1000;
const TUS = { "Tus-Resumable": "1.0.0" };

/**
 * @typedef {{id: string, url: string, state: string, problem: string, offset: number, size: number, video: number | null,
 *   method: "tus" | "multipart", part_size: number | null, part_count: number | null}} Upload
 * @typedef {"waits" | "sends" | "pauses" | "checks" | "done" | "failed" | "cancelled"} State
 */

/** The person cancelled it. */
export class Cancelled extends Error {}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(new Cancelled());
  });
});

const PASSING = ["offset_conflict", "upload_busy", "upload_interrupted"];

/** Whether trying again may help: the network, a server that restarts, a request that is still being written. */
const passing = (/** @type {unknown} */ error) =>
  error instanceof ApiError
  && (PASSING.includes(error.code) || [0, 408, 429].includes(error.status) || (error.status >= 500 && error.status !== 507));

/**
 * Send bytes with progress, which fetch cannot tell of.
 * @param {string} method @param {string} address @param {Blob} body @param {Record<string, string>} headers
 * @param {(sent: number) => void} told @param {AbortSignal} signal
 * @returns {Promise<XMLHttpRequest>}
 */
function send(method, address, body, headers, told, signal) {
  return new Promise((resolve, reject) => {
    const wire = new XMLHttpRequest();
    wire.open(method, address);
    for (const [name, value] of Object.entries(headers)) wire.setRequestHeader(name, value);
    wire.upload.addEventListener("progress", (event) => told(event.loaded));
    wire.addEventListener("error", () => reject(new ApiError("unreachable", "The server could not be reached.", {}, 0)));
    wire.addEventListener("abort", () => reject(new Cancelled()));
    wire.addEventListener("load", () => {
      if (wire.status < 300) {
        resolve(wire);
        return;
      }
      let error = null;
      try {
        error = JSON.parse(wire.responseText).error;
      } catch {
        error = null; // a proxy's page, not an answer of ours
      }
      reject(error ? new ApiError(error.code, error.message, error.fields ?? {}, wire.status)
        : new ApiError("error", `The server answered ${wire.status} ${wire.statusText}.`, {}, wire.status));
    });
    signal.addEventListener("abort", () => wire.abort());
    wire.send(body);
  });
}

export class Sending {
  /**
   * @param {File} file
   * @param {string} name what the video will be called
   * @param {string} corpus its name
   * @param {Record<string, string>} metadata
   * @param {(sending: Sending) => void} changed
   */
  constructor(file, name, corpus, metadata, changed) {
    this.file = file;
    this.name = name;
    this.corpus = corpus;
    this.metadata = metadata;
    this.changed = changed;
    /** @type {State} */
    this.state = "waits";
    this.sent = 0;
    this.resumed = false;
    this.problem = "";
    /** @type {number | null} */
    this.video = null;
    this.stop = new AbortController();
    /** @type {Upload | null} */
    this.upload = null;
  }

  /** Under which the browser remembers where the file goes on, if it is chosen again. */
  get key() {
    return `crashdesk.upload ${this.corpus} ${this.name} ${this.file.size} ${this.file.lastModified}`;
  }

  /** @param {State} state @param {string} [problem] */
  become(state, problem = "") {
    this.state = state;
    this.problem = problem;
    this.changed(this);
  }

  /** Send it all, and wait until the server has made a video of it. Never rejects: the outcome is the state. */
  async run() {
    if (this.state === "cancelled") return;
    this.stop = new AbortController();
    this.become("sends");
    try {
      for (let tries = 0; ; ) {
        try {
          const before = this.sent;
          await this.begin();
          if (this.sent > before) tries = 0;
          await (this.upload?.method === "multipart" ? this.parts() : this.pieces(() => { tries = 0; }));
          break;
        } catch (error) {
          const wait = WAITS_MS[tries];
          if (!passing(error) || wait === undefined) throw error;
          tries += 1;
          this.become("pauses", error instanceof Error ? error.message : String(error));
          await pause(wait, this.stop.signal);
          this.become("sends");
        }
      }
      this.become("checks");
      await this.outcome();
    } catch (error) {
      if (error instanceof Cancelled) return;
      this.become("failed", error instanceof ApiError ? words(error) : String(error));
    }
  }

  /** Find the upload that was begun before, or begin one; `sent` is then what the server has. */
  async begin() {
    const known = localStorage.getItem(this.key);
    if (known) {
      try {
        const upload = /** @type {Upload} */ (await request(known));
        if (upload.state === "open" || upload.state === "done") {
          this.upload = upload;
          this.sent = upload.method === "tus" && upload.state === "open" ? await this.offset(upload) : upload.offset;
          this.resumed = this.sent > 0;
          this.changed(this);
          return;
        }
      } catch (error) {
        if (!(error instanceof ApiError) || ![404, 410].includes(error.status)) throw error;
      }
      localStorage.removeItem(this.key);
    }
    const size = this.file.size;
    this.upload = await post("/api/uploads", { corpus: this.corpus, name: this.name, size, metadata: this.metadata });
    localStorage.setItem(this.key, this.upload?.url ?? "");
    this.sent = 0;
    this.changed(this);
  }

  /** @param {Upload} upload @returns {Promise<number>} bytes that the server has */
  async offset(upload) {
    const response = await fetch(upload.url, { method: "HEAD", credentials: "same-origin", headers: TUS }).catch(() => null);
    if (!response) throw new ApiError("unreachable", "The server could not be reached.", {}, 0);
    if (!response.ok) throw new ApiError("upload_ended", "This upload has ended.", {}, response.status);
    return Number(response.headers.get("Upload-Offset"));
  }

  /** By tus: each PATCH begins where the server is. @param {() => void} arrived told after each piece */
  async pieces(arrived) {
    const { url } = /** @type {Upload} */ (this.upload);
    // A resumed upload that is complete sends nothing once more: that has the server look at it again.
    for (let once = this.resumed; this.sent < this.file.size || once; once = false) {
      const start = this.sent;
      const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(start), "X-CSRFToken": csrf() };
      const told = (/** @type {number} */ loaded) => {
        this.sent = start + loaded;
        this.changed(this);
      };
      const answer = await send("PATCH", url, this.file.slice(start, start + PIECE), headers, told, this.stop.signal);
      this.sent = Number(answer.getResponseHeader("Upload-Offset"));
      this.changed(this);
      arrived();
    }
  }

  /** To a bucket: parts that are not there yet, each to an address signed for it. */
  async parts() {
    const { url, part_size: size, part_count: count } = /** @type {Upload} */ (this.upload);
    /** @type {Map<number, string>} */
    const there = new Map((await request(`${url}/parts`)).map((/** @type {any} */ part) => [part.number, part.etag]));
    const length = (/** @type {number} */ number) => Math.min(Number(size), this.file.size - (number - 1) * Number(size));
    this.sent = [...there.keys()].reduce((sum, number) => sum + length(number), 0);
    for (let number = 1; number <= Number(count); number += 1) {
      if (there.has(number)) continue;
      const [signed] = await post(`${url}/parts`, { numbers: [number] });
      const before = this.sent;
      const first = (number - 1) * Number(size);
      await send("PUT", signed.url, this.file.slice(first, first + length(number)), {}, (loaded) => {
        this.sent = before + loaded;
        this.changed(this);
      }, this.stop.signal);
      this.sent = before + length(number);
    }
    // The bucket's own list tells the parts' tags, which a browser may be kept from reading.
    const parts = (await request(`${url}/parts`)).map((/** @type {any} */ part) => ({ number: part.number, etag: part.etag }));
    await post(`${url}/complete`, { parts });
  }

  /** Wait until the bytes are a video, or are refused. */
  async outcome() {
    const { url } = /** @type {Upload} */ (this.upload);
    for (;;) {
      const upload = /** @type {Upload} */ (await request(url));
      if (upload.state === "done") {
        localStorage.removeItem(this.key);
        this.video = upload.video;
        this.become("done");
        return;
      }
      if (upload.state !== "open") {
        localStorage.removeItem(this.key);
        throw new ApiError(upload.state, upload.problem || `The upload was ${upload.state}.`, {}, 410);
      }
      const [job] = (await request(`/api/jobs?group=upload:${upload.id}&page_size=1`)).results;
      if (job && ["failed", "cancelled"].includes(job.state)) {
        const { problem } = /** @type {Upload} */ (await request(url)); // written after we asked, perhaps
        throw new ApiError("not_taken", problem || `The server gave up: its job ${job.state}.`, {}, 409);
      }
      await pause(ASK_MS, this.stop.signal);
    }
  }

  /** Stop, and have the server forget what it has. */
  async cancel() {
    this.stop.abort();
    this.become("cancelled");
    localStorage.removeItem(this.key);
    if (this.upload) await forget(this.upload.url);
  }
}

/** End an upload at the server. @param {string} address */
export async function forget(address) {
  await request(address, { method: "DELETE", headers: { ...TUS, "X-CSRFToken": csrf() } });
}

/** @param {ApiError} error */
function words(error) {
  const fields = Object.values(error.fields).flat().filter((text) => typeof text === "string" && !error.message.includes(text));
  return [error.message, ...fields].join(" ");
}
