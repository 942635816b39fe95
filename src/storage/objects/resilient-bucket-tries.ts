/** One call to an object store, made as often as it is worth it. */
import { StorageError, StorageUnavailable } from "../blob-store.ts";
import { BucketError } from "./object-bucket.ts";
import { RetryBudget, StoreHealth } from "./resilient-bucket-health.ts";
import type {
  BucketObserver,
  BucketOperation,
  ResilienceSettings,
  Timing,
} from "./resilient-bucket-settings.ts";

/** The store did not answer in time. */
class AttemptTimeout extends Error {
  override readonly name = "AttemptTimeout";
}

export interface Attempted<T> {
  readonly operation: BucketOperation;
  /** How long one try may take, ms. */
  readonly limitMs: number;
  readonly signal: AbortSignal | undefined;
  /** What is found out without the store, as a rule: whether that is down says nothing. */
  readonly isLocal?: boolean;
  /**
   * A try reads memory that its caller uses for something else afterwards: the call ends only when
   * its last try has. Adapters end theirs as soon as they are told to.
   */
  readonly isSending?: boolean;
  /** One try. Its result must be of no use to anybody once the signal is aborted. */
  readonly attempt: (controller: AbortController) => Promise<T>;
}

export class Tries {
  readonly settings: ResilienceSettings;
  readonly timing: Timing;
  readonly #store: string;
  readonly #observer: BucketObserver | undefined;
  readonly #health: StoreHealth;
  readonly #budget: RetryBudget;

  constructor(
    store: string,
    options: {
      readonly settings: ResilienceSettings;
      readonly timing: Timing;
      readonly observer: BucketObserver | undefined;
    },
  ) {
    this.#store = store;
    this.settings = options.settings;
    this.timing = options.timing;
    this.#observer = options.observer;
    this.#health = new StoreHealth(options.settings);
    this.#budget = new RetryBudget(options.settings);
  }

  /** Throws `StorageUnavailable` in the end; what the store says is final is thrown at once. */
  async run<T>(call: Attempted<T>): Promise<T> {
    const { operation } = call;
    const startedAt = this.timing.now();
    const told = (outcome: Parameters<BucketObserver["called"]>[0]["outcome"]): void => {
      const durationMs = this.timing.now() - startedAt;
      this.#observer?.called({ store: this.#store, operation, outcome, durationMs });
    };
    try {
      const result = await this.#tryOften(call, startedAt);
      const mayBeAbsent = operation === "get" || operation === "head";
      told(mayBeAbsent && result === undefined ? "absent" : "ok");
      return result;
    } catch (error) {
      if (call.signal?.aborted === true) told("cancelled");
      else told(error instanceof StorageUnavailable ? "unavailable" : "failed");
      throw error;
    }
  }

  /**
   * Waits before something is tried for the `tries`-th time, if it is worth it. Throws
   * `StorageUnavailable` when it is not.
   */
  async pause(retry: {
    readonly operation: BucketOperation;
    readonly cause: "timeout" | "failure" | "body";
    readonly error: unknown;
    /** 2 and up. */
    readonly tries: number;
    /** When all must be over, on the clock. */
    readonly until: number;
    readonly atLeastMs?: number;
    readonly signal: AbortSignal | undefined;
  }): Promise<void> {
    const { atLeastMs = 0, cause, error, operation, signal, tries, until } = retry;
    const { backoffMaxMs, backoffMs } = this.settings;
    // Full jitter: those who failed together do not come back together.
    const jitterMs = this.timing.random() * Math.min(backoffMaxMs, backoffMs * 2 ** (tries - 2));
    const pauseMs = atLeastMs + jitterMs;
    const now = this.timing.now();
    if (now + pauseMs >= until) throw this.giveUp(operation, "takes too long", error);
    if (!this.#budget.take(now)) throw this.giveUp(operation, "too many calls fail", error);
    this.#observer?.retried({ store: this.#store, operation, cause });
    await this.#sleep(pauseMs, signal);
  }

  giveUp(operation: BucketOperation, reason: string, cause: unknown): StorageUnavailable {
    const retryAfterMs = this.settings.probeMs * (1 + this.timing.random());
    const last = cause instanceof Error ? `: ${cause.message}` : "";
    return new StorageUnavailable(this.#store, `${operation} ${reason}${last}`, {
      cause,
      retryAfterMs,
    });
  }

  /**
   * Resolves as `work` does, if it does so in time. Else, and when the caller's signal is aborted,
   * `controller` is, and it rejects: at once, whether `work` listens or not, unless that
   * `isSending`.
   */
  within<T>(
    limitMs: number,
    work: Promise<T>,
    call: {
      readonly controller: AbortController;
      readonly signal: AbortSignal | undefined;
      readonly isSending?: boolean | undefined;
    },
  ): Promise<T> {
    const { controller, isSending, signal } = call;
    const { promise, reject, resolve } = Promise.withResolvers<T>();
    const abandon = (reason: unknown): void => {
      if (isSending !== true) reject(reason);
      controller.abort(reason);
    };
    const aborted = (): void => abandon(signal?.reason);
    const stopTimer = this.timing.after(limitMs, () => {
      abandon(new AttemptTimeout(`no answer within ${Math.round(limitMs)} ms`));
    });
    signal?.addEventListener("abort", aborted, { once: true });
    // What an abandoned try says of its end is of no interest, and a late success came too late.
    const ended = (): unknown => controller.signal.reason;
    work.then(
      (result) => (controller.signal.aborted ? reject(ended()) : resolve(result)),
      (error: unknown) => reject(controller.signal.aborted ? ended() : error),
    );
    if (signal?.aborted === true) aborted();
    return promise.finally(() => {
      stopTimer();
      signal?.removeEventListener("abort", aborted);
    });
  }

  async #tryOften<T>(call: Attempted<T>, startedAt: number): Promise<T> {
    const { operation, signal } = call;
    const until = startedAt + call.limitMs * this.settings.callFactor;
    let last: unknown;
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      if (call.isLocal !== true) this.#refuseWhenDown(operation, last);
      const begunAt = this.timing.now();
      try {
        return await this.#tryOnce(call, until - begunAt);
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason;
        last = error;
        const cause = this.#judge(error, { begunAt, isLocal: call.isLocal === true });
        if (cause === undefined) throw error;
        if (tries === this.settings.attempts) {
          throw this.giveUp(operation, `failed ${tries} times`, error);
        }
        if (call.isLocal !== true) this.#refuseWhenDown(operation, error);
        await this.pause({ operation, cause, error, tries: tries + 1, until, signal });
        // A process that was held up comes out of its pause late.
        if (this.timing.now() >= until) throw this.giveUp(operation, "takes too long", error);
      }
    }
  }

  async #tryOnce<T>(call: Attempted<T>, leftMs: number): Promise<T> {
    const { isSending, signal } = call;
    const controller = new AbortController();
    const limitMs = Math.min(call.limitMs, leftMs);
    const work = call.attempt(controller);
    const result = await this.within(limitMs, work, { controller, isSending, signal });
    if (call.isLocal !== true) this.#health.answered();
    this.#budget.answered();
    return result;
  }

  /** Why it is worth another try; `undefined` when it is not. */
  #judge(
    error: unknown,
    attempt: { readonly begunAt: number; readonly isLocal: boolean },
  ): "timeout" | "failure" | undefined {
    const isTimeout = error instanceof AttemptTimeout;
    if (isTimeout || (error instanceof BucketError && error.transient)) {
      if (!attempt.isLocal) this.#health.failed(attempt.begunAt, this.timing.now());
      return isTimeout ? "timeout" : "failure";
    }
    // A refusal is an answer.
    if (error instanceof StorageError && !attempt.isLocal) this.#health.answered();
    return undefined;
  }

  /** `last`: what the try before came to, if there was one. */
  #refuseWhenDown(operation: BucketOperation, last: unknown): void {
    const retryAfterMs = this.#health.refusal(this.timing.now(), last !== undefined);
    if (retryAfterMs === undefined) return;
    const again = last === undefined ? "tried" : "tried again";
    const message = `${operation} was not ${again}: the store does not answer at the moment`;
    throw new StorageUnavailable(this.#store, message, { cause: last, retryAfterMs });
  }

  #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, reject, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.timing.after(ms, resolve);
    const aborted = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    if (signal?.aborted === true) aborted();
    return promise.finally(() => {
      stopTimer();
      signal?.removeEventListener("abort", aborted);
    });
  }
}
