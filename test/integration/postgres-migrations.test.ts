/** Migrations on PostgreSQL: by many nodes at once, by one that stops, beside older nodes. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Scene } from "../../src/metadata/contract-scene.ts";
import { MetadataUnavailable } from "../../src/metadata/metadata-store.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { migrations, type Migration } from "../../src/metadata/sql/migrations.ts";
import type { TestDatabase } from "./support/database.ts";
import { freshDatabase, openNode, timing } from "./support/interleaving.ts";

const newest = Math.max(...migrations.map(({ version }) => version));

/** What a later version may bring: an index, a column, a table. */
function later(compatibleFrom: number, version = newest + 1): Migration {
  const statements = () => [
    `alter table uploads add column later_${version} bigint`,
    `create table later_${version} (id bigint not null primary key)`,
  ];
  return { version, compatibleFrom, statements };
}

async function versions(database: TestDatabase): Promise<readonly number[]> {
  const rows = await database.query<{ version: string }>(
    "select version from migrations order by version",
  );
  return rows.map(({ version }) => Number(version));
}

const script = fileURLToPath(new URL("support/migrating-process.ts", import.meta.url));

/** A process that opens the database, and says what it does; see `migrating-process.ts`. */
function migrating(t: TestContext, database: TestDatabase, mode: "open" | "stop") {
  const child: ChildProcess = spawn(process.execPath, [script, database.url, mode], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  assert(child.stdout !== null && child.stderr !== null);
  const lines = createInterface(child.stdout);
  const problems = text(child.stderr);
  const exit = once(child, "exit");
  return {
    child,
    said: async () => String((await once(lines, "line"))[0]),
    ended: async () => {
      const [code, signal] = (await exit) as [number | null, string | null];
      assert.deepEqual([code, signal], [0, null], await problems);
    },
  };
}

describe("migrations", () => {
  test("three processes that open a new database at once are no trouble", async (t) => {
    const database = await freshDatabase();
    const processes = [1, 2, 3].map(() => migrating(t, database, "open"));
    await Promise.all(processes.map(({ ended }) => ended()));
    assert.deepEqual(
      await versions(database),
      migrations.map(({ version }) => version),
    );
  });

  test("a process that stops amid one holds up the others for a while only", async (t) => {
    const database = await freshDatabase();
    const stopped = migrating(t, database, "stop");
    assert.equal(await stopped.said(), "amid a migration");
    // It has the lock, and sleeps. The server ends its session, and what it did is taken back.
    const scene = new Scene("awake", await openNode({ url: database.url }));
    await scene.put(scene.repository(), scene.index({ note: "1" }));
    assert.deepEqual(
      await versions(database),
      migrations.map(({ version }) => version),
    );
    stopped.child.kill("SIGCONT");
    // Awake again it finds everything done.
    await stopped.ended();
    assert.deepEqual(
      await versions(database),
      migrations.map(({ version }) => version),
    );
  });

  test("a node does not wait for ever for a lock, and says what it waited for", async () => {
    const database = await freshDatabase();
    await (await openPostgresStore({ url: database.url }, timing)).close();
    const other = await openNode({ url: database.url });
    const held = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const scene = new Scene("reader", other);
    await scene.begin(scene.repository());
    const limits = { lockTimeoutMs: 50, waitMs: 200, idleMs: 10_000 };
    const tools = { ...timing, migrations: [...migrations, later(1)], migrationLimits: limits };
    const stranger = await openNode(
      { url: database.url },
      {
        beforeStatement: ({ name }, sql) => {
          if (name !== "saveUpload" || sql !== "commit") return undefined;
          held.resolve();
          return holding.promise;
        },
      },
    );
    const upload = await scene.begin(scene.repository());
    const save = stranger.execute("saveUpload", { id: upload.id, epoch: 0, lease: "keep" });
    await held.promise;
    await assert.rejects(openPostgresStore({ url: database.url }, tools), (error) => {
      assert(error instanceof MetadataUnavailable);
      assert.match(error.message, /could not be brought up to date within 200 ms/);
      return true;
    });
    // Between its tries others get through.
    assert.notEqual(await scene.store.findUpload(scene.repository(), upload.id), undefined);
    holding.resolve();
    assert.equal((await save).outcome, "saved");
    const opened = await openPostgresStore({ url: database.url }, tools);
    await opened.close();
    assert.deepEqual((await versions(database)).at(-1), newest + 1);
  });

  test("one that fails leaves nothing of itself, and those before it stay", async () => {
    const database = await freshDatabase();
    const broken: Migration = {
      version: newest + 1,
      compatibleFrom: 1,
      statements: () => ["create table half (id bigint)", "create table half (id bigint)"],
    };
    const tools = { ...timing, migrations: [...migrations, broken] };
    await assert.rejects(openPostgresStore({ url: database.url }, tools), /already exists/);
    assert.deepEqual(
      await versions(database),
      migrations.map(({ version }) => version),
    );
    assert.deepEqual(await database.query("select from pg_class where relname = 'half'"), []);
  });
});

describe("a database that a newer version has brought up to date", () => {
  test("is served by older nodes where it says so, also by those that begin now", async () => {
    const database = await freshDatabase();
    const options = { url: database.url, poolSize: 2 };
    const running = new Scene("running", await openNode(options));
    const upload = await running.begin(running.repository());
    const { id } = upload;
    const acquire = { id, repository: upload.repository, writer: "one", leaseMs: 0 };
    const useUpload = async (): Promise<void> => {
      assert.equal((await running.store.findUpload(running.repository(), id))?.id, id);
      assert.equal((await running.store.execute("acquireUpload", acquire)).outcome, "acquired");
    };
    await useUpload();
    await running.putImage(running.repository(), "before", { tags: ["v1"] });
    const tools = { migrations: [...migrations, later(newest)] };
    const newer = await openNode({ url: database.url }, tools);
    await useUpload();
    const begun = new Scene("begun", await openNode({ url: database.url }), { other: newer });
    for (const scene of [running, begun]) {
      const repository = scene.repository();
      const { config, image } = await scene.putImage(repository, "after", { tags: ["v2"] });
      assert.equal(await scene.lookUp(repository, "v2"), image.digest);
      await scene.deleteManifest(repository, image.digest);
      assert.equal((await scene.deleteBlob(repository, config.digest)).outcome, "deleted");
    }
    assert.deepEqual(await running.changes(newer), await running.changes());
  });

  test("is refused where it does not, and left alone", async () => {
    const database = await freshDatabase();
    const tools = { migrations: [...migrations, later(newest), later(newest + 2, newest + 2)] };
    await openNode({ url: database.url }, tools);
    await assert.rejects(openPostgresStore({ url: database.url }, timing), /newer Longshore/);
    assert.deepEqual((await versions(database)).at(-1), newest + 2);
  });
});

describe("where the tables lie", () => {
  test("two registries in two schemas of one database know nothing of each other", async () => {
    const database = await freshDatabase();
    const schemas = ["one", 'a "quoted" one'];
    const scenes: Scene[] = [];
    for (const schema of schemas) {
      scenes.push(new Scene("same", await openNode({ url: database.url, schema })));
    }
    const [one, two] = scenes;
    assert(one !== undefined && two !== undefined);
    await one.put(one.repository(), one.index({ note: "1" }), { tags: ["v1"] });
    assert.deepEqual(await one.tags(one.repository()), ["v1"]);
    assert.equal(await two.tags(two.repository()), undefined);
    assert.equal((await two.changes()).length, 0);
    const rows = await database.query<{ nspname: string }>(
      `select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
       where relname = 'migrations' order by nspname`,
    );
    assert.deepEqual(
      rows.map(({ nspname }) => nspname),
      schemas.toSorted(),
    );
  });

  test("a database that is not in UTF-8 is refused", async () => {
    const database = await freshDatabase();
    const name = `${database.name}_latin`;
    const encoding = "encoding 'SQL_ASCII' locale_provider libc locale 'C' template template0";
    await database.query(`create database ${name} ${encoding}`);
    const url = new URL(database.url);
    url.pathname = `/${name}`;
    try {
      await assert.rejects(openPostgresStore({ url: url.href }, timing), /must be in UTF8/);
    } finally {
      await database.query(`drop database ${name} with (force)`);
    }
  });
});
