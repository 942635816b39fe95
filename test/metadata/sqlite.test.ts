/** What is SQLite's own beside the contract: its files, its writer thread, other processes. */
import assert from "node:assert/strict";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { suite, test, type TestContext } from "node:test";
import type { Worker } from "node:worker_threads";
import { Scene } from "../../src/metadata/contract-scene.ts";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import { migrations } from "../../src/metadata/sql/migrations.ts";
import { refuseNetworkFilesystem } from "../../src/metadata/sqlite/network-filesystem.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { ThreadWriter } from "../../src/metadata/sqlite/writers.ts";
import { newDatabase, onTinyFilesystem, secondProcess, temporaryFolder } from "./sqlite-support.ts";

/** A store that is closed when the test ends, if not before. */
async function open(t: TestContext, path: string): Promise<MetadataStore> {
  const store = await openSqliteStore({ path });
  t.after(() => store.close());
  return store;
}

/** What a database holds, read without the store. */
function read(path: string, query: string): readonly unknown[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare(query)
      .all()
      .map((row) => Object.values(row));
  } finally {
    database.close();
  }
}

suite("migrations", () => {
  const versions = migrations.map(({ version }) => [version]);

  test("a new database is made with its folder, and opened again as it is", async () => {
    const path = await newDatabase();
    for (let round = 0; round < 2; round += 1) {
      const store = await openSqliteStore({ path });
      await store.close();
      assert.deepEqual(read(path, "select version from migrations order by version"), versions);
    }
  });

  test("many processes that open a new database at once are no trouble", async (t) => {
    const path = await newDatabase();
    const processes = await Promise.all(
      Array.from({ length: 4 }, () => secondProcess(t, path, "open")),
    );
    for (const each of processes) each.go();
    await Promise.all(processes.map((each) => each.ended()));
    assert.deepEqual(read(path, "select version from migrations order by version"), versions);
  });

  test("a database that a newer version made is refused, and left alone", async () => {
    const path = await newDatabase();
    await (await openSqliteStore({ path })).close();
    const database = new DatabaseSync(path);
    database.exec("insert into migrations (version, applied_at) values (1000000, 0)");
    database.close();
    await assert.rejects(openSqliteStore({ path }), /newer Longshore/);
    assert.deepEqual(read(path, "select max(version) from migrations"), [[1_000_000]]);
  });

  test("a file that is no database is refused, and left alone", async () => {
    const path = join(await temporaryFolder(), "metadata.db");
    const content = "not a database, and somebody's ".repeat(100);
    await writeFile(path, content);
    await assert.rejects(openSqliteStore({ path }), /not a database/);
    assert.equal((await stat(path)).size, content.length);
  });
});

suite("files", () => {
  test("everything is there after a restart", async (t) => {
    const path = await newDatabase();
    const before = await openSqliteStore({ path });
    const scene = new Scene("kept", before);
    const repository = scene.repository();
    const { config, image } = await scene.putImage(repository, "image", { tags: ["v1"] });
    const upload = await scene.begin(repository);
    const manifest = await scene.manifest(repository, "v1");
    const blob = await scene.blob(repository, config.digest);
    const changes = await scene.changes();
    await before.close();

    const after = new Scene("kept", await open(t, path));
    assert.deepEqual(await after.manifest(repository, image.digest), manifest);
    assert.deepEqual(await after.blob(repository, config.digest), blob);
    assert.deepEqual(await after.store.findUpload(repository, upload.id), upload);
    assert.deepEqual(await after.changes(), changes);
    await after.put(repository, after.index({ note: "more" }), { tags: ["v2"] });
    assert.deepEqual(await after.tags(repository), ["v1", "v2"]);
  });

  test("tags keep the history of what they pointed to", async (t) => {
    const path = await newDatabase();
    const scene = new Scene("history", await open(t, path));
    const repository = scene.repository();
    const [first, second] = [scene.index({ note: "first" }), scene.index({ note: "second" })];
    for (const index of [first, second, second, first]) {
      await scene.put(repository, index, { tags: ["v1"] });
    }
    await scene.deleteTag(repository, "v1");
    await scene.put(repository, second, { tags: ["v1", "v2"] });
    await scene.deleteManifest(repository, second.digest);
    await scene.put(repository, first, { tags: ["v1"] });
    const history = read(
      path,
      "select name, digest, until_at is null, until_at >= from_at from tag_history order by id",
    );
    assert.deepEqual(history, [
      ["v1", first.digest, 0, 1],
      ["v1", second.digest, 0, 1],
      ["v1", first.digest, 0, 1],
      ["v1", second.digest, 0, 1],
      ["v2", second.digest, 0, 1],
      ["v1", first.digest, 1, null],
    ]);
  });

  test("of a manifest's pulls the latest is kept", async (t) => {
    const path = await newDatabase();
    const scene = new Scene("pulls", await open(t, path));
    const { digest } = await scene.put(scene.repository(), scene.index({ note: "pulled" }));
    const { manifestId } = await scene.manifest(scene.repository(), digest);
    for (const at of [2000, 3000, 1000]) {
      await scene.store.execute("recordPulls", { pulls: [{ manifestId, at }] });
    }
    assert.deepEqual(read(path, "select * from manifest_pulls"), [[manifestId, 3000]]);
  });

  test("what is deleted leaves nothing behind", async (t) => {
    const path = await newDatabase();
    const scene = new Scene("gone", await open(t, path));
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { config, image, layer } = await scene.putImage(a, "image", { tags: ["v1"] });
    const index = scene.index({ note: "index", children: [image, layer], subject: image });
    await scene.put(a, index, { tags: ["v2"] });
    const sparse = scene.index({ note: "sparse", children: [index] });
    await scene.put(b, sparse, { optional: [index.digest] });
    for (const blob of [config, layer]) await scene.mount(b, blob.digest);
    const { manifestId } = await scene.manifest(a, index.digest);
    await scene.store.execute("recordPulls", { pulls: [{ manifestId, at: 1 }] });
    for (const { digest } of [index, image]) await scene.deleteManifest(a, digest);
    await scene.deleteManifest(b, sparse.digest);
    for (const { digest } of [config, layer]) {
      for (const repository of [a, b]) await scene.deleteBlob(repository, digest, { graceMs: 0 });
      await scene.claim(digest, digest);
      await scene.deleteClaimed(digest);
    }
    const kept = new Set(["repositories", "tag_history", "changes", "migrations"]);
    const tables = read(path, "select name from sqlite_schema where type = 'table'").flat();
    for (const table of tables.map(String)) {
      if (kept.has(table) || table.startsWith("sqlite_")) continue;
      assert.deepEqual(read(path, `select * from ${table}`), [], table);
    }
  });

  test("the write-ahead log stays small, however much is written", async (t) => {
    const path = await newDatabase();
    const scene = new Scene("log", await open(t, path));
    const annotations = { large: "x".repeat(1_000_000) };
    let largest = 0;
    for (let index = 0; index < 40; index += 1) {
      const note = `large ${index}`;
      await scene.put(scene.repository(), scene.index({ note, annotations }));
      largest = Math.max(largest, (await stat(`${path}-wal`)).size);
    }
    const mebibyte = 1024 * 1024;
    assert(largest < 16 * mebibyte, `${largest} bytes`);
    await scene.put(scene.repository(), scene.index({ note: "small" }));
    assert((await stat(path)).size > 30 * mebibyte);
  });

  test("folders on network filesystems are refused, by name", async () => {
    const network = { NFS: 0x6969, SMB: 0xfe534d42, CIFS: 0xff534d42, CephFS: 0x00c36400 };
    for (const [name, type] of Object.entries(network)) {
      // statfs may give the number as a signed one.
      for (const each of [type, type | 0]) {
        const refuse = (): void => refuseNetworkFilesystem("/data", () => each);
        assert.throws(refuse, new RegExp(`/data lies on ${name}\\.`));
      }
    }
    const local = { ext4: 0xef53, xfs: 0x58465342, btrfs: 0x9123683e, tmpfs: 0x01021994 };
    for (const type of Object.values(local)) {
      refuseNetworkFilesystem("/data", () => type);
    }
    refuseNetworkFilesystem(import.meta.dirname);
  });
});

suite("two processes", () => {
  test("each sees what the other wrote, and nothing is lost", async (t) => {
    const path = await newDatabase();
    const scene = new Scene("shared", await open(t, path));
    const repository = scene.repository();
    const count = 150;
    const second = await secondProcess(t, path, "push", count);
    second.go();
    const expected: string[] = [];
    for (let index = 0; index < count || second.pushed.length < count; index += 1) {
      const tag = `first-${index}`;
      await scene.put(repository, scene.index({ note: tag }), { tags: [tag] });
      expected.push(tag);
      const last = second.pushed.at(-1);
      if (last !== undefined) assert.notEqual(await scene.lookUp(repository, last), undefined);
    }
    await second.ended();
    expected.push(...second.pushed);
    assert.equal(second.pushed.length, count);
    assert.deepEqual(await scene.tags(repository), expected.toSorted());
    const changes = await scene.changes();
    assert.deepEqual(changes.map(({ tag = "" }) => String(tag)).toSorted(), expected.toSorted());
    const positions = changes.map(({ position }) => position);
    assert.equal(new Set(positions).size, positions.length);
  });

  test("what a process was told survives its kill -9", async (t) => {
    const path = await newDatabase();
    const second = await secondProcess(t, path, "die", 25);
    second.go();
    await second.ended("killed");
    const scene = new Scene("shared", await open(t, path));
    const tags = await scene.tags(scene.repository());
    assert.equal(second.pushed.length, 25);
    assert.deepEqual(tags, second.pushed.toSorted());
    assert.equal((await scene.changes()).length, 25);
  });
});

async function fillAndFree(scene: Scene, filler: string): Promise<void> {
  const repository = scene.repository();
  const { digest } = await scene.put(repository, scene.index({ note: "before" }));
  await assert.rejects(writeFile(filler, new Uint8Array(4 << 20)), /ENOSPC/);
  const annotations = { large: "x".repeat(500_000) };
  const large = ["1", "2", "3"].map((note) => scene.index({ note, annotations }));
  const puts = await Promise.allSettled(
    large.map((index) => scene.put(repository, index, { tags: ["large"] })),
  );
  for (const { status } of puts) assert.equal(status, "rejected");
  assert.equal(await scene.lookUp(repository, digest), digest);
  assert.equal(await scene.lookUp(repository, "large"), undefined);
  await rm(filler);
  const [again] = large;
  assert(again !== undefined);
  await scene.put(repository, again, { tags: ["large"] });
  assert.equal(await scene.lookUp(repository, "large"), again.digest);
  assert.equal((await scene.changes()).length, 2);
}

suite("failures", () => {
  test("a writer thread that dies fails all who wait, and all who come", async (t) => {
    const path = await newDatabase();
    const { promise, resolve } = Promise.withResolvers<Worker>();
    process.once("worker", resolve);
    const scene = new Scene("dead", await open(t, path));
    const { digest } = await scene.push(scene.repository(), "before");
    const waiting = Array.from({ length: 50 }, (_value, index) =>
      assert.rejects(scene.push(scene.repository(), `blob ${index}`), /writer has ended/),
    );
    await (await promise).terminate();
    await Promise.all(waiting);
    await assert.rejects(scene.push(scene.repository(), "later"), /writer has ended/);
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
  });

  test("a writer thread that cannot begin fails all who wait", async () => {
    const writer = new ThreadWriter(await temporaryFolder());
    const pull = { name: "recordPulls", input: { pulls: [] } } as const;
    for (let round = 0; round < 2; round += 1) {
      await assert.rejects(writer.execute(pull), /unable to open database file/);
    }
    await writer.close();
  });

  test("a log that cannot be written is an error", async () => {
    const path = await newDatabase();
    await mkdir(`${path}-wal`, { recursive: true });
    await assert.rejects(openSqliteStore({ path }));
  });

  test("a full disk fails commands, not reads, until there is room again", async (t) => {
    await onTinyFilesystem(t, { mebibytes: 4 }, async (folder) => {
      const store = await openSqliteStore({ path: join(folder, "metadata.db") });
      try {
        await fillAndFree(new Scene("full", store), join(folder, "filler"));
      } finally {
        await store.close();
      }
    });
  });

  test("after close everything fails, and what came before it is done", async (t) => {
    for (const path of [await newDatabase(), ":memory:"]) {
      const store = await openSqliteStore({ path });
      const scene = new Scene("closed", store);
      const repository = scene.repository();
      const waiting = Array.from({ length: 20 }, (_value, index) => {
        const tag = `v${index}`;
        return scene.put(repository, scene.index({ note: tag }), { tags: [tag] });
      });
      await store.close();
      await Promise.all(waiting);
      await assert.rejects(scene.begin(repository));
      await assert.rejects(scene.tags(repository));
      await store.close();
      if (path === ":memory:") continue;
      const again = new Scene("closed", await open(t, path));
      assert.equal((await again.tags(repository))?.length, 20);
    }
  });
});
