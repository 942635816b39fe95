/** Runs a suite on every kind of registry: in process and over sockets, on each store. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import { createRegistry, type RegistryOptions } from "../../src/index.ts";
import { carryInProcess, carryOverSockets, Client } from "./client.ts";

export type Carrier = "in process" | "over a socket";
export type Storage = "in memory" | "in a folder";

export interface TestedOptions extends Omit<
  RegistryOptions,
  "storage" | "metadataPath" | "report"
> {}

export interface Started {
  readonly client: Client;
  /** Where it listens; only over a socket. */
  readonly port: number | undefined;
}

export interface Given {
  readonly carrier: Carrier;
  readonly storage: Storage;
  /** A client of the suite's registry. */
  readonly client: Client;
  /** Where it listens; only over a socket. */
  readonly port: number;
  /** A repository's name that no other test has. */
  repository(): string;
  /** Another registry of the same kind, which ends with the suite. */
  start(options?: TestedOptions): Promise<Started>;
}

const kinds: readonly (readonly [Carrier, Storage])[] = [
  ["in process", "in memory"],
  ["in process", "in a folder"],
  ["over a socket", "in memory"],
  ["over a socket", "in a folder"],
];

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
  // The kinds run at once, since some of them mostly wait for the disk.
  describe(title, { concurrency: kinds.length }, () => {
    for (const [carrier, storage] of kinds) {
      const isSocket = carrier === "over a socket";
      if (sockets && !isSocket) continue;
      if (!crossed && isSocket !== (storage === "in a folder")) continue;
      describe(`${carrier}, ${storage}`, { concurrency: 1 }, () => {
        const given = new Suite(carrier, storage);
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
  readonly storage: Storage;
  readonly #ends: (() => Promise<void>)[] = [];
  /** Failures behind answers that were given all the same: there must be none. */
  readonly #problems: string[] = [];
  #own: Started | undefined;
  #names = 0;

  constructor(carrier: Carrier, storage: Storage) {
    this.carrier = carrier;
    this.storage = storage;
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
    const registry = await createRegistry({
      ...options,
      storage: this.storage === "in memory" ? "memory" : { root: await this.#folder() },
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

  async #folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "longshore-http-"));
    this.#ends.push(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }
}
