/** All workers: begun together, begun anew when one dies, ended together. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observe/logger.ts";
import type { HealthReport } from "../observe/readiness.ts";
import type { ConnectionDealer } from "./connection-dealer.ts";
import type { WorkerFigures, WorkerTask } from "./worker-messages.ts";
import { WorkerProcess } from "./worker-process.ts";

/** A worker that has lived so long begins anew at once: what it died of is rare. */
const soonMs = 10_000;

/** One that died sooner waits before it begins anew: so long, then twice as long, and so on. */
const pauseMsMin = 500;
const pauseMsMax = 30_000;

/** Beyond the time that requests in flight are given: for closing the database. */
const closingMsMax = 10_000;

export interface WorkerState {
  readonly worker: number;
  readonly pid: number;
  readonly restarts: number;
  /** `undefined` when it does not answer, or cannot serve yet. */
  readonly figures: WorkerFigures | undefined;
}

interface Place {
  readonly worker: number;
  process: WorkerProcess;
  state: "starting" | "ready" | "down";
  restarts: number;
}

export interface FleetOptions {
  readonly count: number;
  readonly logger: Logger;
  readonly dealer: ConnectionDealer;
  readonly task: Omit<WorkerTask, "worker">;
  /** Milliseconds, of whatever beginning. */
  readonly clock: () => number;
}

export class WorkerFleet {
  /** Rejects when no worker is left, and none can start. */
  readonly lost: Promise<never>;
  readonly #options: FleetOptions;
  readonly #places: Place[] = [];
  readonly #lose: (reason: Error) => void;
  readonly #ending = new AbortController();

  constructor(options: FleetOptions) {
    this.#options = options;
    const lost = Promise.withResolvers<never>();
    this.lost = lost.promise;
    this.#lose = lost.reject;
    this.lost.catch(() => undefined);
  }

  /** Resolves with the greeting when all can serve; rejects when one cannot start. */
  async begin(): Promise<string> {
    for (let worker = 1; worker <= this.#options.count; worker += 1) {
      this.#places.push({ worker, process: this.#start(worker), state: "starting", restarts: 0 });
    }
    const greetings = await Promise.all(this.#places.map((place) => this.#whenReady(place)));
    for (const place of this.#places) void this.#keep(place);
    return greetings[0] ?? "";
  }

  async states(): Promise<readonly WorkerState[]> {
    return await Promise.all(
      this.#places.map(async ({ state, process, restarts, worker }) => ({
        worker,
        pid: process.pid,
        restarts,
        figures: state === "ready" ? await process.ask("figures") : undefined,
      })),
    );
  }

  /** What any worker that serves finds amiss. One that begins anew is none's concern. */
  async health(): Promise<HealthReport> {
    const serving = this.#places.filter(({ state }) => state === "ready");
    if (serving.length === 0) return { workers: "none can serve" };
    const reports = await Promise.all(
      serving.map(async ({ process, worker }): Promise<HealthReport> => {
        const report = await process.ask("health");
        return report ?? { [`worker_${worker}`]: "does not answer" };
      }),
    );
    return Object.assign({}, ...reports) as HealthReport;
  }

  /** Lets requests in flight end for `drainMs`. */
  async end(drainMs: number): Promise<void> {
    this.#ending.abort();
    for (const { process } of this.#places) process.stop();
    const timer = setTimeout(() => this.kill(), drainMs + closingMsMax);
    await Promise.all(this.#places.map(({ process }) => process.ended));
    clearTimeout(timer);
  }

  kill(): void {
    this.#ending.abort();
    for (const { process } of this.#places) process.kill();
  }

  #start(worker: number): WorkerProcess {
    const { config, ...rest } = this.#options.task;
    const { http, log } = config;
    // What is done once for all of them is the primary's.
    const own: Config = {
      ...config,
      debug: undefined,
      warnings: [],
      http: { ...http, workers: this.#options.count },
      log: { ...log, fields: { ...log.fields, worker: String(worker) } },
    };
    return new WorkerProcess({ ...rest, config: own, worker });
  }

  async #whenReady(place: Place): Promise<string> {
    const greeting = await place.process.ready;
    place.state = "ready";
    this.#options.dealer.add(place.process);
    return greeting;
  }

  /** Begins the worker anew whenever it has died, until all end. */
  async #keep(place: Place): Promise<void> {
    const { clock, dealer, logger } = this.#options;
    let pauseMs = 0;
    let begunAt = clock();
    for (;;) {
      const reason = await place.process.ended;
      dealer.remove(place.process);
      for (const socket of place.process.takeBack()) dealer.deal(socket);
      if (this.#ending.signal.aborted) return;
      const couldServe = place.state === "ready";
      place.state = "down";
      if (!couldServe && this.#places.every(({ state }) => state === "down")) {
        this.#lose(new Error(`no worker can start: ${reason}`));
        return;
      }
      pauseMs = clock() - begunAt > soonMs ? 0 : Math.min(pauseMs * 2 || pauseMsMin, pauseMsMax);
      const { worker, process } = place;
      logger.error({ worker, pid: process.pid, reason, pauseMs }, "a worker died; it begins anew");
      if (!(await this.#pause(pauseMs))) return;
      begunAt = clock();
      place.process = this.#start(worker);
      place.state = "starting";
      place.restarts += 1;
      this.#whenReady(place).catch(() => undefined);
    }
  }

  /** Resolves with whether it goes on afterwards. */
  async #pause(ms: number): Promise<boolean> {
    if (ms === 0) return !this.#ending.signal.aborted;
    return await sleep(ms, true, { signal: this.#ending.signal }).catch(() => false);
  }
}
