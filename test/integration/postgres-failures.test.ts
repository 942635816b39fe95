/** A PostgreSQL that ends connections, is silent, or has no room: no wrong answer, no hang. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Client } from "pg";
import { Scene } from "../../src/metadata/contract-scene.ts";
import { MetadataUnavailable } from "../../src/metadata/metadata-store.ts";
import type { PostgresOptions } from "../../src/metadata/postgres/postgres-options.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { until } from "../servers/server.ts";
import { startPostgres } from "../servers/servers.ts";
import type { TestDatabase } from "./support/database.ts";
import { freshDatabase, openNode, StatementGates, timing } from "./support/interleaving.ts";
import { TcpProxy } from "./support/tcp-proxy.ts";

/** A node behind a wire of its own, on a database of its own. */
async function behindWire(options: PostgresOptions = {}, answerMarginMs?: number) {
  const database = await freshDatabase();
  const proxy = await TcpProxy.start(database.url);
  after(() => proxy.close());
  const gates = new StatementGates();
  const { beforeStatement } = gates;
  const store = await openNode(
    { url: proxy.through(database.url), ...options },
    { beforeStatement, ...(answerMarginMs !== undefined && { answerMarginMs }) },
  );
  return { database, proxy, gates, scene: new Scene("wire", store) };
}

async function endSessions(database: TestDatabase): Promise<number> {
  const rows = await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  );
  return rows.length;
}

async function pushes(database: TestDatabase): Promise<number> {
  const rows = await database.query("select from changes where kind = 'manifest.push'");
  return rows.length;
}

function isUnavailable(error: unknown): boolean {
  assert(error instanceof MetadataUnavailable, String(error));
  assert.match(error.message, /^PostgreSQL: /);
  return true;
}

const commitMessage = Buffer.from("commit\0");

describe("a connection that ends", () => {
  test("idle, is replaced, and disturbs nobody", async () => {
    const { database, scene } = await behindWire();
    const repository = scene.repository();
    const { digest } = await scene.put(repository, scene.index({ note: "1" }));
    assert.equal(await scene.lookUp(repository, digest), digest);
    assert((await endSessions(database)) >= 2);
    assert.equal(await scene.lookUp(repository, digest), digest);
    await scene.put(repository, scene.index({ note: "2" }));
    assert.equal(await pushes(database), 2);
  });

  test("amid commands and reads: all are carried out", async () => {
    const { database, scene } = await behindWire();
    const repository = scene.repository();
    const acknowledged: string[] = [];
    const ending = new AbortController();
    const push = async (writer: number): Promise<void> => {
      for (let round = 0; !ending.signal.aborted; round += 1) {
        const tag = `v${writer}-${round}`;
        await scene.put(repository, scene.index({ note: tag }), { tags: [tag] });
        acknowledged.push(tag);
        assert.notEqual(await scene.lookUp(repository, tag), undefined);
      }
    };
    const pushing = Promise.all([1, 2, 3, 4, 5, 6].map(push));
    let ended = 0;
    for (let round = 0; round < 20; round += 1) {
      const before = acknowledged.length;
      await until("some pushes", () => acknowledged.length > before + 5);
      ended += await endSessions(database);
    }
    ending.abort();
    await pushing;
    assert(ended > 20);
    assert.deepEqual((await scene.tags(repository))?.length, acknowledged.length);
    // What was repeated without need is in the log twice.
    assert((await pushes(database)) >= acknowledged.length);
  });

  test("before COMMIT arrives: the command is repeated", async () => {
    const { database, proxy, scene } = await behindWire();
    const repository = scene.repository();
    await scene.put(repository, scene.index({ note: "1" }));
    proxy.watch((piece, direction) => {
      if (direction === "response" || !piece.includes(commitMessage)) return undefined;
      proxy.watch(undefined);
      proxy.cut();
      // It never arrives.
      return new Promise(() => undefined);
    });
    await scene.put(repository, scene.index({ note: "2" }));
    assert.equal(await pushes(database), 2);
  });

  test("before the answer to COMMIT: the command is not carried out twice", async () => {
    const { database, proxy, scene } = await behindWire();
    const repository = scene.repository();
    const upload = await scene.begin(repository, { writer: "one", leaseMs: 60_000 });
    const commit = scene.commitInput(upload, scene.content("blob"));
    const committed = async (): Promise<boolean> =>
      (await database.query("select from changes where kind = 'blob.push'")).length > 0;
    let cut = 0;
    const cutOnce = async (): Promise<void> => {
      await until("the commit", committed);
      cut += 1;
      proxy.cut();
    };
    proxy.watch((piece, direction) => {
      if (direction === "response" || !piece.includes(commitMessage)) return undefined;
      proxy.watch((_piece, answer) => {
        if (answer === "request") return undefined;
        proxy.watch(undefined);
        return cutOnce();
      });
      return undefined;
    });
    const done = await scene.store.execute("commitUpload", commit);
    assert.equal(cut, 1);
    // Repeated, it would have found no upload, and said that it was lost.
    assert.equal(done.outcome, "committed");
    assert.equal((await database.query("select from changes")).length, 1);
  });
});

describe("a server that does not answer", () => {
  test("is given up after a while, and used again when it answers", async () => {
    const options = { statementTimeoutMs: 300, connectTimeoutMs: 300 };
    const { proxy, scene } = await behindWire(options, 100);
    const repository = scene.repository();
    const { digest } = await scene.put(repository, scene.index({ note: "1" }));
    proxy.hold();
    const put = scene.tryPut(repository, scene.index({ note: "2" }));
    const page = scene.store.listChanges({ after: 0, limit: 10 });
    await Promise.all([
      assert.rejects(scene.lookUp(repository, digest), isUnavailable),
      assert.rejects(put, isUnavailable),
      assert.rejects(page, isUnavailable),
    ]);
    proxy.release();
    assert.equal(await scene.lookUp(repository, digest), digest);
    await scene.put(repository, scene.index({ note: "2" }));
  });

  test("is not there: nobody waits for long, and later ones not at all", async () => {
    const { proxy, scene } = await behindWire();
    const { digest } = await scene.put(scene.repository(), scene.index({ note: "1" }));
    proxy.refuse(true);
    proxy.cut();
    const look = () => scene.lookUp(scene.repository(), digest);
    await assert.rejects(look(), isUnavailable);
    const began = performance.now();
    await assert.rejects(look(), isUnavailable);
    assert(performance.now() - began < 1000);
    proxy.refuse(false);
    assert.equal(await look(), digest);
  });

  test("a database that is not there, or wrong credentials, are told at once", async () => {
    const { url } = await freshDatabase();
    const open = async (change: (url: URL) => void): Promise<void> => {
      const wrong = new URL(url);
      change(wrong);
      await openPostgresStore({ url: wrong.href }, timing);
    };
    await assert.rejects(
      open((to) => void (to.pathname = "/nothing-here")),
      /does not exist/,
    );
    await assert.rejects(
      open((to) => void (to.password = "very-secret")),
      (error: Error) => {
        assert.match(error.message, /password authentication failed/);
        assert(!JSON.stringify(error).includes("very-secret"));
        return true;
      },
    );
  });
});

describe("limits", () => {
  test("a statement that takes too long fails, and holds nothing", async () => {
    const { database, scene } = await behindWire({ statementTimeoutMs: 300 });
    const repository = scene.repository();
    await scene.put(repository, scene.index({ note: "1" }));
    const holder = new Client({ connectionString: database.url });
    await holder.connect();
    await holder.query("begin");
    await holder.query("select pg_advisory_xact_lock(hashtextextended($1, 1))", [repository]);
    const put = () => scene.tryPut(repository, scene.index({ note: "2" }));
    await assert.rejects(put(), isUnavailable);
    await holder.query("commit");
    await holder.end();
    assert.deepEqual(await put(), { outcome: "stored" });
  });

  test("a node that stops amid a command loses its locks, and begins anew", async () => {
    const { database, gates, scene } = await behindWire({ statementTimeoutMs: 600 });
    const other = await openNode({ url: database.url });
    const repository = scene.repository();
    const held = gates.hold("putManifest", /^insert into "tags"/);
    const stopped = scene.put(repository, scene.index({ note: "1" }), { tags: ["latest"] });
    await held.reached;
    const second = scene.putInput(repository, scene.index({ note: "2" }), { tags: ["latest"] });
    // It waits until the server has ended the first one's session.
    assert.deepEqual(await other.execute("putManifest", second), { outcome: "stored" });
    held.release();
    await stopped;
    assert.equal(await scene.lookUp(repository, "latest"), scene.index({ note: "1" }).digest);
    assert.equal(await pushes(database), 2);
  });

  test("commands that find no free connection in time fail; reads go on", async () => {
    const { gates, scene } = await behindWire({ poolSize: 3, queueTimeoutMs: 100 });
    const repositories = ["a", "b"].map((name) => scene.repository(name));
    const { digest } = await scene.put(scene.repository(), scene.index({ note: "0" }));
    const held = repositories.map(() => gates.hold("putManifest", /^insert into "payloads"/));
    const puts = repositories.map((each) => scene.put(each, scene.index({ note: "1" })));
    await Promise.all(held.map(({ reached }) => reached));
    await assert.rejects(scene.begin(scene.repository()), (error) => {
      isUnavailable(error);
      assert.match(String(error), /no connection became free within 100 ms: all 2 are in use/);
      return true;
    });
    assert.equal(await scene.lookUp(scene.repository(), digest), digest);
    for (const each of held) each.release();
    await Promise.all(puts);
    await scene.begin(scene.repository());
  });

  test("a server that gives us fewer connections than we want is used with those", async () => {
    const { database, scene: first } = await behindWire();
    await first.put(first.repository(), first.index({ note: "0" }));
    const role = `few_${database.name}`;
    await database.query(`create role ${role} login password 'few' connection limit 4`);
    await database.query(`grant all on all tables in schema public to ${role}`);
    await database.query(`grant all on all sequences in schema public to ${role}`);
    after(() => database.query(`drop owned by ${role}; drop role ${role}`));
    const url = new URL(database.url);
    [url.username, url.password] = [role, "few"];
    const scene = new Scene("few", await openNode({ url: url.href, poolSize: 30 }));
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const repository = scene.repository(`r${index}`);
        await scene.put(repository, scene.index({ note: "1" }), { tags: ["latest"] });
        assert.notEqual(await scene.lookUp(repository, "latest"), undefined);
      }),
    );
    await scene.store.close();
  });
});

describe("a restart of the server", () => {
  test("amid commands loses nothing that was acknowledged", async () => {
    const server = await startPostgres({ own: true });
    after(() => server.stop());
    const scene = new Scene("restart", await openNode({ url: server.endpoint }));
    const repository = scene.repository();
    const acknowledged: string[] = [];
    let failed = 0;
    const restarted = new AbortController();
    const push = async (writer: number): Promise<void> => {
      for (let round = 0; !restarted.signal.aborted; round += 1) {
        const tag = `v${writer}-${round}`;
        try {
          await scene.put(repository, scene.index({ note: tag }), { tags: [tag] });
          acknowledged.push(tag);
        } catch (error) {
          isUnavailable(error);
          failed += 1;
        }
      }
    };
    const pushing = Promise.all([1, 2, 3, 4].map(push));
    for (let round = 0; round < 3; round += 1) {
      const before = acknowledged.length;
      await until("some pushes", () => acknowledged.length > before + 20);
      await server.restart();
    }
    restarted.abort();
    await pushing;
    const tags = new Set(await scene.tags(repository));
    for (const tag of acknowledged) assert(tags.has(tag), `${tag} is lost; ${failed} have failed`);
    await scene.store.close();
  });
});
