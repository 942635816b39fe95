/**
 * Runs a suite on every kind of registry: in process and over sockets, on each store.
 *
 * By default those are memory and a folder, each with SQLite. LONGSHORE_TEST_STORAGE (filesystem,
 * memory, ceph, swift, azurite) and LONGSHORE_TEST_METADATA (sqlite, postgres) name one other
 * place, whose servers are found or started (see ../servers):
 *
 *     LONGSHORE_TEST_STORAGE=ceph LONGSHORE_TEST_METADATA=postgres \
 *       npm run test:integration -- test/http/tags.test.ts
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe } from "node:test";
import { createRegistry, type RegistryOptions } from "../../src/index.ts";
import type { RegistryPlace } from "../integration/support/places.ts";
import { carryInProcess, carryOverSockets, Client } from "./client.ts";

export type Carrier = "in process" | "over a socket";

export interface TestedOptions extends Omit<RegistryOptions, "storage" | "metadata" | "report"> {}

export interface Started {
  readonly client: Client;
  /** Where it listens; only over a socket. */
  readonly port: number | undefined;
}

export interface Given {
  readonly carrier: Carrier;
  /** A client of the suite's registry. */
  readonly client: Client;
  /** Where it listens; only over a socket. */
  readonly port: number;
  /** A repository's name that no other test has. */
  repository(): string;
  /** Another registry of the same kind, which ends with the suite. */
  start(options?: TestedOptions): Promise<Started>;
}

interface Kind {
  readonly carrier: Carrier;
  /** In the suite's name. */
  readonly place: string;
  /** Whether suites that need not run everywhere run here. */
  readonly isMain: boolean;
  /** A place for one registry. */
  make(): Promise<RegistryPlace>;
}

const inMemory: Pick<Kind, "make" | "place"> = {
  place: "in memory",
  make: () =>
    Promise.resolve({ storage: "memory", metadata: undefined, remove: () => Promise.resolve() }),
};

const inFolder: Pick<Kind, "make" | "place"> = {
  place: "in a folder",
  make: async () => {
    const root = await mkdtemp(join(tmpdir(), "longshore-http-"));
    const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
    return { storage: { root }, metadata: undefined, remove };
  },
};

const defaultKinds: readonly Kind[] = [
  { ...inMemory, carrier: "in process", isMain: true },
  { ...inFolder, carrier: "in process", isMain: false },
  { ...inMemory, carrier: "over a socket", isMain: false },
  { ...inFolder, carrier: "over a socket", isMain: true },
];

const isElsewhere =
  process.env["LONGSHORE_TEST_STORAGE"] !== undefined ||
  process.env["LONGSHORE_TEST_METADATA"] !== undefined;

/** Costs the default run nothing. */
const elsewhere = isElsewhere ? await import("../integration/support/places.ts") : undefined;

if (elsewhere !== undefined) after(() => elsewhere.closePlaces());

/** Asked at each suite: one process may run the suites for one place after another. */
function kinds(): readonly Kind[] {
  if (elsewhere === undefined) return defaultKinds;
  const storage = elsewhere.parseStorage(process.env["LONGSHORE_TEST_STORAGE"]);
  const metadata = elsewhere.parseMetadata(process.env["LONGSHORE_TEST_METADATA"]);
  const place = `${storage} and ${metadata}`;
  const make = (): Promise<RegistryPlace> => elsewhere.makePlace(storage, metadata);
  return [
    { carrier: "over a socket", place, isMain: true, make },
    { carrier: "in process", place, isMain: false, make },
  ];
}

export interface SuiteOptions extends TestedOptions {
  /** Only over a socket: what is tested has no meaning in process. */
  readonly sockets?: boolean;
  /** Every carrier with every store, where bytes go through both; else each of them once. */
  readonly crossed?: boolean;
}

export function describeRegistry(
  title: string,
  suite: (given: Given) => void,
  options: SuiteOptions = {},
): void {
  const { crossed = false, sockets = false, ...tested } = options;
  const here = kinds();
  // The kinds run at once, since some of them mostly wait for the disk.
  describe(title, { concurrency: here.length }, () => {
    for (const kind of here) {
      if (sockets && kind.carrier !== "over a socket") continue;
      if (!crossed && !kind.isMain) continue;
      describe(`${kind.carrier}, ${kind.place}`, { concurrency: 1 }, () => {
        const given = new Suite(kind);
        before(() => given.open(tested));
        after(() => given.close());
        suite(given);
      });
    }
  });
}

/** For what moves bytes: every carrier with every store. */
export function describeEverywhere(title: string, suite: (given: Given) => void): void {
  describeRegistry(title, suite, { crossed: true });
}

class Suite implements Given {
  readonly carrier: Carrier;
  readonly #kind: Kind;
  readonly #ends: (() => Promise<void>)[] = [];
  /** Failures behind answers that were given all the same: there must be none. */
  readonly #problems: string[] = [];
  #own: Started | undefined;
  #names = 0;

  constructor(kind: Kind) {
    this.carrier = kind.carrier;
    this.#kind = kind;
  }

  get client(): Client {
    assert(this.#own !== undefined, "the suite's registry has not started");
    return this.#own.client;
  }

  get port(): number {
    assert(this.#own?.port !== undefined, "the suite's registry does not listen");
    return this.#own.port;
  }

  repository(): string {
    this.#names += 1;
    return `team/app-${this.#names}`;
  }

  async open(options: TestedOptions): Promise<void> {
    this.#own = await this.start(options);
  }

  async start(options: TestedOptions = {}): Promise<Started> {
    const { metadata, remove, storage } = await this.#kind.make();
    this.#ends.push(remove);
    const registry = await createRegistry({
      ...options,
      // Stores that sign would send clients away; these tests look at what this registry sends.
      http: { redirect: false, ...options.http },
      storage,
      metadata,
      report: (problem, error) => this.#problems.push(`${problem}: ${String(error)}`),
    });
    this.#ends.push(() => registry.close());
    if (this.carrier === "in process") {
      return { client: new Client(carryInProcess(registry.fetch)), port: undefined };
    }
    const served = await registry.serve({ port: 0, host: "127.0.0.1" });
    const agent = new Agent({ keepAlive: true });
    this.#ends.push(async () => {
      agent.destroy();
      await served.close({ drainMs: 0 });
    });
    return { client: new Client(carryOverSockets(served.port, agent)), port: served.port };
  }

  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
    assert.deepEqual(this.#problems, []);
  }
}
