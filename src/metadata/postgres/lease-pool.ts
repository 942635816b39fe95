/**
 * Connections for commands: each belongs to one command while that runs. There is a limit on them,
 * on how many commands wait for one, and on how long.
 */
import { MetadataUnavailable } from "../metadata-store.ts";
import type { PostgresConnection } from "./connection.ts";
import { sqlState, tooManyConnections } from "./errors.ts";

/** A node that has so many commands waiting cannot keep up; more would only cost memory. */
const waitingMax = 1000;

/** A connection that nobody has used for so long is given back to the server. */
const idleMs = 60_000;

interface Waiting {
  readonly resolve: (connection: PostgresConnection) => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
}

export class LeasePool {
  readonly #open: () => Promise<PostgresConnection>;
  readonly #size: number;
  readonly #queueTimeoutMs: number;
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  /** The one that was used last is used next, so that the others may become idle. */
  readonly #idle: { readonly connection: PostgresConnection; readonly since: number }[] = [];
  readonly #used = new Set<PostgresConnection>();
  /** Open, being opened, or in use. */
  #count = 0;
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(options: {
    readonly open: () => Promise<PostgresConnection>;
    readonly size: number;
    readonly queueTimeoutMs: number;
    readonly now: () => number;
  }) {
    this.#open = options.open;
    this.#size = options.size;
    this.#queueTimeoutMs = options.queueTimeoutMs;
    this.#now = options.now;
  }

  /** A connection that is the caller's until it is released. */
  async lease(): Promise<PostgresConnection> {
    const connection = await this.#next();
    this.#used.add(connection);
    return connection;
  }

  release(connection: PostgresConnection): void {
    this.#used.delete(connection);
    if (connection.failure !== undefined) {
      this.#forget();
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) next.resolve(connection);
    else if (this.#closed === undefined) {
      this.#idle.push({ connection, since: this.#now() });
    } else void connection.close().finally(() => this.#forget());
  }

  /**
   * To be called every now and then: gives up what has waited, lain idle, or not answered for too
   * long.
   */
  check(now: number): void {
    for (const connection of this.#used) connection.endIfOverdue(now);
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (now - first.since < this.#queueTimeoutMs) break;
      this.#waiting.shift();
      const limit = `within ${this.#queueTimeoutMs} ms: all ${this.#size} are in use`;
      first.reject(new MetadataUnavailable(`PostgreSQL: no connection became free ${limit}`));
    }
    while (this.#idle[0] !== undefined && now - this.#idle[0].since > idleMs) {
      const oldest = this.#idle.shift();
      if (oldest !== undefined) void oldest.connection.close().finally(() => this.#forget());
    }
  }

  /** Commands that were begun, or wait, come to their end first. */
  async close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers<void>();
      for (const { connection } of this.#idle.splice(0)) {
        void connection.close().finally(() => this.#forget());
      }
      if (this.#count === 0) this.#closed.resolve();
    }
    await this.#closed.promise;
  }

  async #next(): Promise<PostgresConnection> {
    if (this.#closed !== undefined) throw new Error("the metadata store is closed");
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.connection.failure === undefined) return last.connection;
      this.#count -= 1;
    }
    if (this.#count < this.#size) {
      const opened = await this.#openOne().catch((error: unknown) => {
        // The server gives us no more than we have: one of those will become free.
        if (sqlState(error) === tooManyConnections && this.#count > 0) return undefined;
        throw error;
      });
      if (opened !== undefined) return opened;
    }
    if (this.#waiting.length >= waitingMax) {
      throw new MetadataUnavailable(`PostgreSQL: ${waitingMax} commands wait for a connection`);
    }
    const { promise, reject, resolve } = Promise.withResolvers<PostgresConnection>();
    this.#waiting.push({ resolve, reject, since: this.#now() });
    return await promise;
  }

  async #openOne(): Promise<PostgresConnection> {
    this.#count += 1;
    try {
      return await this.#open();
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** One connection less: whoever waits for one may open another. */
  #forget(): void {
    this.#count -= 1;
    const next = this.#count < this.#size ? this.#waiting.shift() : undefined;
    if (next !== undefined) this.#openOne().then(next.resolve, next.reject);
    else if (this.#count === 0) this.#closed?.resolve();
  }
}
