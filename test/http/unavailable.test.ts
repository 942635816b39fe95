/** A backend that is away: 503 with the time to come back, and never a wrong success. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { get, type IncomingMessage } from "node:http";
import { Writable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { compose } from "../../src/app.ts";
import { toResponse } from "../../src/http/exchange.ts";
import { MetadataUnavailable, type MetadataStore } from "../../src/metadata/metadata-store.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { serve } from "../../src/node/serve.ts";
import { describeError } from "../../src/observe/error-text.ts";
import { createRequestObserver } from "../../src/observe/request-observer.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { afterTimeout } from "../../src/storage/objects/resilient-bucket-settings.ts";
import { makeResilient } from "../../src/storage/objects/resilient-bucket.ts";
import { BucketServer, type WireFault } from "../storage/bucket-server.ts";
import { MemoryBucket } from "../storage/memory-bucket.ts";
import { SocketBucket } from "../storage/socket-bucket.ts";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { carryInProcess, Client } from "./client.ts";
import { content, image, noise, type Content } from "./content.ts";
import { beginUpload, ending, expectBlob, pushBlob, pushImage } from "./pushing.ts";

const repository = "team/app";

/** As the defaults, some fifty times as fast. */
const quick = {
  ...{
    attemptMs: 200,
    callFactor: 10,
    slowAttemptMs: 300,
    completeMs: 300,
    bytesPerSecondMin: 6 * 1024 * 1024,
  },
  ...{ backoffMs: 3, backoffMaxMs: 40, idleMs: 100, resumeMs: 150, downMs: 30, probeMs: 20 },
};

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly err?: unknown;
}

/** A registry on an object store behind a socket, and on a database that can be away. */
async function given(t: TestContext) {
  const memory = new MemoryBucket();
  const server = new BucketServer(memory);
  const socket = new SocketBucket(await server.listen(), memory.limits);
  const timing = { now: () => performance.now(), after: afterTimeout, random: Math.random };
  const bucket = makeResilient(socket, { timing, settings: quick });
  const store = createObjectStore({ bucket, newId: randomUUID, now: Date.now });
  const database = await openSqliteStore({ path: ":memory:" });
  const failing = { isDown: false };
  const lines: Line[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      for (const line of chunk.toString().trim().split("\n")) lines.push(JSON.parse(line) as Line);
      done();
    },
  });
  const logger = pino({ level: "info", serializers: { err: describeError } }, sink);
  const registry = await compose({
    storage: store,
    metadata: mayFail(database, failing),
    upkeep: false,
    observe: createRequestObserver({ logger, metrics: undefined, accessLog: undefined }),
  });
  const client = new Client(
    carryInProcess(async (request) => toResponse(await registry.handle(request))),
  );
  t.after(async () => {
    await registry.close();
    await database.close();
    await store.close();
    server.close();
  });
  return { client, failing, lines, registry, server };
}

function mayFail(database: MetadataStore, state: { readonly isDown: boolean }): MetadataStore {
  return new Proxy(database, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: readonly unknown[]): unknown => {
        const cause = new Error("postgres://u:hunter2@db.example/x refused");
        if (state.isDown) throw new MetadataUnavailable("the database is away", { cause });
        return Reflect.apply(value, target, args);
      };
    },
  });
}

function expectUnavailable(answer: Answer): void {
  expectError(answer, 503, "UNAVAILABLE");
  assert(Number(answer.required("retry-after")) >= 1, answer.toString());
}

/** Asks until the store is taken for up again. */
async function untilUp(ask: () => Promise<Answer>, status: number): Promise<void> {
  for (;;) {
    const answer = await ask();
    if (answer.status === status) return;
    expectUnavailable(answer);
  }
}

function blobPath({ digest }: Content): string {
  return `/v2/${repository}/blobs/${digest}`;
}

describe("While the object store is away", () => {
  for (const fault of ["stall", "reset", "busy"] as const) {
    it(`(${fault}) what needs it is 503, all else goes on, and nothing is lost`, async (t) => {
      const { client, lines, server } = await given(t);
      const pushed = await pushImage(client, repository, image({ seed: fault }), "latest");
      const [small, ...large] = [content(noise(50, fault)), content(noise(400_000, fault))];
      const [layer] = large;
      assert(small !== undefined && layer !== undefined);
      await pushBlob(client, repository, layer);
      const upload = await beginUpload(client, repository);
      lines.length = 0;

      server.fault = () => fault;
      expectUnavailable(await client.get(blobPath(layer)));
      expectUnavailable(await client.get(blobPath(layer), { Range: "bytes=0-9" }));
      expectUnavailable(await client.patch(upload, small.bytes));
      const push = `/v2/${repository}/blobs/uploads/?digest=${small.digest}`;
      expectUnavailable(await client.post(push, small.bytes));
      expectUnavailable(await client.post(`/v2/a/b/blobs/uploads/?mount=${layer.digest}`));
      expectAnswer(await client.head(blobPath(small)), 404);
      expectAnswer(await client.head(blobPath(layer)), 200);
      expectAnswer(await client.get(`/v2/${repository}/manifests/latest`), 200);
      expectAnswer(await client.get(`/v2/${repository}/tags/list`), 200);
      assert.deepEqual(
        lines.filter(({ msg }) => msg.startsWith("unavailable: ")).map(({ level }) => level),
        [40, 40, 40, 40, 40],
        JSON.stringify(lines),
      );
      assert(lines.every(({ err }) => err === undefined));

      server.fault = () => "none";
      await untilUp(() => client.get(blobPath(layer)), 200);
      for (const blob of [layer, ...pushed.blobs]) await expectBlob(client, repository, blob);
      const stood = await client.get(upload);
      expectAnswer(stood, 204, { range: "0-0" });
      expectAnswer(await client.patch(stood.required("location"), small.bytes), 202);
      const end = ending((await client.get(upload)).required("location"), small.digest);
      expectAnswer(await client.put(end), 201);
      await expectBlob(client, repository, small);
    });
  }

  it("a body that breaks off for good ends the connection before its end", async (t) => {
    const { client, registry, server } = await given(t);
    const layer = content(noise(400_000, "broken"));
    await pushBlob(client, repository, layer);
    const served = await serve({ handle: registry.handle, port: 0, host: "127.0.0.1" });
    t.after(() => served.close({ drainMs: 0 }));
    const read = async (): Promise<{ readonly bytes: number; readonly isWhole: boolean }> => {
      const { promise, reject, resolve } = Promise.withResolvers<IncomingMessage>();
      get(`${served.url}${blobPath(layer)}`, { agent: false }, resolve).on("error", reject);
      const answer = await promise;
      assert.equal(answer.statusCode, 200);
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => (bytes += chunk.byteLength));
      const ended = Promise.withResolvers<void>();
      answer.on("error", () => undefined);
      answer.on("close", ended.resolve);
      await ended.promise;
      return { bytes, isWhole: answer.complete };
    };
    const firstOnly = (first: WireFault, then: WireFault): void => {
      let gets = 0;
      server.fault = () => ((gets += 1) === 1 ? first : then);
    };
    firstOnly("truncate", "none");
    assert.deepEqual(await read(), { bytes: 400_000, isWhole: true });
    for (const then of ["reset", "stall"] as const) {
      firstOnly("truncate", then);
      const { bytes, isWhole } = await read();
      assert.equal(isWhole, false);
      assert(bytes < 400_000);
      server.fault = () => "none";
      await untilUp(() => client.get(blobPath(layer)), 200);
    }
    firstOnly("truncate", "reset");
    const answer = await registry.handle(new Request(`http://localhost${blobPath(layer)}`));
    assert.equal(answer.status, 200);
    await assert.rejects(new Response(answer.body).arrayBuffer());
  });
});

describe("While the database is away", () => {
  it("everything is 503, and the log says why, once for each request", async (t) => {
    const { client, failing, lines } = await given(t);
    const pushed = await pushImage(client, repository, image({ seed: "database" }), "latest");
    const [config] = pushed.blobs;
    assert(config !== undefined);
    lines.length = 0;
    failing.isDown = true;
    const manifest = `/v2/${repository}/manifests/latest`;
    for (const path of [
      blobPath(config),
      manifest,
      `/v2/${repository}/tags/list`,
      "/v2/_catalog",
    ]) {
      expectUnavailable(await client.get(path));
    }
    for (const path of [blobPath(config), manifest]) {
      const answer = await client.head(path);
      expectAnswer(answer, 503, { "retry-after": "2" });
    }
    expectUnavailable(await client.post(`/v2/${repository}/blobs/uploads/`));
    expectUnavailable(
      await client.put(manifest, pushed.bytes, { "Content-Type": pushed.mediaType }),
    );
    expectAnswer(await client.get("/v2/"), 200);
    assert.equal(lines.length, 8);
    for (const { level, msg } of lines) {
      assert.equal(level, 40);
      const expected = "unavailable: the database is away (postgres://db.example/x refused)";
      assert.equal(msg, expected);
    }
    failing.isDown = false;
    expectAnswer(await client.get(manifest), 200);
  });
});
