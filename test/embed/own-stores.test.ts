/** The registry on stores that somebody else has made, and what it leaves when it cannot open. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { createRegistry, type EmbeddedRegistry } from "../../src/index.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import type { BlobKey, BlobStore } from "../../src/storage/blob-store.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-embed-"));
after(() => rm(folder, { recursive: true }));

const execute = promisify(execFile);
const index = new URL("../../src/index.ts", import.meta.url).href;

const content = "a layer";
const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

/** What a program prints that ends by itself. */
async function run(program: string): Promise<string> {
  const file = join(await mkdtemp(join(folder, "program-")), "program.mjs");
  await writeFile(file, program);
  const { stdout } = await execute(process.execPath, [file]);
  return stdout;
}

async function push({ fetch }: EmbeddedRegistry): Promise<void> {
  const url = `http://localhost/v2/a/b/blobs/uploads/?digest=${digest}`;
  const answer = await fetch(new Request(url, { method: "POST", body: content }));
  assert.equal(answer.status, 201, await answer.text());
}

function pull({ fetch }: EmbeddedRegistry): Promise<Response> {
  return fetch(new Request(`http://localhost/v2/a/b/blobs/${digest}`));
}

/** A store in memory that tells which keys were read, and whether it was closed. */
function watchedStore(): BlobStore & { readonly opened: BlobKey[]; isClosed: boolean } {
  const store = createMemoryStore({ now: Date.now });
  return {
    opened: [],
    isClosed: false,
    name: "watched",
    keys: store.keys,
    upkeep: store.upkeep,
    open(key, options) {
      this.opened.push(key);
      return store.open(key, options);
    },
    stat: (key) => store.stat(key),
    url: () => Promise.resolve(undefined),
    remove: (key, claim, confirm) => store.remove(key, claim, confirm),
    list: (from) => store.list(from),
    create: (id, prefix) => store.create(id, prefix),
    append: (upload, body, options) => store.append(upload, body, options),
    read: (upload, size, signal) => store.read(upload, size, signal),
    commit: (upload, ofContent, size) => store.commit(upload, ofContent, size),
    abort: (upload, options) => store.abort(upload, options),
    listUploads: (from) => store.listUploads(from),
    close() {
      this.isClosed = true;
      return store.close();
    },
  };
}

test("a registry serves from a store of one's own, and leaves it open", async () => {
  const store = watchedStore();
  const metadata = { sqlite: { path: ":memory:" } };
  const registry = await createRegistry({ storage: store, metadata });
  await push(registry);
  assert.equal(await (await pull(registry)).text(), content);
  assert.equal(store.opened.length, 1);
  await registry.close();
  assert.equal(store.isClosed, false);
  await store.close();
});

test("two registries share stores of one's own: what one takes, the other gives", async () => {
  const store = watchedStore();
  const metadata = await openSqliteStore({ path: ":memory:" });
  const first = await createRegistry({ storage: store, metadata });
  const second = await createRegistry({ storage: store, metadata });
  await push(first);
  await first.close();
  assert.equal(await (await pull(second)).text(), content);
  await second.close();
  await metadata.close();
  await store.close();
});

test("a store of one's own has no place for a database: it has to be said", async () => {
  await assert.rejects(
    createRegistry({ storage: watchedStore() }),
    /^Error: metadata: is required with this storage/,
  );
});

test("a registry that cannot open closes what it has opened", async () => {
  await writeFile(join(folder, "file"), "");
  const options = {
    storage: { root: join(folder, "file", "below") },
    metadata: { sqlite: { path: join(folder, "closed", "metadata.db") } },
  };
  // The database's thread would keep the process alive.
  const program = `
    import { createRegistry } from ${JSON.stringify(index)};
    await createRegistry(${JSON.stringify(options)}).catch(() => console.log("refused"));
  `;
  assert.equal(await run(program), "refused\n");
});

test("a folder and SQLite load no package, neither a vendor's nor the query builder", async () => {
  const options = { storage: { root: join(folder, "data") } };
  // Hooks see what this thread loads; the database's thread has its own.
  const program = `
    import { registerHooks } from "node:module";
    const packages = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        const found = next(specifier, context);
        if (found.url.includes("/node_modules/")) packages.add(specifier);
        return found;
      },
    });
    const { createRegistry } = await import(${JSON.stringify(index)});
    const registry = await createRegistry(${JSON.stringify(options)});
    await registry.close();
    console.log(JSON.stringify([...packages]));
  `;
  assert.equal(await run(program), "[]\n");
});
