/**
 * Two nodes on one PostgreSQL database, one of which can be held between two statements of a
 * command. Nothing here waits for a time: a command is held where it is, and that the other one
 * waits for it is asked of the server.
 */
import assert from "node:assert/strict";
import { after } from "node:test";
import { Client } from "pg";
import type { CommandName } from "../../../src/metadata/commands.ts";
import { Scene } from "../../../src/metadata/contract-scene.ts";
import type { MetadataStore } from "../../../src/metadata/metadata-store.ts";
import type { PostgresOptions } from "../../../src/metadata/postgres/postgres-options.ts";
import {
  openPostgresStore,
  type PostgresTools,
} from "../../../src/metadata/postgres/postgres-store.ts";
import type { PendingCommand } from "../../../src/metadata/sql/sql-store.ts";
import { until } from "../../servers/server.ts";
import { startPostgres } from "../../servers/servers.ts";
import { createDatabase, type TestDatabase } from "./database.ts";

export interface Held {
  /** Resolves when the command has come to the place. */
  readonly reached: Promise<void>;
  release(): void;
}

interface Place {
  readonly name: CommandName;
  readonly before: RegExp;
  readonly reached: PromiseWithResolvers<void>;
  readonly released: PromiseWithResolvers<void>;
}

/** Holds the next command of a name before the first statement that matches. */
export class StatementGates {
  readonly #places = new Set<Place>();

  readonly beforeStatement = ({ name }: PendingCommand, sql: string): Promise<void> | void => {
    for (const place of this.#places) {
      if (place.name !== name || !place.before.test(sql)) continue;
      this.#places.delete(place);
      place.reached.resolve();
      return place.released.promise;
    }
  };

  hold(name: CommandName, before: RegExp): Held {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#places.add({ name, before, reached, released });
    return { reached: reached.promise, release: released.resolve };
  }
}

export const timing: Pick<PostgresTools, "now" | "random"> = {
  now: () => performance.now(),
  random: Math.random,
};

/** A store of its own, another node as far as the database can tell. Closed at the end. */
export async function openNode(
  options: PostgresOptions,
  tools: Partial<PostgresTools> = {},
): Promise<MetadataStore> {
  const store = await openPostgresStore(options, { ...timing, ...tools });
  after(() => store.close());
  return store;
}

export interface TwoNodes {
  readonly database: TestDatabase;
  readonly gates: StatementGates;
  /** The node that can be held, and what it can do. `other` is the other node. */
  scene(): Scene;
  /** A connection that is no node's. Closed at the end. */
  stranger(): Promise<Client>;
  /** Resolves when so many sessions wait for a lock. */
  someWait(count?: number): Promise<void>;
}

const server = await startPostgres();
const databases: TestDatabase[] = [];

// Of the whole file: after the hooks of its tests, which may need their databases.
after(async () => {
  for (const database of databases) await database.drop();
  await server.stop();
});

/** A fresh database on the server that all tests share. */
export async function freshDatabase(): Promise<TestDatabase> {
  const database = await createDatabase(server.endpoint);
  databases.push(database);
  return database;
}

export async function twoNodes(options: PostgresOptions = {}): Promise<TwoNodes> {
  const database = await freshDatabase();
  const gates = new StatementGates();
  const { beforeStatement } = gates;
  const held = await openNode({ url: database.url, ...options }, { beforeStatement });
  const other = await openNode({ url: database.url, ...options });
  let scenes = 0;
  return {
    database,
    gates,
    scene: () => {
      scenes += 1;
      return new Scene(`scene-${scenes}`, held, { other });
    },
    stranger: () => stranger(database),
    someWait: (count = 1) => someWait(database, count),
  };
}

async function stranger(database: TestDatabase): Promise<Client> {
  const client = new Client({ connectionString: database.url });
  client.on("error", () => undefined);
  await client.connect();
  after(() => client.end());
  return client;
}

async function someWait(database: TestDatabase, count: number): Promise<void> {
  await until(`${count} sessions wait for a lock`, async () => {
    const [row] = await database.query<{ waiting: string }>(
      `select count(*) as waiting from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return Number(row?.waiting) >= count;
  });
}

/**
 * Runs `first` up to the place where it is held, then `second` until it waits for the first one;
 * then lets the first one go on. Returns how both ended.
 */
export async function oneWaitsForTheOther<A, B>(
  nodes: TwoNodes,
  held: Held,
  commands: readonly [first: () => Promise<A>, second: () => Promise<B>],
): Promise<readonly [A, B]> {
  const [first, second] = commands;
  const one = first();
  await held.reached;
  let ended = false;
  const two = second().finally(() => {
    ended = true;
  });
  await nodes.someWait();
  assert.equal(ended, false, "the second command did not wait for the first one");
  held.release();
  return await Promise.all([one, two]);
}
