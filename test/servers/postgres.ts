/**
 * PostgreSQL from Debian's package. Its databases sort by ICU's English order and not by bytes, as
 * many a cluster does: a forgotten COLLATE "C" shows.
 */
import { globSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { run, type StartedProcess } from "../e2e/processes.ts";
import { freePorts } from "./ports.ts";
import { quietly, serverFolder, startDaemon, untilReady, type TestServer } from "./server.ts";

export interface PostgresServer extends TestServer {
  /** `postgres://user:password@host:port/postgres`, of a superuser. */
  readonly endpoint: string;
}

const password = "postgres";

/**
 * Nothing here survives a power cut, and need not: tests end processes only. But
 * `synchronous_commit` stays on: without it the end of a process loses what was acknowledged. Many
 * connections: three nodes with a pool each, and the tests' own.
 */
const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  fsync: "off",
  full_page_writes: "off",
  max_connections: "300",
  shared_buffers: "128MB",
  log_min_messages: "warning",
};

export async function startOwnPostgres(): Promise<PostgresServer> {
  const port = await freePorts();
  const { folder, remove } = serverFolder("postgres");
  const postgres = new Postgres(folder, port);
  try {
    await postgres.initialize();
    await postgres.start();
  } catch (error) {
    await postgres.stop();
    remove();
    throw error;
  }
  return {
    endpoint: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await postgres.stop();
      remove();
    },
    restart: async () => {
      await postgres.stop();
      await postgres.start();
    },
    pause: () => postgres.signal("SIGSTOP"),
    resume: () => postgres.signal("SIGCONT"),
  };
}

class Postgres {
  readonly #folder: string;
  readonly #data: string;
  readonly #port: number;
  readonly #programs: string;
  #server: StartedProcess | undefined;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#data = join(folder, "data");
    this.#port = port;
    this.#programs = newestPrograms();
  }

  async initialize(): Promise<void> {
    const file = join(this.#folder, "password");
    await writeFile(file, password);
    await mkdir(this.#data, { mode: 0o700 });
    if (isRoot) await run(["chown", "postgres:postgres", file, this.#data], quietly());
    const initdb = [
      ...[join(this.#programs, "initdb"), "-D", this.#data, "-U", "postgres", "-E", "UTF8"],
      ...["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"],
      ...["--auth=scram-sha-256", `--pwfile=${file}`, "--no-sync"],
    ];
    await run(initdb, quietly({}, asPostgres("KILL")));
  }

  async start(): Promise<void> {
    const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const server = startDaemon(
      [join(this.#programs, "postgres"), "-D", this.#data, "-p", String(this.#port), ...options],
      {},
      // SIGQUIT ends it and all its children at once; SIGKILL would leave those to find out.
      asPostgres("QUIT"),
    );
    this.#server = server;
    await untilReady(server, () => this.#accepts());
  }

  /** As in a crash: connections break, and the next start recovers from the log. */
  async stop(): Promise<void> {
    this.signal("SIGCONT");
    await this.#server?.stop("SIGQUIT");
  }

  /** To the server, and then to the process of each connection: it makes no more of them. */
  signal(signal: NodeJS.Signals): void {
    if (this.#server?.running !== true) return;
    const { pid } = this.#server;
    process.kill(pid, signal);
    for (const each of childrenOf(pid)) process.kill(each, signal);
  }

  async #accepts(): Promise<boolean> {
    const probe = [join(this.#programs, "pg_isready"), "-q", "-h", "127.0.0.1"];
    return await run([...probe, "-p", String(this.#port)], quietly()).then(
      () => true,
      () => false,
    );
  }
}

const isRoot = process.getuid?.() === 0;

/** PostgreSQL refuses to run as root. `signal` is what it gets when this process ends. */
function asPostgres(signal: "KILL" | "QUIT"): readonly string[] {
  const user = isRoot ? ["--reuid=postgres", "--regid=postgres", "--init-groups"] : [];
  return ["setpriv", ...user, "--pdeathsig", signal];
}

function childrenOf(pid: number): readonly number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return list === "" ? [] : list.split(" ").map(Number);
}

function newestPrograms(): string {
  const [newest] = globSync("/usr/lib/postgresql/*/bin").toSorted(
    (a, b) => versionOf(b) - versionOf(a),
  );
  if (newest === undefined)
    throw new Error("PostgreSQL is not installed: run scripts/integration-packages.sh");
  return newest;
}

function versionOf(programs: string): number {
  return Number(programs.split("/").at(-2));
}
