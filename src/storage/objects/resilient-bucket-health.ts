/** What all calls to one object store have in common: whether it answers, what it may be asked. */
import type { ResilienceSettings } from "./resilient-bucket-settings.ts";

/**
 * Whether the store answers at all. Counted are tries, not calls: two hundred clients on a store
 * that hangs find out together after one try's time, and do not wait for their own five.
 *
 * While it is down one call in `probeMs` is let through, whatever became of the one before: a probe
 * that hangs must not keep everybody else out of a store that has come back.
 */
export class StoreHealth {
  readonly #settings: ResilienceSettings;
  #failures = 0;
  #failingSince = 0;
  /** When the next probe may go; `undefined` while the store is up. */
  #probeAt: number | undefined;

  constructor(settings: ResilienceSettings) {
    this.#settings = settings;
  }

  /**
   * How long to stay away, ms; `undefined`: go. The probe is somebody's first try: a client that
   * has waited for one in vain need not wait for another.
   */
  refusal(now: number, isRetry: boolean): number | undefined {
    if (this.#probeAt === undefined) return undefined;
    if (now < this.#probeAt) return this.#probeAt - now;
    if (isRetry) return this.#settings.probeMs;
    this.#probeAt = now + this.#settings.probeMs;
    return undefined;
  }

  answered(): void {
    this.#failures = 0;
    this.#probeAt = undefined;
  }

  /** A try that began at `begunAt` was not answered. */
  failed(begunAt: number, now: number): void {
    const { downFailures, downMs, probeMs } = this.#settings;
    if (this.#failures === 0) this.#failingSince = begunAt;
    this.#failures += 1;
    const isDown = this.#failures >= downFailures && now - this.#failingSince >= downMs;
    if (isDown) this.#probeAt ??= now + probeMs;
  }
}

/** Retries that may still be made: a store that fails must not get many times its load for that. */
export class RetryBudget {
  readonly #settings: ResilienceSettings;
  #left: number;
  #at = 0;

  constructor(settings: ResilienceSettings) {
    this.#settings = settings;
    this.#left = settings.retriesMax;
  }

  answered(): void {
    this.#add(this.#settings.retriesPerAnswer);
  }

  take(now: number): boolean {
    this.#add(((now - this.#at) / 1000) * this.#settings.retriesPerSecond);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  #add(retries: number): void {
    this.#left = Math.min(this.#settings.retriesMax, this.#left + retries);
  }
}
