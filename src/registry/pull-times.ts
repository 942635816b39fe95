/**
 * When manifests were last pulled. A pull is a read and stays one: times are gathered in memory and
 * written in batches, so that a crash loses the last few seconds of them, and never of anything
 * else.
 */
import type { RegistryContext } from "./context.ts";

/** How often the times are written. Retention counts in days. */
const flushMs = 5000;

/**
 * Manifests in one batch: one transaction, some milliseconds. What comes on top is noted at its
 * next pull.
 */
const batchMax = 2000;

export class PullTimes {
  readonly #ctx: Pick<RegistryContext, "metadata" | "now" | "report">;
  readonly #timer: NodeJS.Timeout;
  #times = new Map<number, number>();

  constructor(ctx: Pick<RegistryContext, "metadata" | "now" | "report">) {
    this.#ctx = ctx;
    this.#timer = setInterval(() => void this.flush(), flushMs);
    this.#timer.unref();
  }

  note(manifestId: number): void {
    if (this.#times.size < batchMax) this.#times.set(manifestId, this.#ctx.now());
  }

  async flush(): Promise<void> {
    if (this.#times.size === 0) return;
    const pulls = [...this.#times].map(([manifestId, at]) => ({ manifestId, at }));
    this.#times = new Map();
    try {
      await this.#ctx.metadata.execute("recordPulls", { pulls });
    } catch (error) {
      this.#ctx.report(`${pulls.length} pull times could not be written`, error);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}
