/** Where the races are run: in this process over a socket, and in two processes on one root. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import { compose } from "../../../src/app.ts";
import { serve } from "../../../src/node/serve.ts";
import { Client } from "./client.ts";
import { Random, seedFrom } from "./random.ts";
import { ServerProcess } from "./server-process.ts";

export interface Place {
  readonly root: string;
  /** A client of each server. All servers are equal. */
  readonly clients: readonly Client[];
  readonly servers: readonly ServerProcess[];
  readonly random: Random;
}

interface Opened extends Pick<Place, "clients" | "servers"> {
  /** What went wrong behind the answers: every refusal that a race provokes is a client's. */
  failures(): readonly string[];
  close(): Promise<void>;
}

const kinds = { "in process": openInProcess, "two processes": openTwoProcesses };

/** Runs the race in each kind of place, with a new seed each time; RACE_SEED repeats one. */
export function race(
  name: string,
  run: (place: Place, context: TestContext) => Promise<void>,
): void {
  for (const [kind, open] of Object.entries(kinds)) raceIn(`${name} (${kind})`, open, run);
}

/** A race that needs two processes. */
export function raceOfProcesses(
  name: string,
  run: (place: Place, context: TestContext) => Promise<void>,
): void {
  raceIn(name, openTwoProcesses, run);
}

function raceIn(
  name: string,
  open: (root: string, folder: string) => Promise<Opened>,
  run: (place: Place, context: TestContext) => Promise<void>,
): void {
  test(name, async (context) => {
    const seed = seedFrom("RACE_SEED");
    context.diagnostic(`RACE_SEED=${seed}`);
    const folder = await temporaryFolder(context);
    const root = join(folder, "root");
    const opened = await open(root, folder);
    try {
      await run({ ...opened, root, random: new Random(seed) }, context);
      assert.deepEqual(opened.failures(), [], "nothing failed inside");
    } catch (error) {
      throw new Error(`RACE_SEED=${seed}`, { cause: error });
    } finally {
      for (const client of opened.clients) client.close();
      await opened.close();
    }
    await assertIntact(root);
  });
}

/** A folder in memory where there is room: what is raced here is programs, and not the disk. */
export async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(await roomyFolder(), "longshore-race-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Bytes: some tests leave a hundred megabytes, and several may run at once. */
const roomBytesMin = 1024 ** 3;

async function roomyFolder(): Promise<string> {
  const memory = "/dev/shm";
  const found = await statfs(memory).catch(() => undefined);
  const isRoomy = found !== undefined && found.bavail * found.bsize >= roomBytesMin;
  return isRoomy ? memory : tmpdir();
}

async function openInProcess(root: string): Promise<Opened> {
  const failures: string[] = [];
  const registry = await compose({
    storage: { root },
    report: (problem, error) => failures.push(`${problem}: ${inspect(error)}`),
  });
  const server = await serve({
    handle: registry.handle,
    host: "127.0.0.1",
    port: 0,
    onError: (error) => failures.push(inspect(error)),
  });
  return {
    clients: [new Client(server.url)],
    servers: [],
    failures: () => failures,
    close: async () => {
      await server.close({ drainMs: 0 });
      await registry.close();
    },
  };
}

async function openTwoProcesses(root: string, folder: string): Promise<Opened> {
  const folders = ["a", "b"].map((name) => join(folder, name));
  const servers = await Promise.all(
    folders.map(async (own) => {
      await mkdir(own);
      return await ServerProcess.start({ root, folder: own });
    }),
  );
  return {
    clients: servers.map(({ url }) => new Client(url)),
    servers,
    failures: () => servers.map(({ log }) => log).filter((log) => log !== ""),
    close: async () => {
      // Whichever test left it stopped, it has to end.
      for (const server of servers) server.signal("SIGCONT");
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

/** Whatever was answered: what lies under a digest hashes to it. Resolves with the digests. */
export async function assertIntact(root: string): Promise<readonly string[]> {
  const blobs = join(root, "docker/registry/v2/blobs/sha256");
  const found: string[] = [];
  const entries = await readdir(blobs, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const hex = entry.parentPath.split("/").at(-1) ?? "";
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(join(entry.parentPath, entry.name))) {
      hash.update(chunk as Buffer);
    }
    assert.equal(hash.digest("hex"), hex, `${hex}/${entry.name} holds other bytes`);
    found.push(`sha256:${hex}`);
  }
  return found;
}

/** Files that an upload or a removal should not have left behind. */
export async function strayFiles(root: string): Promise<readonly string[]> {
  const folders = ["uploads", "trash"].map((name) => join(root, "longshore", name));
  const names = await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])));
  return names.flat();
}
