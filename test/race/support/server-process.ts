/** `longshore serve` as a process of its own, which a test may stop, wake and kill. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

export interface ServerOptions {
  /** The storage's root, which several servers may share. */
  readonly root: string;
  /** Where its config file goes. */
  readonly folder: string;
  /** A program that runs the server's command line, such as a tracer. */
  readonly under?: readonly string[];
  /** How long an upload's writer may be silent, ms. */
  readonly uploadLeaseMs?: number;
  /** Lines at the end of the config file: more of its http section, then other sections. */
  readonly more?: readonly string[];
}

const repositoryRoot = join(import.meta.dirname, "../../..");

/** How long an upload's writer may be silent, ms: the tests wait for its end, so it is short. */
export const leaseMs = 500;

/** A server that has not told its port by then never will, ms. */
const startLimitMs = 30_000;

export class ServerProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #output: string[];
  /** Whether a signal to end it was sent: from then on connections may break. */
  isEnding = false;

  private constructor(child: ChildProcess, output: string[], url: string) {
    this.#child = child;
    this.#output = output;
    this.url = url;
  }

  static async start(options: ServerOptions): Promise<ServerProcess> {
    const config = join(options.folder, "config.yml");
    await writeFile(config, configuration(options));
    const command = [process.execPath, "src/cli/longshore.ts", "serve", config];
    const [program = "", ...args] = [...(options.under ?? []), ...command];
    const child = spawn(program, args, {
      cwd: repositoryRoot,
      stdio: ["ignore", "pipe", "pipe"],
      // File operations are to be seen as system calls, by a tracer too.
      env: { ...process.env, UV_USE_IO_URING: "0" },
    });
    const output: string[] = [];
    child.stderr?.setEncoding("utf8").on("data", (text: string) => output.push(text));
    return new ServerProcess(child, output, await urlOf(child, output));
  }

  get pid(): number {
    assert(this.#child.pid !== undefined, "the server runs");
    return this.#child.pid;
  }

  /** What it has logged: only errors are. */
  get log(): string {
    return this.#output.join("");
  }

  /** Sends a signal to this one process. */
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ends it as a power switch would, as far as the process is concerned. */
  async kill(): Promise<void> {
    this.isEnding = true;
    await this.#end("SIGKILL");
  }

  /** Resolves with its exit code when it has ended by itself, or by a signal that was sent. */
  async ended(): Promise<number | null> {
    if (!this.#hasEnded) await once(this.#child, "close");
    return this.#child.exitCode;
  }

  /** Ends it the way an operator does, which has to be clean. */
  async stop(): Promise<void> {
    this.isEnding = true;
    const code = await this.#end("SIGTERM");
    assert.equal(code, 0, `a graceful stop is clean; it logged:\n${this.log}`);
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const ended = this.ended();
    if (!this.#hasEnded) this.#child.kill(signal);
    return await ended;
  }
}

/**
 * Stops the server as a debugger or a frozen machine would, at a moment when it does not hold the
 * database's write lock: that would stop the other process too, which is a different test.
 */
export async function freeze(server: ServerProcess): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    server.signal("SIGSTOP");
    await untilStopped(server.pid);
    if (!(await holdsWriteLock(server.pid))) return;
    server.signal("SIGCONT");
  }
  assert.fail("the server always holds the database's write lock");
}

async function untilStopped(pid: number): Promise<void> {
  for (let looks = 0; looks < 100_000; looks += 1) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    if (/^State:\s+T/m.test(status)) return;
  }
  assert.fail("the server did not stop");
}

/** SQLite's write lock in WAL mode is byte 120 of the shared-memory file. */
async function holdsWriteLock(pid: number): Promise<boolean> {
  const locks = await readFile("/proc/locks", "utf8");
  return new RegExp(`POSIX\\s+ADVISORY\\s+WRITE\\s+${pid}\\s+\\S+\\s+120\\s`).test(locks);
}

function configuration({ more = [], root, uploadLeaseMs = leaseMs }: ServerOptions): string {
  return [
    "version: 0.1",
    "log:",
    "  level: error",
    "  accesslog:",
    "    disabled: true",
    "storage:",
    "  filesystem:",
    `    rootdirectory: ${JSON.stringify(root)}`,
    "  delete:",
    "    enabled: true",
    "  upload:",
    `    lease: ${uploadLeaseMs}ms`,
    "http:",
    '  addr: "127.0.0.1:0"',
    ...more,
    "",
  ].join("\n");
}

async function urlOf(child: ChildProcess, output: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const failed = (): void => {
    child.kill("SIGKILL");
    reject(new Error(`the server did not start: ${output.join("")}`));
  };
  const timer = setTimeout(failed, startLimitMs);
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    const url = /listening on\s+(http:\/\/\S+)\s/.exec(said)?.[1];
    if (url !== undefined) resolve(url);
  });
  child.once("error", reject);
  child.once("close", failed);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    child.off("close", failed);
  }
}
