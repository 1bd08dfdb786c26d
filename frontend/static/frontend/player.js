// @ts-check
/**
 * A <video> that is driven by frames. The proxy has a constant rate and starts at zero, so frame n is on screen
 * from n/fps to (n+1)/fps; seeking to (n + 0.5)/fps cannot land on a neighbour by rounding.
 */

/** @typedef {{num: number, den: number}} Rate */

/** @param {number} frame @param {Rate} rate @returns {number} seconds */
export const seekTime = (frame, rate) => ((frame + 0.5) * rate.den) / rate.num;

/** @param {number} seconds the time at which a frame comes on screen @param {Rate} rate */
export const frameAtStart = (seconds, rate) => Math.round((seconds * rate.num) / rate.den);

export class Player {
  /**
   * While paused, the frame last asked for is the truth, so no key press is lost while a seek is under way.
   * While playing, the frame on screen is. At most one seek is in flight, always to the newest wish.
   * @param {HTMLVideoElement} video
   * @param {Rate} rate
   * @param {number} frames
   * @param {(frame: number) => void} changed called with the frame to show as current
   */
  constructor(video, rate, frames, changed) {
    this.video = video;
    this.rate = rate;
    this.frames = frames;
    this.changed = changed;
    /** @type {number | null} */
    this.wanted = 0;
    this.shown = 0;
    video.addEventListener("seeked", () => this.settle());
    video.addEventListener("loadedmetadata", () => this.settle());
    video.addEventListener("play", () => { this.wanted = null; });
    video.addEventListener("pause", () => { if (this.wanted === null) this.seek(this.shown); });
    this.watch();
  }

  /** The frame that counts as current. */
  get frame() {
    return this.wanted ?? this.shown;
  }

  /** Go to a frame and stay there. @param {number} frame */
  seek(frame) {
    const target = Math.max(0, Math.min(this.frames - 1, frame));
    this.wanted = target;
    if (!this.video.paused) this.video.pause();
    this.changed(target);
    if (!this.video.seeking) this.settle();
  }

  /** @param {number} by frames, negative goes back */
  step(by) {
    this.seek(this.frame + by);
  }

  async toggle() {
    if (!this.video.paused) {
      this.video.pause();
      return;
    }
    if (this.frame >= this.frames - 1) {
      this.seek(0);
    }
    await this.video.play();
  }

  settle() {
    if (this.wanted === null || this.video.readyState === 0) return;
    const time = seekTime(this.wanted, this.rate);
    if (Math.abs(this.video.currentTime - time) > 1e-4) this.video.currentTime = time;
  }

  watch() {
    const arrived = (/** @type {number} */ frame) => {
      this.shown = Math.max(0, Math.min(this.frames - 1, frame));
      if (this.wanted === null) this.changed(this.shown);
    };
    if ("requestVideoFrameCallback" in this.video) {
      /** @type {VideoFrameRequestCallback} */
      const tick = (_now, about) => {
        arrived(frameAtStart(about.mediaTime, this.rate));
        this.video.requestVideoFrameCallback(tick);
      };
      this.video.requestVideoFrameCallback(tick);
      return;
    }
    const video = /** @type {HTMLVideoElement} */ (this.video);
    video.addEventListener("timeupdate", () => {
      arrived(Math.floor((video.currentTime * this.rate.num) / this.rate.den));
    });
  }
}
