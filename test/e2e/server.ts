/** The registry under test, as a process of its own on a free port and an empty root. */
import assert from "node:assert/strict";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach } from "node:test";
import { plainSurroundings, run, StartedProcess } from "./processes.ts";
import { say, type Workspace } from "./workspace.ts";

/** Debian's package stands in where a test itself is to be tested: `E2E_SERVER=docker-registry`. */
type ServerKind = "longshore" | "docker-registry";

export interface RegistryServer {
  /** As clients name it: `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  /** The storage root. */
  readonly root: string;
  /** For `expectFailure`: what docker-registry 2.8 cannot do must fail there. */
  lacking(reason: string): string | false;
  /** Ends it with SIGTERM, which has to be clean, and starts it again on the same port and root. */
  restart(): Promise<void>;
  /** Ends it with SIGKILL and starts it again. */
  crash(): Promise<void>;
  memory(): Promise<Memory>;
}

/** A process's resident memory as the kernel counts it; no sample misses the peak. */
export interface Memory {
  readonly nowBytes: number;
  /** The most that it had at once since its start. */
  readonly peakBytes: number;
}

const drainSeconds = 20;
const repositoryRoot = join(import.meta.dirname, "../..");

export interface ServerOptions {
  /** Runs what is published instead of the sources: type stripping takes memory as well. */
  readonly compiled?: boolean;
}

export async function startServer(
  workspace: Workspace,
  { compiled = false }: ServerOptions = {},
): Promise<RegistryServer> {
  const kind = process.env["E2E_SERVER"] ?? "longshore";
  assert(kind === "longshore" || kind === "docker-registry", `E2E_SERVER=${kind} is unknown`);
  const folder = await workspace.newFolder("server");
  const program = await (kind === "longshore" ? longshore(folder, compiled) : ["docker-registry"]);
  const server = new RegistryProcess({ kind, program, folder, port: await freePort() });
  workspace.defer(() => server.stop());
  beforeEach(() => {
    server.markLog();
  });
  afterEach((context) => {
    if ("passed" in context && !context.passed) server.sayLog();
  });
  await server.start();
  return server;
}

interface ProcessOptions {
  readonly kind: ServerKind;
  readonly program: readonly string[];
  readonly folder: string;
  readonly port: number;
}

class RegistryProcess implements RegistryServer {
  readonly host: string;
  readonly root: string;
  readonly #kind: ServerKind;
  readonly #program: readonly string[];
  readonly #configFile: string;
  #process: StartedProcess | undefined;
  #logMark = 0;

  constructor({ kind, program, folder, port }: ProcessOptions) {
    this.#kind = kind;
    this.#program = program;
    this.host = `127.0.0.1:${port}`;
    this.root = join(folder, "root");
    this.#configFile = join(folder, "config.yml");
  }

  get url(): string {
    return `http://${this.host}`;
  }

  lacking(reason: string): string | false {
    return this.#kind === "docker-registry" && reason;
  }

  async start(): Promise<void> {
    await writeFile(this.#configFile, configuration(this));
    const started = new StartedProcess([...this.#program, "serve", this.#configFile], {
      prefix: [],
      // An upload that outlives a restart needs the same secret in docker-registry.
      env: { ...plainSurroundings.env, ...this.#environment() },
      cwd: repositoryRoot,
    });
    this.#process = started;
    await started.ready(() => this.#answers());
  }

  async stop(): Promise<void> {
    const exit = await this.#process?.stop();
    const log = this.#process?.output.slice(-4000);
    this.#process = undefined;
    this.#logMark = 0;
    if (exit === undefined) return;
    assert.deepEqual(exit, { code: 0, signal: null }, `SIGTERM is a clean end. Its log:\n${log}`);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async crash(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    this.#logMark = 0;
    await this.start();
  }

  async memory(): Promise<Memory> {
    assert(this.#process !== undefined, "the server runs");
    const status = await readFile(`/proc/${this.#process.pid}/status`, "utf8");
    const [nowBytes, peakBytes] = ["VmRSS", "VmHWM"].map((name) => {
      const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
      return Number(kibibytes) * 1024;
    });
    assert(nowBytes !== undefined && peakBytes !== undefined);
    return { nowBytes, peakBytes };
  }

  markLog(): void {
    this.#logMark = this.#process?.output.length ?? 0;
  }

  /** What it logged since the mark. */
  sayLog(): void {
    const log = this.#process?.output.slice(this.#logMark).trim() ?? "";
    if (log === "") return;
    for (const line of log.split("\n").slice(-40)) say(`server: ${line.slice(0, 300)}`);
  }

  #environment(): Readonly<Record<string, string>> {
    return this.#kind === "docker-registry" ? { REGISTRY_HTTP_SECRET: "of-this-test" } : {};
  }

  async #answers(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.url}/v2/`);
      await answer.body?.cancel();
      return answer.status === 200;
    } catch {
      return false;
    }
  }
}

/** The command that runs Longshore. */
async function longshore(folder: string, compiled: boolean): Promise<readonly string[]> {
  const node = join(repositoryRoot, "node_modules/.bin/node");
  if (!compiled) return [node, "src/cli/longshore.ts"];
  const dist = join(folder, "dist");
  const compiler = join(repositoryRoot, "node_modules/typescript/bin/tsc");
  const project = join(repositoryRoot, "tsconfig.build.json");
  await run([node, compiler, "--project", project, "--outDir", dist]);
  for (const shared of ["node_modules", "package.json"]) {
    await symlink(join(repositoryRoot, shared), join(folder, shared));
  }
  return [node, join(dist, "cli/longshore.js")];
}

function configuration({ host, root }: RegistryServer): string {
  return [
    "version: 0.1",
    "log:",
    "  level: info",
    "storage:",
    "  filesystem:",
    `    rootdirectory: ${root}`,
    "  delete:",
    "    enabled: true",
    "http:",
    `  addr: ${host}`,
    `  draintimeout: ${drainSeconds}s`,
    "",
  ].join("\n");
}

/** Outside the range of outgoing connections, so that it stays free over a restart. */
async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) return port;
  }
  throw new Error("No port is free");
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once("error", () => {
    resolve(false);
  });
  probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
    probe.close(() => {
      resolve(true);
    });
  });
  return promise;
}
