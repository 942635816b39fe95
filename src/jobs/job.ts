/** What every job of the upkeep works with. */
import type { LeaseProof } from "../metadata/commands.ts";
import type { MetadataStore } from "../metadata/metadata-store.ts";
import type { BlobStore } from "../storage/blob-store.ts";
import type { UpkeepSettings } from "./settings.ts";

/** Time and randomness are passed in, so that a test can own them. */
export interface JobTools {
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly settings: UpkeepSettings;
  /** Milliseconds UTC, for the age of what lies in the store. */
  readonly now: () => number;
  /** Milliseconds that never go back, for how long something takes. */
  readonly clock: () => number;
  /** Resolves after that many milliseconds, or at once when `signal` aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** A claim that never comes again, on any node: a UUID. */
  readonly newId: () => string;
  /** Names this process among those that share the database. */
  readonly holder: string;
  /** Failures, and what an operator should know. */
  readonly report: (problem: string, error: unknown) => void;
}

/** What a run of a job has done. */
export interface JobCounts {
  /** What it looked at. */
  seen: number;
  /** What it removed, or would have (`dryRun`). */
  removed: number;
  /** Bytes of what it removed, as far as it knows. */
  bytes: number;
  /** What it was about to remove, and somebody wants again. */
  kept: number;
  /** What could not be removed; the next run tries again. */
  failed: number;
}

/** One run of a job. */
export interface Job extends JobTools {
  readonly lease: LeaseProof;
  /** Aborts when the registry closes, or another node does the work by now. */
  readonly signal: AbortSignal;
  readonly counts: JobCounts;
  /** Pauses as long as the job's share of the time asks for. */
  readonly pause: () => Promise<void>;
}

/** Another node has taken the job over. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";

  constructor(lease: string) {
    super(`another node has taken over ${lease}`);
  }
}

/**
 * Failures one after the other that end a run: then it is not this or that, but the store or the
 * database, and everything else would fail as well.
 */
const failuresInARowMax = 10;

/** Does `work` for each, one after the other. What fails is reported, and the others go on. */
export async function forEach<T>(
  job: Job,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let failures = 0;
  for (const item of items) {
    job.signal.throwIfAborted();
    try {
      await work(item);
      failures = 0;
    } catch (error) {
      failures += 1;
      job.counts.failed += 1;
      if (error instanceof LeaseLost || failures === failuresInARowMax) throw error;
      job.report("upkeep could not remove something", error);
    }
  }
}

/** Items in lists of up to `size`. Stops when the job has to; pauses after each list. */
export async function forEachPage<T>(
  job: Job,
  items: AsyncIterable<T>,
  size: number,
  work: (page: readonly T[]) => Promise<void>,
): Promise<void> {
  let page: T[] = [];
  for await (const item of items) {
    job.signal.throwIfAborted();
    page.push(item);
    if (page.length < size) continue;
    await work(page);
    await job.pause();
    page = [];
  }
  job.signal.throwIfAborted();
  if (page.length > 0) await work(page);
}

/** No pause is longer, however long a page took: a backend that stood still is no work, ms. */
const pauseMaxMs = 5000;

/** Makes a run work for `duty` of the time and pause for the rest. */
export function pacing(tools: JobTools, signal: AbortSignal): () => Promise<void> {
  const { clock, settings, sleep } = tools;
  let since = clock();
  return async () => {
    const worked = Math.max(0, clock() - since);
    const ms = Math.min(pauseMaxMs, worked * (1 / settings.duty - 1));
    // Gives way to others in any case.
    await sleep(ms, signal);
    signal.throwIfAborted();
    since = clock();
  };
}
