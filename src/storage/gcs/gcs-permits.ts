/** `maxconcurrency`: how many requests are under way. The others wait for their turn, in order. */

export class Permits {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it is one's turn. What it resolves with ends it, and is called once. */
  async take(signal: AbortSignal | undefined): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return () => this.#give();
    }
    const { promise, reject, resolve } = Promise.withResolvers<void>();
    const turn = (): void => resolve();
    const aborted = (): void => {
      this.#waiting.delete(turn);
      reject(signal?.reason);
    };
    this.#waiting.add(turn);
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", aborted);
    }
    return () => this.#give();
  }

  /** Hands it on: nobody comes in between. */
  #give(): void {
    for (const turn of this.#waiting) {
      this.#waiting.delete(turn);
      turn();
      return;
    }
    this.#free += 1;
  }
}
