/** Tries again what the database took back, or what a broken connection cut off. */
import { setTimeout as sleep } from "node:timers/promises";
import { failureKind } from "./errors.ts";

/** Time and chance, as a test may own them. */
export interface Timing {
  /** Monotonic, ms. */
  readonly now: () => number;
  /** From 0 up to 1, without 1. */
  readonly random: () => number;
}

/**
 * How long a request goes on trying while there is no connection: a restart or a failover of the
 * database takes a second or two, and clients give up, or come back, after a few more.
 */
const outageMs = 3000;

/** Between two tries without a connection, at most; ms. */
const outagePauseMs = 200;

/** Deadlocks and conflicts of one command in a row: that many mean that something is wrong. */
const conflictsMax = 10;

/** After the first conflict at most; it grows with each one. Ms. */
const conflictPauseMs = 10;

export class Retries {
  readonly #timing: Timing;
  /** Since when nobody has got a connection: who comes later does not wait all over again. */
  #outageSince: number | undefined;

  constructor(timing: Timing) {
    this.#timing = timing;
  }

  /** Makes a connection by `open`, and remembers whether one can be made. */
  async opening<T>(open: () => Promise<T>): Promise<T> {
    try {
      const opened = await open();
      this.#outageSince = undefined;
      return opened;
    } catch (error) {
      this.#outageSince ??= this.#timing.now();
      throw error;
    }
  }

  /** `attempt` must be safe to repeat whenever it throws a conflict, or says that it was lost. */
  async run<T>(attempt: () => Promise<T>): Promise<T> {
    const { now, random } = this.#timing;
    let failingSince: number | undefined;
    for (let conflicts = 0; ;) {
      try {
        return await attempt();
      } catch (error) {
        const kind = failureKind(error);
        failingSince ??= now();
        if (kind === "conflict" && conflicts < conflictsMax) {
          conflicts += 1;
          await sleep(random() * conflictPauseMs * conflicts);
        } else if (kind === "lost" && now() - (this.#outageSince ?? failingSince) < outageMs) {
          await sleep(random() * outagePauseMs);
        } else throw error;
      }
    }
  }

  /** Waits a random time up to `limitMs`. */
  async pause(limitMs: number): Promise<void> {
    await sleep(this.#timing.random() * limitMs);
  }

  /** Monotonic, ms. */
  now(): number {
    return this.#timing.now();
  }
}
