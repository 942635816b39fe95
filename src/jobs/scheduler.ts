/** Runs jobs at their intervals, one at a time. */
import type { JobTools } from "./job.ts";

export interface ScheduledJob {
  readonly intervalMs: number;
  /** Says when it is due again where that is not after its interval, ms. */
  readonly run: () => Promise<{ readonly dueInMs: number } | undefined>;
}

/** The longest sleep at once: timers take no more than 24 days, ms. */
const sleepMaxMs = 60 * 60 * 1000;

export class Scheduler {
  readonly #tools: Pick<JobTools, "clock" | "random" | "sleep">;
  readonly #closing: AbortController = new AbortController();
  #running: Promise<void> | undefined;

  constructor(tools: Pick<JobTools, "clock" | "random" | "sleep">) {
    this.#tools = tools;
  }

  /** Each job begins at some time in the first `firstDelayMaxMs`, or in its interval. */
  start(jobs: readonly ScheduledJob[], firstDelayMaxMs: number): void {
    const { clock, random } = this.#tools;
    const due = jobs.map((job) => ({
      job,
      at: clock() + random() * Math.min(firstDelayMaxMs, job.intervalMs),
    }));
    this.#running ??= this.#run(due);
  }

  /** Aborts when no job has to begin any more, and the one that runs should end. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("the registry closes"));
    await this.#running;
  }

  async #run(due: { readonly job: ScheduledJob; at: number }[]): Promise<void> {
    const { clock, random, sleep } = this.#tools;
    for (;;) {
      let [next] = due;
      for (const each of due) if (each.at < (next?.at ?? Infinity)) next = each;
      if (next === undefined || this.closing.aborted) return;
      const waitMs = next.at - clock();
      if (waitMs > 0) {
        await sleep(Math.min(waitMs, sleepMaxMs), this.closing);
        continue;
      }
      const { intervalMs, run } = next.job;
      const again = await run();
      // A little apart, so that nodes which waited for each other do not come at once again.
      next.at = clock() + (again?.dueInMs ?? intervalMs) * (1 + random() / 10);
    }
  }
}
