/** Time that passes only when nothing else is left to do: limits of minutes are tested at once. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { Timing } from "../../src/storage/objects/resilient-bucket-settings.ts";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** Turns of the event loop in which streams and promises come to rest. */
const turnsToRest = 3;

export class VirtualTime implements Timing {
  #now = 0;
  readonly #timers = new Set<Timer>();
  readonly random: () => number;

  constructor(random: () => number = () => 0.5) {
    this.random = random;
  }

  readonly now = (): number => this.#now;

  readonly after = (ms: number, run: () => void): (() => void) => {
    assert(ms >= 0, `a timer for ${ms} ms`);
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  /** Timers that nobody has stopped. */
  get pending(): number {
    return this.#timers.size;
  }

  wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.after(ms, resolve);
    return promise;
  }

  /** Lets time pass until `work` is settled. */
  async until<T>(work: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = (): void => void (isSettled = true);
    work.then(settled, settled);
    for (;;) {
      await this.#rest();
      if (isSettled) return await work;
      const next = this.#next();
      assert(next !== undefined, "nothing will ever happen any more");
      this.#fire(next);
    }
  }

  /** Lets so much time pass, with all that happens in it. */
  async pass(ms: number): Promise<void> {
    await this.until(this.wait(ms));
  }

  async #rest(): Promise<void> {
    for (let turn = 0; turn < turnsToRest; turn += 1) await setImmediate();
  }

  #next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.at < (first?.at ?? Infinity)) first = timer;
    return first;
  }

  #fire(timer: Timer): void {
    this.#timers.delete(timer);
    this.#now = Math.max(this.#now, timer.at);
    timer.run();
  }
}
