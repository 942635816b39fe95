/** How long an object store may take, and how often it is asked again. Times are ms. */

export interface ResilienceSettings {
  /** One try of a call without a body to speak of, until it is answered. */
  readonly attemptMs: number;
  /** One try of a call that works through many objects: a listing, a delete of hundreds. */
  readonly slowAttemptMs: number;
  /** One try of putting parts together. */
  readonly completeMs: number;
  /** What a body adds to a try: its bytes at this rate. Bytes per second. */
  readonly bytesPerSecondMin: number;
  /** The same for bytes that the store copies by itself. */
  readonly copyBytesPerSecondMin: number;
  /** Tries of one call. */
  readonly attempts: number;
  /** All tries and the pauses between them take at most so many times as long as one may. */
  readonly callFactor: number;
  /** The longest pause before the second try; it doubles with each further one. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** How long the next bytes of a body may be awaited. */
  readonly idleMs: number;
  /** How long a store that is down is waited for in the middle of a body. */
  readonly resumeMs: number;
  /** How often a body is taken up again without getting on in between. */
  readonly resumes: number;
  /** What counts as getting on, in bytes. */
  readonly resumeProgressBytes: number;
  /** Retries that may come at once, over all calls. */
  readonly retriesMax: number;
  /** Retries that each second, and each call that is answered, adds to these. */
  readonly retriesPerSecond: number;
  readonly retriesPerAnswer: number;
  /** Failures in a row, and since when at least, after which the store counts as down. */
  readonly downFailures: number;
  readonly downMs: number;
  /** How often a store that is down is tried. */
  readonly probeMs: number;
}

/**
 * An answer takes 10 to 200 ms on a store in health, some seconds on one that rebalances. After
 * ten, asking again is better than waiting.
 */
const attemptMs = 10_000;

/** A thousand objects are listed in a second, but deleted one by one on Ceph: some 20 ms each. */
const slowAttemptMs = 30_000;

/** AWS: completing an upload of thousands of parts may take minutes. */
const completeMs = 120_000;

/**
 * 64 KiB/s: an office's line of 10 Mbit/s that carries the parts of eight layers at once, two of
 * each. A part of 10 MiB that hangs is noticed after three minutes; one that is refused or reset,
 * at once.
 */
const bytesPerSecondMin = 64 * 1024;

/** 1 MiB/s: stores copy at a hundred times that, or do not at all. */
const copyBytesPerSecondMin = 1024 * 1024;

/**
 * Five tries with pauses of up to 0.25, 0.5, 1 and 2 s: a gateway's restart, or a burst of refusals
 * to slow down, is outlived; a client waits for 4 s at most to hear that it is not.
 */
const attempts = 5;
const backoffMs = 250;
const backoffMaxMs = 4_000;

/** Where tries hang: two of them whole, and one begun. A client waits 25 s for its 503. */
const callFactor = 2.5;

/** Below every client's own patience, above the pause of a gateway that fetches from its disks. */
const idleMs = 10_000;

/** A gateway's restart. Clients wait for bytes for a minute at least. */
const resumeMs = 30_000;

/** A line that breaks at each megabyte carries any blob; one that breaks at once does not. */
const resumes = 5;
const resumeProgressBytes = 256 * 1024;

/** A store that fails gets 10 % more than its load after the first hundred, not five times it. */
const retriesMax = 100;
const retriesPerSecond = 2;
const retriesPerAnswer = 0.1;

/** Three seconds without a single answer: longer than a blip that the retries are there for. */
const downFailures = 5;
const downMs = 3_000;

/** One request each 2 s burdens no store, and is how long anybody waits after it has come back. */
const probeMs = 2_000;

export const defaultResilience: ResilienceSettings = {
  attemptMs,
  slowAttemptMs,
  completeMs,
  bytesPerSecondMin,
  copyBytesPerSecondMin,
  attempts,
  callFactor,
  backoffMs,
  backoffMaxMs,
  idleMs,
  resumeMs,
  resumes,
  resumeProgressBytes,
  retriesMax,
  retriesPerSecond,
  retriesPerAnswer,
  downFailures,
  downMs,
  probeMs,
};

/** Time and chance, as a test may own them. */
export interface Timing {
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Calls `run` once after so many ms, unless what it returns is called before. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** From 0 up to 1, without 1. */
  readonly random: () => number;
}

/** The process's own timers. */
export function afterTimeout(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** What is told of the calls: for metrics. */
export interface BucketObserver {
  called(call: {
    readonly store: string;
    readonly operation: BucketOperation;
    /**
     * `failed`: the store said no. `unavailable`: it did not answer, however often it was asked, or
     * was not asked since it is down.
     */
    readonly outcome: "ok" | "absent" | "failed" | "unavailable" | "cancelled";
    readonly durationMs: number;
  }): void;
  retried(retry: {
    readonly store: string;
    readonly operation: BucketOperation;
    /** `body`: the answer had begun, and broke off. */
    readonly cause: "timeout" | "failure" | "body";
  }): void;
}

export type BucketOperation =
  | "abortParts"
  | "beginParts"
  | "completeParts"
  | "copyPart"
  | "delete"
  | "get"
  | "head"
  | "list"
  | "listParts"
  | "put"
  | "putPart"
  | "url";
