/**
 * Whether what the registry stands on answers. Asked by balancers and orchestrators, once a second
 * and by many at once: the answer is a second old at most, and whoever does not answer is not asked
 * again meanwhile.
 */
import { messageOf } from "./error-text.ts";

/** Something that the registry needs. */
export interface ReadinessCheck {
  /** As Distribution names its checks: `storagedriver_s3`, ... */
  readonly name: string;
  /** Something cheap that fails when it is down. */
  readonly check: () => Promise<unknown>;
}

/** What is down, in words; nothing: ready. */
export type HealthReport = Readonly<Record<string, string>>;

export interface ReadinessOptions {
  readonly checks: readonly ReadinessCheck[];
  /** Milliseconds UTC. */
  readonly now: () => number;
  /** How old an answer may be, ms. */
  readonly cacheMs?: number;
  /** How long a check may take, ms. */
  readonly deadlineMs?: number;
}

const defaultCacheMs = 1000;

/** Longer than a retry or two, shorter than what asks for the answer waits. */
const defaultDeadlineMs = 2000;

/** Characters of what is said of one check. */
const textMax = 400;

export class Readiness {
  readonly #watched: readonly Watched[];
  readonly #options: ReadinessOptions;
  #latest: { readonly report: HealthReport; readonly at: number } | undefined;
  #looking: Promise<HealthReport> | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
    this.#watched = options.checks.map((check) => new Watched(check, options.now, deadlineMs));
  }

  async report(): Promise<HealthReport> {
    const { cacheMs = defaultCacheMs, now } = this.#options;
    const age = now() - (this.#latest?.at ?? -Infinity);
    if (this.#latest !== undefined && age >= 0 && age < cacheMs) return this.#latest.report;
    this.#looking ??= this.#look();
    return await this.#looking;
  }

  async #look(): Promise<HealthReport> {
    const found = await Promise.all(
      this.#watched.map(async (watched) => [watched.name, await watched.problem()] as const),
    );
    const report: Record<string, string> = {};
    for (const [name, problem] of found) if (problem !== undefined) report[name] = problem;
    this.#latest = { report, at: this.#options.now() };
    this.#looking = undefined;
    return report;
  }
}

class Watched {
  readonly name: string;
  readonly #check: ReadinessCheck["check"];
  readonly #now: () => number;
  readonly #deadlineMs: number;
  /** A check that has not come to its end. */
  #running: Promise<string | undefined> | undefined;
  #downSince: number | undefined;

  constructor({ check, name }: ReadinessCheck, now: () => number, deadlineMs: number) {
    this.name = name;
    this.#check = check;
    this.#now = now;
    this.#deadlineMs = deadlineMs;
  }

  /** What is wrong, and since when. */
  async problem(): Promise<string | undefined> {
    const begunAt = this.#now();
    const problem = await this.#answer();
    if (problem === undefined) {
      this.#downSince = undefined;
      return undefined;
    }
    this.#downSince ??= begunAt;
    const short = problem.length > textMax ? `${problem.slice(0, textMax)}...` : problem;
    return `${short} (since ${new Date(this.#downSince).toISOString()})`;
  }

  async #answer(): Promise<string | undefined> {
    this.#running ??= this.#run();
    const running = this.#running;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const timer = setTimeout(() => resolve("does not answer"), this.#deadlineMs);
    void this.#settled(running).then(resolve);
    const answer = await promise;
    clearTimeout(timer);
    return answer;
  }

  async #settled(running: Promise<string | undefined>): Promise<string | undefined> {
    const problem = await running;
    if (this.#running === running) this.#running = undefined;
    return problem;
  }

  async #run(): Promise<string | undefined> {
    try {
      await this.#check();
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }
}
