/** A registry of several processes, and what its debug server says of them. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Client } from "../race/support/client.ts";
import { temporaryFolder } from "../race/support/places.ts";
import { ServerProcess } from "../race/support/server-process.ts";
import { freePorts } from "../servers/ports.ts";

export interface WorkerFigures {
  readonly up: number;
  readonly process_id: number;
  readonly restarts: number;
  readonly connections: number;
  readonly requests: number;
  readonly resident_memory_bytes: number;
}

interface InstanceOptions {
  readonly workers?: number;
  readonly sections?: readonly string[];
}

/** A change that does not come within this never will, ms. */
const limitMs = 20_000;

export class Instance {
  readonly root: string;
  readonly server: ServerProcess;
  readonly debugUrl: string;
  readonly #clients: Client[] = [];

  private constructor(root: string, server: ServerProcess, debugUrl: string) {
    this.root = root;
    this.server = server;
    this.debugUrl = debugUrl;
  }

  /** `sections`: more lines for its config file. */
  static async start(
    t: TestContext,
    { sections = [], workers = 2 }: InstanceOptions = {},
  ): Promise<Instance> {
    const root = await temporaryFolder(t);
    const debugPort = await freePorts();
    const more = [
      `  workers: ${workers}`,
      "  debug:",
      `    addr: "127.0.0.1:${debugPort}"`,
      "    prometheus: { enabled: true, path: /metrics }",
      ...sections,
    ];
    const server = await ServerProcess.start({ root, folder: root, more });
    const instance = new Instance(root, server, `http://127.0.0.1:${debugPort}`);
    t.after(async () => {
      for (const client of instance.#clients) client.close();
      await server.kill();
    });
    return instance;
  }

  /** A client with connections of its own. */
  client(): Client {
    const client = new Client(this.server.url);
    this.#clients.push(client);
    return client;
  }

  async metrics(): Promise<string> {
    const answer = await fetch(`${this.debugUrl}/metrics`);
    assert.equal(answer.status, 200);
    return await answer.text();
  }

  /** By the workers' numbers: the first has place 0. */
  async workers(): Promise<readonly Partial<WorkerFigures>[]> {
    const found: Record<string, number>[] = [];
    const lines = /^longshore_worker_(\w+)\{worker="(\d+)"\} (\d+)$/gm;
    for (const [, name = "", worker, value] of (await this.metrics()).matchAll(lines)) {
      const index = Number(worker) - 1;
      found[index] = { ...found[index], [name]: Number(value) };
    }
    return found;
  }

  /** Looks until the workers are as they should be. */
  async until(
    isSo: (workers: readonly Partial<WorkerFigures>[]) => boolean,
  ): Promise<readonly Partial<WorkerFigures>[]> {
    const limit = performance.now() + limitMs;
    for (;;) {
      const workers = await this.workers();
      if (isSo(workers)) return workers;
      assert(performance.now() < limit, `the workers stay as ${JSON.stringify(workers)}`);
      await setImmediate();
    }
  }
}
