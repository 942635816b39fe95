/**
 * The server is killed at random moments of concurrent pushes, again and again on one root. What a
 * client was told is true afterwards, and nothing half-written is visible.
 *
 * CRASH_SEED repeats a run as far as that is possible; CRASH_ROUNDS=50 kills it fifty times.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Client, Disconnected } from "../race/support/client.ts";
import { assertIntact, temporaryFolder } from "../race/support/places.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import { ServerProcess } from "../race/support/server-process.ts";
import { Inspection } from "./inspect.ts";
import { Ledger, type PendingUpload } from "./ledger.ts";
import { Worker } from "./workload.ts";

const workerCount = 6;

/** Requests and pieces of bodies before the server is killed. */
const ticksMax = 150;

/** Turns of this process's event loop after the last of them: some milliseconds. */
const turnsMax = 1000;

/** Every so many rounds everything is looked at, and not just what the round has touched. */
const roundsBetweenReviews = 25;

const rounds = Number(process.env["CRASH_ROUNDS"] ?? 5);

interface Tally {
  entries: number;
  tags: number;
  completed: number;
  unknown: number;
}

test(`killed ${rounds} times, the registry has all that it acknowledged`, async (t) => {
  const seed = seedFrom("CRASH_SEED");
  t.diagnostic(`CRASH_SEED=${seed}`);
  const folder = await temporaryFolder(t);
  const crashes = new Crashes(folder, new Random(seed));
  t.after(() => crashes.close());
  await crashes.start();
  for (let round = 1; round <= rounds; round += 1) {
    await crashes.crash();
    await crashes.start();
    const isReview = round % roundsBetweenReviews === 0 || round === rounds;
    await crashes.inspect(isReview);
  }
  await crashes.stop();
  const { completed, entries, tags, unknown } = crashes.tally;
  t.diagnostic(`${entries} blobs, manifests and tags checked, ${tags} listed tags pulled`);
  t.diagnostic(`${completed} interrupted uploads completed, ${unknown} had ended`);
  assert(completed > 0 || rounds < 10, "some uploads were interrupted");
});

class Crashes {
  readonly tally: Tally = { entries: 0, tags: 0, completed: 0, unknown: 0 };
  readonly #folder: string;
  readonly #root: string;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  readonly #uploads = new Set<PendingUpload>();
  readonly #workers: readonly Worker[];
  #server: ServerProcess | undefined;
  #client: Client | undefined;

  constructor(folder: string, random: Random) {
    this.#folder = folder;
    this.#root = join(folder, "root");
    this.#random = random;
    this.#workers = Array.from(
      { length: workerCount },
      (_, index) => new Worker(`c${index}`, random.fork()),
    );
  }

  async start(): Promise<void> {
    this.#server = await ServerProcess.start({ root: this.#root, folder: this.#folder });
    this.#client = new Client(this.#server.url);
  }

  /** Lets the clients work until the server is gone. */
  async crash(): Promise<void> {
    const { client, server } = this.#running();
    const turns = this.#random.chance(0.5) ? 0 : this.#random.integer(1, turnsMax);
    const last = this.#random.integer(1, ticksMax);
    const killed = Promise.withResolvers<void>();
    let ticks = 0;
    const kill = async (): Promise<void> => {
      // At once: what was just told has to be true. Later: any moment within an operation.
      for (let turn = 0; turn < turns; turn += 1) await setImmediate();
      await server.kill();
    };
    const tick = (): void => {
      ticks += 1;
      if (ticks === last) killed.resolve(kill());
    };
    const surroundings = {
      client,
      ledger: this.#ledger,
      uploads: this.#uploads,
      sharedLayers: Array.from({ length: 3 }, () => this.#random.bytes(30_000)),
      tick,
    };
    const work = async (worker: Worker): Promise<void> => {
      try {
        while (!server.isEnding) await worker.act(surroundings);
      } catch (error) {
        if (!(error instanceof Disconnected && server.isEnding)) throw error;
      }
    };
    await Promise.all([killed.promise, ...this.#workers.map(work)]);
    assert.equal(server.log, "", "nothing failed inside");
    client.close();
  }

  async inspect(everything: boolean): Promise<void> {
    const { client, server } = this.#running();
    const inspection = new Inspection(client);
    const ledger = this.#ledger;
    const uploads = [...this.#uploads];
    this.#uploads.clear();
    const resumed = uploads.map((upload) => inspection.resume(ledger, upload));
    for (const end of await Promise.all(resumed)) this.tally[end] += 1;
    const touched = ledger.takeTouched();
    const entries = everything ? ledger.all() : touched;
    await inspection.settle(ledger, entries);
    ledger.takeTouched();
    this.tally.entries += entries.length;
    this.tally.tags += await inspection.pullAllTags();
    if (everything) await assertIntact(this.#root);
    assert.equal(server.log, "", "nothing failed inside");
  }

  async stop(): Promise<void> {
    const { client, server } = this.#running();
    await server.stop();
    client.close();
  }

  async close(): Promise<void> {
    this.#client?.close();
    await this.#server?.kill();
  }

  #running(): { readonly client: Client; readonly server: ServerProcess } {
    assert(this.#client !== undefined && this.#server !== undefined, "the server was started");
    return { client: this.#client, server: this.#server };
  }
}
