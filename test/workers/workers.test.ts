/** `http.workers`: several processes answer on one port, and are one registry. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  assertStatus,
  imageManifest,
  locationOf,
  octets,
  withDigest,
} from "../race/support/client.ts";
import { temporaryFolder } from "../race/support/places.ts";
import { Random, sha256 } from "../race/support/random.ts";
import { Instance } from "./instance.ts";

test("two workers share one port and one registry", async (t) => {
  const instance = await Instance.start(t);
  await t.test("connections are dealt out evenly", () => dealsOutEvenly(instance));
  await t.test("metrics are those of all workers, added up", () => addsUpMetrics(instance));
  await t.test("an upload goes on wherever its next request lands", () => movesAnUpload(instance));
  await t.test("what one has acknowledged the other has at once", () => sharesAtOnce(instance));
  await t.test("on SIGTERM each worker ends what it has begun", () => drains(instance));
});

async function dealsOutEvenly(instance: Instance): Promise<void> {
  const clients = Array.from({ length: 8 }, () => instance.client());
  for (const client of clients) assertStatus(await client.get("/v2/"), 200);
  const workers = await instance.workers();
  assert.deepEqual(
    workers.map(({ connections, requests, up }) => ({ connections, requests, up })),
    [
      { connections: 4, requests: 4, up: 1 },
      { connections: 4, requests: 4, up: 1 },
    ],
  );
  assert.equal(new Set(workers.map((worker) => worker.process_id)).size, 2);
  for (const client of clients) client.close();
  await instance.until((now) => now.every(({ connections }) => connections === 0));
}

async function addsUpMetrics(instance: Instance): Promise<void> {
  const text = await instance.metrics();
  const counted = /^registry_http_requests_total\{handler="base".*\} (\d+)$/m.exec(text)?.[1];
  assert.equal(counted, "8");
  const parts = /^longshore_worker_resident_memory_bytes\{worker="(.*)"\} \d{8,9}$/gm;
  assert.deepEqual(
    [...text.matchAll(parts)].map(([, worker]) => worker),
    ["primary", "1", "2"],
  );
}

async function movesAnUpload(instance: Instance): Promise<void> {
  const random = new Random(1);
  // The second connection goes to the worker that does not have the first.
  const [a, b] = [instance.client(), instance.client()];
  const content = random.bytes(300_000);
  const [first, second] = [content.subarray(0, 100_000), content.subarray(100_000)];
  const begun = await a.beginUpload("upload/moves");
  const patched = await b.patch(begun, 0, first);
  assertStatus(patched, 202);
  const again = await a.patch(locationOf(patched), first.byteLength, second);
  assertStatus(again, 202);
  assertStatus(await b.finish(locationOf(again), sha256(content)), 201);
  for (const client of [a, b]) {
    const pulled = await client.get(`/v2/upload/moves/blobs/${sha256(content)}`);
    assert.equal(sha256(pulled.bytes), sha256(content));
  }
  const workers = await instance.workers();
  assert.deepEqual(
    workers.map(({ connections }) => connections),
    [1, 1],
  );
}

async function sharesAtOnce(instance: Instance): Promise<void> {
  const random = new Random(1);
  const [a, b] = [instance.client(), instance.client()];
  const config = random.bytes(100);
  await a.push("at/once", config);
  for (let version = 0; version < 20; version += 1) {
    const manifest = imageManifest(config, [config.subarray(0, 0)].slice(1));
    const tagged = Buffer.concat([manifest, Buffer.from(" ".repeat(version))]);
    assertStatus(await a.putManifest("at/once", "latest", tagged), 201);
    const pulled = await b.get("/v2/at/once/manifests/latest");
    assert.equal(pulled.header("docker-content-digest"), sha256(tagged));
    assert.deepEqual(pulled.bytes, tagged);
  }
}

async function drains(instance: Instance): Promise<void> {
  const random = new Random(1);
  const uploads = await Promise.all(
    [instance.client(), instance.client()].map(async (client) => {
      const content = random.bytes(200_000);
      const location = await client.beginUpload("drained/upload");
      const target = withDigest(location, sha256(content));
      const request = client.open("PUT", target, {
        ...octets,
        "Content-Length": content.byteLength,
      });
      await request.send(content.subarray(0, 100_000));
      return { content, request };
    }),
  );
  instance.server.signal("SIGTERM");
  // A closed port says that the primary has heard it.
  while (await accepts(instance.server.url)) await Promise.resolve();
  for (const { content, request } of uploads) {
    await request.send(content.subarray(100_000));
    assertStatus(await request.end(), 201);
  }
  assert.equal(await instance.server.ended(), 0, instance.server.log);
  assert.equal(instance.server.log, "");
}

async function accepts(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/v2/`).catch(() => undefined);
  await answer?.body?.cancel();
  return answer !== undefined;
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function serveToItsEnd(folder: string, config: readonly string[]): Promise<Ended> {
  const file = join(folder, "config.yml");
  await writeFile(file, `${config.join("\n")}\n`);
  const child = spawn(process.execPath, ["src/cli/longshore.ts", "serve", file], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

test("a worker that cannot start ends all of them, and says once why", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "longshore"));
  const db = new DatabaseSync(join(folder, "longshore", "metadata.db"));
  db.exec("create table migrations (version integer not null primary key, applied_at integer)");
  db.exec("insert into migrations values (9999, 0)");
  db.close();
  const ended = await serveToItsEnd(folder, [
    "version: 0.1",
    `storage: { filesystem: { rootdirectory: ${JSON.stringify(folder)} } }`,
    'http: { addr: "127.0.0.1:0", workers: 2 }',
  ]);
  assert.equal(ended.code, 1);
  assert.equal(ended.stdout, "");
  assert.equal(ended.stderr.match(/made by a newer Longshore/g)?.length, 1, ended.stderr);
});

test("workers with nothing but memory would be two registries, and are refused", async (t) => {
  const folder = await temporaryFolder(t);
  const ended = await serveToItsEnd(folder, [
    "version: 0.1",
    "storage: { inmemory: {} }",
    'http: { addr: "127.0.0.1:0", workers: 2 }',
  ]);
  assert.equal(ended.code, 1);
  assert.match(ended.stderr, /http\.workers: with the memory storage/);
});
