// The server's clock, as far as its responses reveal it.

/**
 * Bounds "server time minus this device's monotonic clock" from both sides. The server reads its clock after the request
 * left and before the response came, so each response gives a least and a greatest difference. The clock keeps what all
 * responses allow, so a quick response narrows what a slow one left open. The device's calendar plays no part.
 *
 * All times are in ms. Those of the server count from 1970, those of the device from any moment.
 */
export class Clock {
  #low = -Infinity;
  #high = Infinity;
  /** When the device last learned, by its own clock. */
  #at = 0;
  #contradictions = 0;

  /**
   * Learns from a response that was asked for at `sent` and came at `got`, by the device's clock. The server's clock
   * showed at least `time` and at most `time + slack`.
   */
  learn(time, slack, sent, got) {
    const from = time - got;
    const to = time + slack - sent;
    // The device's clock may run 0.2 ‰ fast or slow, so what is known widens with time.
    const drift = (got - this.#at) / 5000;
    this.#low -= drift;
    this.#high += drift;
    this.#at = got;
    const isLater = from > this.#high;
    const isEarlier = to < this.#low;
    if (isEarlier) this.#contradictions++;
    // Later than thought: the device slept. Earlier than thought: a cached response, unless it happens again and again.
    if (isLater || (isEarlier && this.#contradictions > 2)) {
      this.#know(from, to);
    } else if (!isEarlier) {
      this.#know(Math.max(this.#low, from), Math.min(this.#high, to));
    }
  }

  #know(low, high) {
    this.#low = low;
    this.#high = high;
    this.#contradictions = 0;
  }

  /** The server's time when the device's clock shows `at`, in the middle of the bounds; null before any response. */
  timeAt(at) {
    return this.#low > -Infinity ? at + (this.#low + this.#high) / 2 : null;
  }
}
