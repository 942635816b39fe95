/**
 * Clients push through a balancer to three nodes, while everything fails that can: nodes, the
 * database, the object store, and the wires between them. Afterwards all that was acknowledged is
 * there, and nothing is left behind.
 *
 * CHAOS_SEED repeats a run as far as that is possible; CHAOS_ROUNDS is how many there are;
 * CHAOS_FAULT=restart has only the faults with this in their name.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { ComposedRegistry } from "../../../src/app.ts";
import { MetadataUnavailable } from "../../../src/metadata/metadata-store.ts";
import { Client } from "../../race/support/client.ts";
import { Random, seedFrom } from "../../race/support/random.ts";
import { Cluster, type ClusterOptions } from "../support/cluster.ts";
import { pullWhole } from "../support/pulls.ts";
import { AttemptLedger, present, type Entry, type Value } from "./attempts.ts";
import { allFaults, type Fault } from "./faults.ts";
import { PatientClient, type Troubles } from "./patient-client.ts";
import { Pusher } from "./pusher.ts";
import { LogReader, openJanitor, survey } from "./survey.ts";

/** CI asks for more. */
export const chaosRounds: number = Number(process.env["CHAOS_ROUNDS"] ?? 8);

const pushersPerRound = 6;
/** Of each pusher, at least. */
const actionsMin = 4;
const twoAtOnce = 0.3;
const parallelMax = 16;

export function testChaos(storage: ClusterOptions["storage"], rounds: number): void {
  test(`${rounds} rounds of chaos on three nodes, PostgreSQL and ${storage}`, async (t) => {
    const seed = seedFrom("CHAOS_SEED");
    t.diagnostic(`CHAOS_SEED=${seed}`);
    const chaos = await Chaos.start(new Random(seed), storage);
    t.after(() => chaos.close());
    for (const [number, faults] of chaos.plan(rounds).entries()) {
      const name = `${number + 1}: ${faults.map((fault) => fault.name).join("; ")}`;
      await t.test(name, async (round) => {
        const done = await chaos.round(number + 1, faults);
        round.diagnostic(done);
      });
    }
    await t.test("in the end all of it is there", async (last) => {
      last.diagnostic(await chaos.finish());
    });
  });
}

class Chaos {
  readonly #cluster: Cluster;
  readonly #janitor: ComposedRegistry;
  readonly #random: Random;
  readonly #client: Client;
  readonly #ledger = new AttemptLedger();
  readonly #other: ComposedRegistry;
  readonly #readers: readonly LogReader[];
  readonly #troubles: Troubles = { disconnected: 0, statuses: new Map() };
  readonly #sharedLayers: readonly Uint8Array[];

  private constructor(
    cluster: Cluster,
    [janitor, other]: readonly [ComposedRegistry, ComposedRegistry],
    random: Random,
  ) {
    this.#cluster = cluster;
    this.#janitor = janitor;
    this.#other = other;
    this.#random = random;
    this.#client = new Client(cluster.balancer.endpoint);
    this.#readers = [janitor, other].map(({ metadata }) => new LogReader(metadata));
    this.#sharedLayers = Array.from({ length: 6 }, () => random.bytes(30_000));
  }

  static async start(random: Random, storage: ClusterOptions["storage"]): Promise<Chaos> {
    const cluster = await Cluster.start({
      nodes: 3,
      storage,
      ownServers: true,
      answerLimitSeconds: 6,
      maintenance: () => ({
        uploadpurging: { age: "60s", interval: "2s" },
        collect: { interval: "500ms" },
        sweep: { interval: "2s", grace: "0s" },
        lease: "1s",
        firstdelay: "1s",
      }),
    });
    try {
      const readers = [await openJanitor(cluster), await openJanitor(cluster)] as const;
      return new Chaos(cluster, readers, random);
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Each fault as often as the others, in an order of chance; now and then two at once. */
  plan(count: number): readonly (readonly Fault[])[] {
    const wanted = process.env["CHAOS_FAULT"] ?? "";
    const hasBucket = "bucket" in this.#cluster.place;
    const known = allFaults
      .filter(({ name }) => name.includes(wanted))
      .filter(({ kind }) => hasBucket || kind !== "store");
    const bag: Fault[] = [];
    const next = (): Fault => {
      if (bag.length === 0) bag.push(...known);
      const [fault] = bag.splice(this.#random.integer(0, bag.length - 1), 1);
      assert(fault !== undefined, `no fault is called ${wanted}`);
      return fault;
    };
    return Array.from({ length: count }, () => {
      const first = next();
      const others = known.filter(({ kind }) => kind !== first.kind);
      const isAlone = others.length === 0 || !this.#random.chance(twoAtOnce);
      return isAlone ? [first] : [first, this.#random.pick(others)];
    });
  }

  async round(number: number, faults: readonly Fault[]): Promise<string> {
    const work = new Workload();
    const mayLoseUploads = faults.some(({ losesUploads }) => losesUploads === true);
    const pushers = Array.from({ length: pushersPerRound }, (_, index) =>
      this.#pusher(`r${number}-${index}`, work, mayLoseUploads),
    );
    const failing = Promise.all(
      faults.map((fault) =>
        fault.run({
          cluster: this.#cluster,
          random: this.#random.fork(),
          requests: (count) => work.requests(count),
        }),
      ),
    ).then(() => work.end());
    const pushing = pushers.map(async (pusher) => {
      for (let action = 0; action < actionsMin || !work.isOver; action += 1) {
        if (work.hasFailed) return;
        await pusher.act();
      }
    });
    await work.allOf([failing, this.#meanwhile(work), ...pushing]);
    for (const node of this.#cluster.nodes) {
      assert(node.running, `${node.name} ended by itself, and said:\n${node.log.slice(-4000)}`);
    }
    const { objects } = await survey(this.#cluster, this.#janitor);
    const changes = await Promise.all(
      this.#readers.map((reader) => reader.assertComplete(this.#cluster)),
    );
    const touched = this.#ledger.takeTouched();
    await this.#inspect(touched);
    const checked = `${touched.length} tags and manifests`;
    return `${work.sent} requests, ${checked}, ${objects} objects, ${changes[0]} changes`;
  }

  async finish(): Promise<string> {
    const all = this.#ledger.all();
    await this.#inspect(all);
    const errors = this.#cluster.nodes.flatMap(({ log }) => errorsIn(log));
    assert.deepEqual(errors, [], "nothing failed without a reason");
    const { disconnected, statuses } = this.#troubles;
    const told = [...statuses].map(([status, count]) => `${count} times ${status}`).join(", ");
    return `${all.length} tags and manifests; ${disconnected} connections broke; ${told}`;
  }

  async close(): Promise<void> {
    this.#client.close();
    try {
      await this.#janitor.close();
      await this.#other.close();
    } finally {
      await this.#cluster.close();
    }
  }

  #pusher(name: string, work: Workload, mayLoseUploads: boolean): Pusher {
    const random = this.#random.fork();
    const tick = (): void => work.tick();
    return new Pusher({
      name,
      client: new PatientClient(this.#client, random.fork(), this.#troubles, tick),
      random,
      ledger: this.#ledger,
      sharedLayers: this.#sharedLayers,
      mayLoseUploads,
    });
  }

  /** A reader of the log is at work, and now and then a day passes for whoever collects. */
  async #meanwhile(work: Workload): Promise<void> {
    while (!work.isOver) {
      await work.requests(20);
      const reading = this.#readers.map((reader) => reader.read().catch(ifUnreachable));
      await Promise.all(reading);
      for (const table of ["blobs", "repository_blobs", "manifests"]) {
        const older = `UPDATE ${table} SET review_after = 0 WHERE review_after IS NOT NULL`;
        await this.#cluster.database.query(older).catch(ifUnreachable);
      }
    }
  }

  async #inspect(entries: readonly Entry[]): Promise<void> {
    const left = entries.values();
    const work = async (): Promise<void> => {
      for (const entry of left) this.#ledger.check(entry, await this.#find(entry));
    };
    await Promise.all(Array.from({ length: parallelMax }, work));
  }

  async #find({ kind, name, repository }: Entry): Promise<Value> {
    const target = `/v2/${repository}/manifests/${name}`;
    const { status } = await this.#client.send("HEAD", target);
    if (status === 404) return undefined;
    const digest = await pullWhole(this.#client, repository, name);
    return kind === "tag" ? digest : present;
  }
}

/** How far a round is, in requests. */
class Workload {
  sent = 0;
  isOver = false;
  hasFailed = false;
  readonly #waiting = new Map<PromiseWithResolvers<void>, number>();

  /** When one of them fails the others come to their end before it is told. */
  async allOf(parts: readonly Promise<void>[]): Promise<void> {
    const watched = parts.map((part) =>
      part.catch((error: unknown) => {
        this.hasFailed = true;
        this.end();
        throw error;
      }),
    );
    for (const part of await Promise.allSettled(watched)) {
      if (part.status === "rejected") throw part.reason;
    }
  }

  tick(): void {
    this.sent += 1;
    for (const [waiting, target] of this.#waiting) {
      if (this.sent < target) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  /** Resolves after so many more, or at the end. */
  requests(count: number): Promise<void> {
    if (this.isOver) return Promise.resolve();
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(waiting, this.sent + count);
    return waiting.promise;
  }

  end(): void {
    this.isOver = true;
    for (const waiting of this.#waiting.keys()) waiting.resolve();
    this.#waiting.clear();
  }
}

/** A job that met a fault is tried again later; a request that did is a warning. */
function errorsIn(log: string): readonly string[] {
  const lines = log.split("\n").filter((line) => line.includes("level=error"));
  return lines.filter((line) => !/msg="the upkeep's job .* failed"/.test(line));
}

/** The database that is asked may be the one that fails. */
function ifUnreachable(error: unknown): void {
  if (error instanceof MetadataUnavailable) return;
  const codes = ["ECONNREFUSED", "ECONNRESET", "57P01", "57P02", "57P03", "40P01"];
  const { code, message } = error as { readonly code?: string; readonly message: string };
  const isGone = codes.includes(code ?? "") || message.includes("terminated unexpectedly");
  assert(isGone, `the database failed otherwise: ${String(error)}`);
}
