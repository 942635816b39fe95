/** Requests as real clients make them: repeated until they are answered by the registry. */
import assert from "node:assert/strict";
import {
  describe,
  Disconnected,
  type Answer,
  type Client,
  type RequestOptions,
} from "../../race/support/client.ts";
import type { Random } from "../../race/support/random.ts";
import { lasting } from "../support/pauses.ts";

/** No fault lasts so long, ms: whoever needs more is stuck. */
const patienceMs = 90_000;

/** The longest pause before the next try, ms; real clients wait for seconds. */
const backoffMaxMs = 400;

/** What a balancer or a registry answers that cannot work at the moment. */
const transient: ReadonlySet<number> = new Set([429, 502, 503, 504]);

class GaveUp extends Error {
  override readonly name = "GaveUp";
}

/** What went wrong on the way: for the report. */
export interface Troubles {
  disconnected: number;
  readonly statuses: Map<number, number>;
}

export class PatientClient {
  readonly client: Client;
  readonly troubles: Troubles;
  readonly #random: Random;
  readonly #tick: () => void;

  /** `tick` is told of each request. */
  constructor(client: Client, random: Random, troubles: Troubles, tick: () => void) {
    this.client = client;
    this.#random = random;
    this.troubles = troubles;
    this.#tick = tick;
  }

  get(target: string): Promise<Answer> {
    return this.send("GET", target);
  }

  /** Repeated until it is answered. */
  send(method: string, target: string, options: RequestOptions = {}): Promise<Answer> {
    return this.insist(`${method} ${target}`, () => this.client.send(method, target, options));
  }

  /** `ask` is repeated until it is answered by something that lasts. */
  async insist(what: string, ask: () => Promise<Answer>): Promise<Answer> {
    const answer = await this.repeat(what, () => this.once(ask));
    return answer;
  }

  /** `attempt` is repeated until it gives something. */
  async repeat<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
    const begun = performance.now();
    for (;;) {
      const result = await attempt();
      if (result !== undefined) return result;
      if (performance.now() - begun > patienceMs) {
        throw new GaveUp(`${what} did not succeed within ${patienceMs / 1000} s`);
      }
      await this.pause();
    }
  }

  /** One try; `undefined` when it may be repeated. */
  async once(ask: () => Promise<Answer>): Promise<Answer | undefined> {
    this.#tick();
    try {
      const answer = await ask();
      if (!transient.has(answer.status)) {
        assert(answer.status < 500, `an error without a reason: ${describe(answer)}`);
        return answer;
      }
      const { statuses } = this.troubles;
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    } catch (error) {
      if (!(error instanceof Disconnected)) throw error;
      this.troubles.disconnected += 1;
    }
    return undefined;
  }

  pause(): Promise<void> {
    return lasting(this.#random.integer(10, backoffMaxMs));
  }
}
