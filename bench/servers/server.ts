/** One running registry: started, watched through /proc, stopped. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSeconds, memory, resetPeak } from "./proc.ts";
import type { Memory } from "./proc.ts";

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  /** Where everything goes that the server prints: its log and access log. */
  readonly logFile: string;
}

/** A server that has not answered after this will not. */
const START_MS_MAX = 60_000;

/** Between two looks whether the server listens. */
const POLL_MS = 2;

/** A server that has not stopped by itself after this is killed. */
const STOP_MS_MAX = 15_000;

export class Server {
  readonly port: number;
  /** From spawn to the first 200 on `/v2/`. */
  readonly startMs: number;
  readonly #child: ChildProcess;
  readonly #pid: number;
  #peakMiB = 0;

  private constructor(
    child: ChildProcess,
    options: { port: number; pid: number; startMs: number },
  ) {
    this.#child = child;
    this.#pid = options.pid;
    this.port = options.port;
    this.startMs = options.startMs;
  }

  static async start(launch: Launch): Promise<Server> {
    const log = openSync(launch.logFile, "a");
    const begun = performance.now();
    const child = spawn(launch.command, launch.args, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...launch.env },
    });
    closeSync(log);
    const failed = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`it ended with code ${code}`)));
    });
    failed.catch(() => undefined);
    try {
      await Promise.race([listening(launch.port, begun + START_MS_MAX), failed]);
    } catch (error) {
      child.kill("SIGKILL");
      const said = readFileSync(launch.logFile, "utf8").slice(-2000);
      throw new Error(`${launch.command} did not start: ${said}`, { cause: error });
    }
    const startMs = performance.now() - begun;
    return new Server(child, { port: launch.port, pid: child.pid ?? 0, startMs });
  }

  cpuSeconds(): number {
    return cpuSeconds(this.#pid);
  }

  memory(): Memory {
    const now = memory(this.#pid);
    this.#peakMiB = Math.max(this.#peakMiB, now.peakMiB);
    return now;
  }

  resetPeak(): void {
    this.memory();
    resetPeak(this.#pid);
  }

  /** The peak of its whole life, whatever was reset in between. */
  peakMiB(): number {
    this.memory();
    return this.#peakMiB;
  }

  async stop(): Promise<void> {
    this.memory();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const killer = setTimeout(() => this.kill(), STOP_MS_MAX);
    await ended;
    clearTimeout(killer);
  }

  /** For the way out in a hurry. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function listening(port: number, deadline: number): Promise<void> {
  while (performance.now() < deadline) {
    if (await answers(port)) return;
    await sleep(POLL_MS);
  }
  throw new Error(`no 200 on /v2/ within ${START_MS_MAX / 1000} s`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.write("GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    });
    socket.once("data", (head: Buffer) => {
      resolve(head.toString("latin1", 9, 12) === "200");
      socket.destroy();
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}
