/**
 * Runs programs. Each ends with this process at the latest, whichever way this process ends: the
 * kernel sends it a signal (`setpriv --pdeathsig`).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { say, searchPath } from "./workspace.ts";

/** What a program is given. */
export interface Surroundings {
  /** Before the program's own arguments: what sets up its namespaces. */
  readonly prefix: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Not worth a line of its own. */
  readonly quiet?: boolean;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export const plainSurroundings: Surroundings = {
  prefix: [],
  env: { PATH: searchPath, LANG: "C.UTF-8", HOME: "/nonexistent" },
};

/** A client that hangs fails its story, and not the whole run. */
const commandLimitMs = 180_000;
const stopLimitMs = 30_000;

class CommandFailed extends Error {
  readonly exit: Exit;
  /** What it wrote to stdout and stderr. */
  readonly output: string;

  constructor(command: readonly string[], exit: Exit, output: string) {
    const end = exit.signal ?? `exit code ${exit.code}`;
    super(`${command.join(" ")}\nended with ${end}, and said:\n${output.slice(-8000)}`);
    this.exit = exit;
    this.output = output;
  }
}

/** Runs a command to its end and returns its stdout; rejects unless it exits with 0. */
export async function run(
  command: readonly string[],
  surroundings: Surroundings = plainSurroundings,
): Promise<string> {
  const started = new StartedProcess(command, surroundings);
  const exit = await started.endedWithin(commandLimitMs);
  if (exit.code !== 0) throw new CommandFailed(command, exit, started.output);
  return started.stdout;
}

/** Runs a command that has to fail by itself (not by a signal), and returns all that it said. */
export async function runToFailure(
  command: readonly string[],
  surroundings: Surroundings = plainSurroundings,
): Promise<string> {
  const started = new StartedProcess(command, surroundings);
  const exit = await started.endedWithin(commandLimitMs);
  if (exit.code === 0 || exit.code === null) {
    throw new CommandFailed(["(should have failed)", ...command], exit, started.output);
  }
  return started.output;
}

/** A program that runs beside the test. */
export class StartedProcess {
  readonly command: readonly string[];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #quiet: boolean;
  readonly #startedAt = performance.now();
  readonly #listeners = new Set<() => void>();
  #stdout = "";
  #output = "";

  constructor(command: readonly string[], surroundings: Surroundings) {
    this.command = command;
    this.#quiet = surroundings.quiet ?? false;
    const [file, ...args] = ["setpriv", "--pdeathsig", "KILL", ...surroundings.prefix, ...command];
    this.#child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: surroundings.env,
      ...(surroundings.cwd === undefined ? {} : { cwd: surroundings.cwd }),
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#heard(text);
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#heard(text);
    });
    this.exited = this.#untilExit();
    // A program that never starts is told to whoever waits for its end; nobody may be yet.
    this.exited.catch(() => undefined);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.command[0]} did not start`);
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  /** Stdout and stderr, as they came. */
  get output(): string {
    return this.#output;
  }

  /** Tries `probe` now and after each piece of output until it returns true. */
  async ready(probe: () => Promise<boolean>): Promise<void> {
    const ended = this.exited.then((exit) => {
      throw new CommandFailed(this.command, exit, this.#output);
    });
    ended.catch(() => undefined);
    for (;;) {
      const more = this.#nextOutput();
      if (await probe()) return;
      await Promise.race([more, ended]);
    }
  }

  /** Sends the signal to this one process and waits for its end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    if (this.running) this.#child.kill(signal);
    return this.endedWithin(stopLimitMs);
  }

  /** Its end; when that does not come in time the process is killed, which its exit shows. */
  async endedWithin(limitMs: number): Promise<Exit> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), limitMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  async #untilExit(): Promise<Exit> {
    const [code, signal] = (await once(this.#child, "close")) as [Exit["code"], Exit["signal"]];
    if (!this.#quiet) {
      const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(2);
      const end = signal ?? (code === 0 ? "" : `exit code ${code}`);
      say(`${seconds.padStart(6)} s  ${this.command.join(" ")}  ${end}`.trimEnd());
    }
    return { code, signal };
  }

  #heard(text: string): void {
    this.#output += text;
    for (const listener of this.#listeners) listener();
  }

  async #nextOutput(): Promise<void> {
    return new Promise((resolve) => {
      const listener = (): void => {
        this.#listeners.delete(listener);
        resolve();
      };
      this.#listeners.add(listener);
    });
  }
}
