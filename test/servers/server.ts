/** What the servers that tests run against have in common, whichever they are. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setInterval } from "node:timers/promises";
import { StartedProcess, plainSurroundings, type Surroundings } from "../e2e/processes.ts";
import { searchPath } from "../e2e/workspace.ts";

export interface TestServer {
  /** Its processes have ended and its files are gone. A server that others share stays. */
  stop(): Promise<void>;
  /** Ends it as a crash would and starts it again, with what it had stored. */
  restart(): Promise<void>;
  /** It neither answers nor closes connections, until `resume`. */
  pause(): void;
  resume(): void;
}

/** A server that has not answered by then never will, ms. Swift takes 10 s on a busy machine. */
const startLimitMs = 60_000;

const pollMs = 50;

/** Waits for another process to come to a state of which nothing tells. */
export async function until(
  what: string,
  probe: () => Promise<boolean> | boolean,
  limitMs: number = startLimitMs,
): Promise<void> {
  const started = performance.now();
  if (await probe()) return;
  for await (const _ of setInterval(pollMs)) {
    if (await probe()) return;
    if (performance.now() - started > limitMs) {
      throw new Error(`${what} did not happen within ${limitMs / 1000} s`);
    }
  }
}

/** Whether an HTTP server answers, with this status if one is given. */
export async function answers(url: string, status?: number): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await answer.body?.cancel();
    return status === undefined || answer.status === status;
  } catch {
    return false;
  }
}

/** A folder which goes with this process at the latest. Its name is short: sockets lie in it. */
export function serverFolder(name: string): { readonly folder: string; remove(): void } {
  const folder = join(tmpdir(), `longshore-${name}-${randomBytes(4).toString("hex")}`);
  // Servers that run as another user go through it.
  mkdirSync(folder, { mode: 0o711 });
  const remove = (): void => {
    process.off("exit", remove);
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", remove);
  return { folder, remove };
}

export type Environment = Readonly<Record<string, string>>;

/** Debian's programs that a server is made of. */
export function requirePrograms(...programs: readonly string[]): void {
  const folders = searchPath.split(":");
  const missing = programs.filter((name) => !folders.some((each) => existsSync(join(each, name))));
  if (missing.length > 0) {
    const names = missing.join(", ");
    throw new Error(`Not installed: ${names}. Run scripts/integration-packages.sh.`);
  }
}

/** A daemon in the foreground. It ends with this process, whichever way this one ends. */
export function startDaemon(
  command: readonly string[],
  env: Environment = {},
  prefix: readonly string[] = [],
): StartedProcess {
  return new StartedProcess(command, quietly(env, prefix));
}

export function quietly(env: Environment = {}, prefix: readonly string[] = []): Surroundings {
  return { prefix, env: { ...plainSurroundings.env, ...env }, cwd: "/", quiet: true };
}

/** Waits for a daemon that was just started; rejects as soon as it has ended instead. */
export async function untilReady(
  daemon: StartedProcess,
  probe: () => Promise<boolean>,
): Promise<void> {
  const name = daemon.command.join(" ");
  await until(`the start of ${name}`, async () => {
    if (!daemon.running) throw new Error(`${name} ended at once:\n${daemon.output.slice(-4000)}`);
    return await probe();
  });
}

/** A server which somebody else has started, and which is not ours to stop or to disturb. */
export const sharedServer: TestServer = {
  stop: () => Promise.resolve(),
  restart: () => Promise.reject(new Error("the server is shared: start an own one")),
  pause: () => {
    throw new Error("the server is shared: start an own one");
  },
  resume: () => {
    throw new Error("the server is shared: start an own one");
  },
};
