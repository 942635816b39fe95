/**
 * The registry's upkeep: what has to be done now and then, on whichever node comes first. See
 * invariant I4.
 */
import { collect } from "./collector.ts";
import { LeaseLost, pacing, type Job, type JobCounts, type JobTools } from "./job.ts";
import { HeldLease } from "./leases.ts";
import { purge } from "./purge.ts";
import { adoptRoot, hasServed, type RootVerdict } from "./root-marker.ts";
import { Scheduler } from "./scheduler.ts";
import type { JobSettings } from "./settings.ts";
import { sweep } from "./sweeper.ts";

export type { JobCounts } from "./job.ts";
export { defaultUpkeepSettings, type UpkeepSettings } from "./settings.ts";

export type JobName = "purge" | "collect" | "sweep";

export interface JobRun {
  readonly job: JobName;
  /**
   * `busy`: another node does it, or has just done it. `refused`: the root is not this database's.
   * `stopped`: the registry closes, or another node has taken over.
   */
  readonly outcome: "done" | "busy" | "refused" | "stopped";
  readonly counts: Readonly<JobCounts>;
  readonly durationMs: number;
}

export type UpkeepOptions = Omit<JobTools, "sleep"> &
  Partial<Pick<JobTools, "sleep">> & {
    /** Told of each run that did not fail. */
    readonly observe?: ((run: JobRun) => void) | undefined;
  };

export interface Upkeep {
  /**
   * Marks a new root, warns of one that is not this database's, and begins to schedule. Throws
   * where a new root cannot be marked.
   */
  start(): Promise<void>;
  /**
   * Runs a job now, whenever it ran last. Throws what makes it fail. Other jobs of this process
   * wait.
   */
  runOnce(job: JobName): Promise<JobRun>;
  /** Stops the job that runs, and resolves when it has stopped. */
  close(): Promise<void>;
}

const works: Readonly<Record<JobName, (job: Job) => Promise<void>>> = { purge, collect, sweep };

/**
 * Collector and sweeper share a lease: one of them takes over what the other one has left, and
 * should not meet it at work.
 */
const workLeases: Readonly<Record<JobName, string>> = {
  purge: "upkeep/uploads",
  collect: "upkeep/content",
  sweep: "upkeep/content",
};

/** A job that failed is tried again after this at the latest, ms. */
const retryMaxMs = 60 * 60 * 1000;

/** For this part of a job's interval nobody does it again. */
const restShare = 0.9;

export function createUpkeep(options: UpkeepOptions): Upkeep {
  return new RegistryUpkeep({ sleep, ...options });
}

class RegistryUpkeep implements Upkeep {
  readonly #tools: JobTools & Pick<UpkeepOptions, "observe">;
  readonly #scheduler: Scheduler;
  /** The job that runs, and those that wait for it. */
  #last: Promise<unknown> = Promise.resolve();
  #warned: string | undefined;

  constructor(tools: JobTools & Pick<UpkeepOptions, "observe">) {
    this.#tools = tools;
    this.#scheduler = new Scheduler(tools);
  }

  async start(): Promise<void> {
    const { report, settings } = this.#tools;
    try {
      await this.#adopt();
    } catch (error) {
      if (!(await hasServed(this.#tools))) throw error;
      report("the storage's mark could not be looked at, so that nothing is deleted yet", error);
    }
    const names = (Object.keys(works) as JobName[]).filter((name) => settings[name].enabled);
    const jobs = names.map((name) => ({
      intervalMs: settings[name].intervalMs,
      run: () => this.#runWhenDue(name),
    }));
    this.#scheduler.start(jobs, settings.firstDelayMaxMs);
  }

  async runOnce(job: JobName): Promise<JobRun> {
    return await this.#alone(() => this.#run(job));
  }

  async close(): Promise<void> {
    await this.#scheduler.close();
    await this.#last;
  }

  /** The root's state is looked at before each run: whoever mends it need not start anew. */
  async #adopt(): Promise<RootVerdict> {
    const verdict = await adoptRoot(this.#tools);
    if (verdict.warning !== undefined && verdict.warning !== this.#warned) {
      this.#tools.report(verdict.warning, undefined);
    }
    this.#warned = verdict.warning;
    return verdict;
  }

  async #alone<T>(run: () => Promise<T>): Promise<T> {
    const running = this.#last.then(run);
    this.#last = running.catch(() => undefined);
    return await running;
  }

  /** As one of many nodes: whoever did it lets the others know until it is due again. */
  async #runWhenDue(name: JobName): Promise<{ readonly dueInMs: number } | undefined> {
    const { report, settings } = this.#tools;
    const { intervalMs }: JobSettings = settings[name];
    try {
      const turn = await HeldLease.take(this.#tools, `upkeep/${name}`);
      if (!(turn instanceof HeldLease)) {
        return { dueInMs: Math.min(intervalMs, turn.retryAfterMs) };
      }
      let restMs: number | undefined;
      try {
        const { outcome } = await this.runOnce(name);
        if (outcome === "done") restMs = intervalMs * restShare;
        if (outcome === "busy") return { dueInMs: Math.min(intervalMs, settings.leaseMs) };
      } finally {
        await turn.end(restMs);
      }
      return undefined;
    } catch (error) {
      report(`the upkeep's job "${name}" failed`, error);
      return { dueInMs: Math.min(intervalMs, retryMaxMs) };
    }
  }

  async #run(name: JobName): Promise<JobRun> {
    const { clock } = this.#tools;
    const counts: JobCounts = { seen: 0, removed: 0, bytes: 0, kept: 0, failed: 0 };
    const begin = clock();
    const outcome = await this.#work(name, counts);
    const run = { job: name, outcome, counts, durationMs: clock() - begin };
    this.#tools.observe?.(run);
    return run;
  }

  async #work(name: JobName, counts: JobCounts): Promise<JobRun["outcome"]> {
    const { closing } = this.#scheduler;
    if (closing.aborted) return "stopped";
    if (!(await this.#adopt()).mayDelete) return "refused";
    const lease = await HeldLease.take(this.#tools, workLeases[name]);
    if (!(lease instanceof HeldLease)) return "busy";
    const signal = AbortSignal.any([closing, lease.lost]);
    const pause = pacing(this.#tools, signal);
    try {
      await works[name]({ ...this.#tools, lease: lease.proof, signal, counts, pause });
      return "done";
    } catch (error) {
      if (signal.aborted || error instanceof LeaseLost) return "stopped";
      throw error;
    } finally {
      await lease.end();
    }
  }
}

/** Does not keep the process alive. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    timer.unref();
    signal.addEventListener("abort", end, { once: true });
  });
}
