/**
 * Leases in the database: of many nodes one does a job. What the job does is safe without them
 * (a claim decides, invariant I4); they save the others the work.
 */
import type { LeaseProof } from "../metadata/commands.ts";
import { LeaseLost, type JobTools } from "./job.ts";

type LeaseTools = Pick<JobTools, "metadata" | "holder" | "settings" | "sleep" | "report">;

export class HeldLease {
  readonly proof: LeaseProof;
  readonly #tools: LeaseTools;
  readonly #ended: AbortController = new AbortController();
  readonly #lost: AbortController = new AbortController();
  readonly #renewing: Promise<void>;

  private constructor(tools: LeaseTools, proof: LeaseProof) {
    this.#tools = tools;
    this.proof = proof;
    this.#renewing = this.#renew();
  }

  /** Takes the lease, or says when it may be free. */
  static async take(
    tools: LeaseTools,
    name: string,
  ): Promise<HeldLease | { readonly retryAfterMs: number }> {
    const { holder, metadata, settings } = tools;
    const { leaseMs } = settings;
    const taken = await metadata.execute("acquireLease", { name, holder, leaseMs });
    if (taken.outcome === "busy") return { retryAfterMs: taken.retryAfterMs };
    return new HeldLease(tools, { name, epoch: taken.epoch });
  }

  /** Aborts when somebody else holds the lease. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Gives the lease back, or keeps it for `restMs`, in which nobody needs to do the work again. */
  async end(restMs?: number): Promise<void> {
    this.#ended.abort();
    await this.#renewing;
    if (this.#lost.signal.aborted) return;
    const { holder, metadata, report } = this.#tools;
    const { name } = this.proof;
    try {
      if (restMs === undefined) await metadata.execute("releaseLease", this.proof);
      else await metadata.execute("acquireLease", { name, holder, leaseMs: Math.ceil(restMs) });
    } catch (error) {
      // It runs out by itself.
      report(`the lease of ${name} could not be given back`, error);
    }
  }

  async #renew(): Promise<void> {
    const { report, settings, sleep } = this.#tools;
    const { name } = this.proof;
    for (;;) {
      await sleep(settings.leaseMs / 3, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      try {
        if (await this.#isMine()) continue;
        this.#lost.abort(new LeaseLost(name));
        return;
      } catch (error) {
        // As long as nobody else takes it, it is still held.
        report(`the lease of ${name} could not be renewed`, error);
      }
    }
  }

  async #isMine(): Promise<boolean> {
    const { holder, metadata, settings } = this.#tools;
    const { epoch, name } = this.proof;
    const { leaseMs } = settings;
    const taken = await metadata.execute("acquireLease", { name, holder, leaseMs });
    if (taken.outcome === "busy") return false;
    if (taken.epoch === epoch) return true;
    // Somebody held it in between, and has given it back: what was read before may be old.
    await metadata.execute("releaseLease", { name, epoch: taken.epoch });
    return false;
  }
}
