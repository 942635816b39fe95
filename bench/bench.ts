/** What every row is handed: the plan, the tools, the two sides and their servers. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Tools } from "./load/tools.ts";
import type { Plan } from "./plan.ts";
import type { Role, Sample, Samples } from "./results.ts";
import type { Server } from "./servers/server.ts";
import { startServer, storageRoot } from "./servers/sides.ts";
import type { Backend, SideName } from "./servers/sides.ts";

export const ROLES: readonly Role[] = ["subject", "yardstick"];

export interface Peak {
  /** The row during which it was seen. */
  readonly row: string;
  readonly role: Role;
  readonly peakMiB: number;
}

/** A measured piece of work: what it came to, and how many units of work it was. */
export interface Work {
  readonly value: number;
  readonly units: number;
  readonly clientCpuSeconds?: number;
}

export interface Own {
  readonly server: Server;
  readonly directory: string;
  /** Stops the server; its folder stays, for another start. */
  readonly stop: () => Promise<void>;
  readonly remove: () => void;
}

export interface OwnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly directory?: string;
  readonly backend?: Backend;
  readonly workers?: number;
}

export class Bench {
  readonly plan: Plan;
  readonly tools: Tools;
  readonly sides: Readonly<Record<Role, SideName>>;
  /** The highest peak of every server that ran, for the row about the whole run. */
  readonly peaks: Peak[] = [];
  readonly #directory: string;
  readonly #shared = new Map<Role, Promise<Own>>();
  readonly #rowServers = new Set<Server>();
  #folders = 0;
  #row = "";

  constructor(options: {
    readonly plan: Plan;
    readonly tools: Tools;
    readonly sides: Readonly<Record<Role, SideName>>;
    readonly directory: string;
  }) {
    this.plan = options.plan;
    this.tools = options.tools;
    this.sides = options.sides;
    this.#directory = options.directory;
  }

  progress(text: string): void {
    process.stderr.write(`  ${text}\n`);
  }

  /** The long-lived server of a side, which most rows share, as a registry lives for days. */
  async shared(role: Role): Promise<Server> {
    return (await this.#sharedOwn(role)).server;
  }

  /** The storage folder of the shared server. */
  async sharedRoot(role: Role): Promise<string> {
    return storageRoot((await this.#sharedOwn(role)).directory);
  }

  /** A server for one row alone, on an empty folder or on the one that an earlier server left. */
  async own(role: Role, options: OwnOptions = {}): Promise<Own> {
    const own = await this.#start(role, options);
    this.#rowServers.add(own.server);
    return own;
  }

  beginRow(row: string): void {
    this.#row = row;
  }

  /** Ends what the row left behind when it failed, and notes the shared servers' peaks so far. */
  async endRow(): Promise<void> {
    this.#killRowServers();
    for (const [role, own] of this.#shared) this.#notePeak(role, (await own).server);
  }

  async close(): Promise<void> {
    this.#killRowServers();
    for (const own of this.#shared.values()) await (await own).stop();
    this.#shared.clear();
  }

  #killRowServers(): void {
    for (const server of this.#rowServers) server.kill();
    this.#rowServers.clear();
  }

  /** For the way out when the benchmark itself is interrupted. */
  async kill(): Promise<void> {
    this.#killRowServers();
    for (const own of this.#shared.values()) (await own).server.kill();
  }

  #notePeak(role: Role, server: Server): void {
    this.peaks.push({ role, row: this.#row, peakMiB: server.peakMiB() });
  }

  #sharedOwn(role: Role): Promise<Own> {
    const own = this.#shared.get(role) ?? this.#start(role, {});
    this.#shared.set(role, own);
    return own;
  }

  async #start(role: Role, options: OwnOptions): Promise<Own> {
    this.#folders += 1;
    const directory = options.directory ?? join(this.#directory, `${role}-${this.#folders}`);
    mkdirSync(directory, { recursive: true });
    const { backend = {}, env = {}, workers = 1 } = options;
    const server = await startServer(this.sides[role], { directory, env, backend, workers });
    return {
      server,
      directory,
      stop: async () => {
        this.#rowServers.delete(server);
        this.#notePeak(role, server);
        await server.stop();
      },
      remove: () => rmSync(directory, { recursive: true, force: true }),
    };
  }
}

/**
 * A B A B ...: each round measures both sides, one after the other, so that a slow minute hits
 * both.
 */
export async function interleave(
  rounds: number,
  measure: (role: Role, round: number) => Promise<Sample>,
  roles: readonly Role[] = ROLES,
): Promise<Samples> {
  const samples: Record<Role, Sample[]> = { subject: [], yardstick: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const role of roles) samples[role].push(await measure(role, round));
  }
  return samples;
}

/**
 * Measures a server's CPU around some work. `cpuScale` is 1 for seconds per unit, 1000 for
 * milliseconds.
 */
export async function withCpu(
  server: Server,
  cpuScale: number,
  work: () => Promise<Work>,
): Promise<Sample> {
  const before = server.cpuSeconds();
  const { value, units, clientCpuSeconds } = await work();
  const cpu = ((server.cpuSeconds() - before) / units) * cpuScale;
  if (clientCpuSeconds === undefined) return { value, cpu };
  return { value, cpu, clientCpu: (clientCpuSeconds / units) * cpuScale };
}
