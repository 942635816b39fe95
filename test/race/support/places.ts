/** Where the races are run: in this process over a socket, and in two processes on one root. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
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

type Opening = (root: string, folder: string) => Promise<Opened>;
type Race = (place: Place, context: TestContext) => Promise<void>;

/** A kind of place. It is opened once for the tests of a file, which run one after the other. */
class Kind {
  readonly name: string;
  readonly #open: Opening;
  #place: Promise<Opened & { readonly root: string }> | undefined;

  constructor(name: string, open: Opening) {
    this.name = name;
    this.#open = open;
  }

  place(): Promise<Opened & { readonly root: string }> {
    this.#place ??= this.#make();
    return this.#place;
  }

  async #make(): Promise<Opened & { readonly root: string }> {
    const folder = await mkdtemp(join(await roomyFolder(), "longshore-race-"));
    const root = join(folder, "root");
    const opened = await this.#open(root, folder);
    const close = async (): Promise<void> => {
      for (const client of opened.clients) client.close();
      await opened.close();
      await rm(folder, { recursive: true, force: true });
    };
    return { ...opened, root, close };
  }

  async close(): Promise<void> {
    const place = await this.#place;
    await place?.close();
  }
}

const inProcess = new Kind("in process", openInProcess);
const twoProcesses = new Kind("two processes", openTwoProcesses);

after(() => Promise.all([inProcess.close(), twoProcesses.close()]));

/** Runs the race in each kind of place, with a new seed each time; RACE_SEED repeats one. */
export function race(name: string, run: Race): void {
  for (const kind of [inProcess, twoProcesses]) raceIn(`${name} (${kind.name})`, kind, run);
}

/** A race that needs two processes. */
export function raceOfProcesses(name: string, run: Race): void {
  raceIn(name, twoProcesses, run);
}

function raceIn(name: string, kind: Kind, run: Race): void {
  test(name, async (context) => {
    const seed = seedFrom("RACE_SEED");
    context.diagnostic(`RACE_SEED=${seed}`);
    const place = await kind.place();
    try {
      await run({ ...place, random: new Random(seed) }, context);
      assert.deepEqual(place.failures(), [], "nothing failed inside");
      await assertIntact(place.root);
    } catch (error) {
      const said = place.failures().join("\n");
      throw new Error(`RACE_SEED=${seed}\n${said}`, { cause: error });
    } finally {
      // Whichever test left it stopped, the next one needs it.
      for (const server of place.servers) server.signal("SIGCONT");
    }
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
