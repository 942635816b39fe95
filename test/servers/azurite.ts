/**
 * Azurite, Microsoft's emulator of Azure's blob storage. It is no dependency of this project (300
 * packages): it is installed once into a folder outside of it.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { run, type StartedProcess } from "../e2e/processes.ts";
import { freePorts } from "./ports.ts";
import { answers, serverFolder, startDaemon, untilReady, type TestServer } from "./server.ts";

export interface AzureAccess {
  /** A URL whose path is the account, as only the emulator has it. */
  readonly endpoint: string;
  readonly account: string;
  readonly key: string;
}

export interface AzureServer extends AzureAccess, TestServer {}

const version = "3.36.0";

/** The emulator's own, the same everywhere. */
const account = "devstoreaccount1";
const key =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

export async function startOwnAzurite(): Promise<AzureServer> {
  const program = join(await installed(), "node_modules/azurite/dist/src/blob/main.js");
  const port = await freePorts();
  const { folder, remove } = serverFolder("azurite");
  const azurite = new Azurite(program, folder, port);
  try {
    await azurite.start();
  } catch (error) {
    await azurite.stop();
    remove();
    throw error;
  }
  return {
    endpoint: `http://127.0.0.1:${port}/${account}`,
    account,
    key,
    stop: async () => {
      await azurite.stop();
      remove();
    },
    restart: async () => {
      await azurite.stop();
      await azurite.start();
    },
    pause: () => azurite.signal("SIGSTOP"),
    resume: () => azurite.signal("SIGCONT"),
  };
}

class Azurite {
  readonly #command: readonly string[];
  readonly #url: string;
  #process: StartedProcess | undefined;

  constructor(program: string, folder: string, port: number) {
    this.#command = [
      ...[process.execPath, program, "--silent", "--disableTelemetry", "--location", folder],
      // The client library may know newer versions of the API than the emulator does.
      ...["--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", String(port)],
    ];
    this.#url = `http://127.0.0.1:${port}/`;
  }

  async start(): Promise<void> {
    const started = startDaemon(this.#command);
    this.#process = started;
    await untilReady(started, () => answers(this.#url));
  }

  /** Politely: what it knows of its blobs is written to the disk at the end. */
  async stop(): Promise<void> {
    this.signal("SIGCONT");
    await this.#process?.stop("SIGINT");
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#process?.running === true) process.kill(this.#process.pid, signal);
  }
}

/** The folder whose `node_modules` has Azurite. LONGSHORE_TEST_CACHE keeps it over restarts. */
async function installed(): Promise<string> {
  const cache = process.env["LONGSHORE_TEST_CACHE"] ?? join(tmpdir(), "longshore-test-cache");
  const folder = join(cache, `azurite-${version}`);
  if (existsSync(folder)) return folder;
  // Elsewhere first: an installation that was cut short is not taken for a whole one.
  const unfinished = `${folder}.${randomBytes(4).toString("hex")}`;
  await mkdir(unfinished, { recursive: true });
  await writeFile(join(unfinished, "package.json"), '{"private":true}\n');
  const npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"];
  const env = Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
  try {
    await run([...npm, `azurite@${version}`], { prefix: [], env, cwd: unfinished });
    await rename(unfinished, folder);
  } catch (error) {
    // Another process may have been first.
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

export function formatAzure({ account: name, endpoint, key: secret }: AzureAccess): string {
  const url = new URL(endpoint);
  url.username = name;
  url.password = encodeURIComponent(secret);
  return url.href;
}

export function parseAzure(text: string): AzureAccess {
  const url = new URL(text);
  return {
    endpoint: `${url.origin}${url.pathname}`,
    account: decodeURIComponent(url.username),
    key: decodeURIComponent(url.password),
  };
}
