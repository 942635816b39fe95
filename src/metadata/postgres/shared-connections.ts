/**
 * Connections for reads: many at once on each. A read is one statement and a transaction of its
 * own, so they do not disturb each other; but they are answered in order, so there are several
 * connections, and a read takes the one with the fewest before it.
 */
import { MetadataUnavailable } from "../metadata-store.ts";
import type { PostgresConnection } from "./connection.ts";
import { sqlState, tooManyConnections } from "./errors.ts";

/** Reads that wait for their answer on one connection: more would only cost memory. */
const unansweredMax = 1000;

/** Being opened is worse than having this many reads before one, and better than having more. */
const openingCost = 8;

interface Slot {
  connection: PostgresConnection | undefined;
  opening: Promise<PostgresConnection> | undefined;
  usedAt: number;
}

/** How long a server that gives us no more connections is not asked for more; ms. */
const fullMs = 1000;

/** A connection that nobody has used for so long is given back to the server. */
const idleMs = 60_000;

export class SharedConnections {
  readonly #open: () => Promise<PostgresConnection>;
  readonly #now: () => number;
  readonly #slots: readonly Slot[];
  #fullUntil = 0;
  #closed = false;

  constructor(options: {
    readonly open: () => Promise<PostgresConnection>;
    readonly size: number;
    readonly now: () => number;
  }) {
    this.#open = options.open;
    this.#now = options.now;
    this.#slots = Array.from({ length: options.size }, () => ({
      connection: undefined,
      opening: undefined,
      usedAt: 0,
    }));
  }

  /** At once where a connection has nothing to do, or all are open. */
  get(): PostgresConnection | Promise<PostgresConnection> {
    if (this.#closed) return Promise.reject(new Error("the metadata store is closed"));
    let best: Slot | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const slot of this.#slots) {
      if (slot.connection?.failure !== undefined) slot.connection = undefined;
      const waiting = slot.connection?.unanswered ?? this.#costOfOpening(slot);
      if (waiting < fewest) [best, fewest] = [slot, waiting];
    }
    if (best === undefined || fewest >= unansweredMax) {
      const message = `PostgreSQL: ${unansweredMax} reads wait on each connection`;
      return Promise.reject(new MetadataUnavailable(message));
    }
    best.usedAt = this.#now();
    return best.connection ?? this.#opened(best);
  }

  /**
   * To be called every now and then: ends what does not answer, and what nobody uses. One stays, so
   * that there is one when the server has no room for more.
   */
  check(now: number): void {
    for (const [index, slot] of this.#slots.entries()) {
      const { connection } = slot;
      if (connection === undefined || connection.failure !== undefined) continue;
      connection.endIfOverdue(now);
      if (index === 0 || connection.unanswered > 0 || now - slot.usedAt < idleMs) continue;
      slot.connection = undefined;
      void connection.close();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(
      this.#slots.map(async ({ connection, opening }) => {
        await (connection ?? (await opening))?.close();
      }),
    );
  }

  /** As if so many reads waited there: better than waiting behind others, worse than being idle. */
  #costOfOpening(slot: Slot): number {
    if (this.#now() < this.#fullUntil) return unansweredMax - 1;
    return slot.opening === undefined ? 0.5 : openingCost;
  }

  /** Those who come while it is being opened wait for the same one. */
  #opened(slot: Slot): Promise<PostgresConnection> {
    slot.opening ??= this.#open()
      .then((connection) => {
        slot.connection = connection;
        return connection;
      })
      .catch((error: unknown) => {
        if (sqlState(error) !== tooManyConnections) throw error;
        this.#fullUntil = this.#now() + fullMs;
        const other = this.#slots.find(
          ({ connection }) => connection !== undefined && connection.failure === undefined,
        );
        if (other?.connection === undefined) throw error;
        return other.connection;
      })
      .finally(() => {
        slot.opening = undefined;
      });
    return slot.opening;
  }
}
