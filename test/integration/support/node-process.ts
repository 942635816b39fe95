/** One node of several: `longshore serve` on a port that stays its own over restarts. */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { plainSurroundings, StartedProcess } from "../../e2e/processes.ts";
import { answers, untilReady } from "../../servers/server.ts";

const repositoryRoot = join(import.meta.dirname, "../../..");

export interface NodeOptions {
  readonly name: string;
  readonly port: number;
  /** Where its config file goes. */
  readonly folder: string;
  /** The configuration but for the address: what would be in the file. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface StartNodeOptions {
  /** How much its clock is ahead, in seconds. */
  readonly clockOffsetSeconds?: number;
}

export class RegistryNode {
  readonly name: string;
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  readonly #options: NodeOptions;
  #process: StartedProcess | undefined;
  /** What it said before its last start. */
  #before = "";

  constructor(options: NodeOptions) {
    this.name = options.name;
    this.host = `127.0.0.1:${options.port}`;
    this.url = `http://${this.host}`;
    this.#options = options;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  get pid(): number {
    assert(this.#process !== undefined, `${this.name} was started`);
    return this.#process.pid;
  }

  /** What it has said since its first start. */
  get log(): string {
    return `${this.#before}${this.#process?.output ?? ""}`;
  }

  async start(options: StartNodeOptions = {}): Promise<void> {
    await this.begin(options);
    await this.ready();
  }

  /** Without waiting until it answers. */
  async begin({ clockOffsetSeconds = 0 }: StartNodeOptions = {}): Promise<void> {
    assert(!this.running, `${this.name} runs already`);
    const { config, folder, name, port } = this.#options;
    const { http, ...others } = config;
    const whole = { version: "0.1", ...others, http: { ...asMap(http), addr: this.host } };
    const file = join(folder, `${name}-${port}.yml`);
    // YAML takes JSON as it is.
    await writeFile(file, JSON.stringify(whole, undefined, 2));
    this.#process = new StartedProcess([process.execPath, "src/cli/longshore.ts", "serve", file], {
      prefix: [],
      env: { ...plainSurroundings.env, ...clockEnvironment(clockOffsetSeconds) },
      cwd: repositoryRoot,
      quiet: true,
    });
  }

  async ready(): Promise<void> {
    assert(this.#process !== undefined, `${this.name} was begun`);
    await untilReady(this.#process, () => answers(`${this.url}/v2/`, 200));
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** The way an operator does, which has to be clean. */
  async stop(): Promise<void> {
    const code = await this.#end("SIGTERM");
    assert.equal(code, 0, `${this.name} ends cleanly; it said:\n${this.log.slice(-4000)}`);
  }

  /** It does nothing until `wake`, and does not know it. */
  freeze(): void {
    process.kill(this.pid, "SIGSTOP");
  }

  wake(): void {
    if (this.running) process.kill(this.pid, "SIGCONT");
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#process === undefined) return 0;
    this.wake();
    const { code } = await this.#process.stop(signal);
    this.#before += this.#process.output;
    this.#process = undefined;
    return code;
  }
}

function asMap(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** Debian's faketime. Its own program would stand between us and the node's process. */
function clockEnvironment(offsetSeconds: number): Readonly<Record<string, string>> {
  if (offsetSeconds === 0) return {};
  const [library] = globSync("/usr/lib/*/faketime/libfaketime.so.1");
  if (library === undefined) {
    throw new Error("faketime is not installed: run scripts/integration-packages.sh");
  }
  const offset = `${offsetSeconds > 0 ? "+" : ""}${offsetSeconds}s`;
  return { LD_PRELOAD: library, FAKETIME: offset };
}
