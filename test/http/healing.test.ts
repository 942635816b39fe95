/** Content that was lost or damaged on disk comes back when somebody pushes it again (I1). */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createRegistry } from "../../src/index.ts";
import type { EmbeddedRegistry } from "../../src/index.ts";

const base = "http://localhost/v2/team/app";

async function pushed(t: TestContext, size: number) {
  const root = await mkdtemp(join(tmpdir(), "longshore-healing-"));
  const registry = await createRegistry({ storage: { root } });
  t.after(async () => {
    await registry.close();
    await rm(root, { recursive: true });
  });
  const bytes = randomBytes(size);
  const hex = createHash("sha256").update(bytes).digest("hex");
  const push = () => ask(registry, "POST", `/blobs/uploads/?digest=sha256:${hex}`, bytes);
  assert.equal((await push()).status, 201);
  const folder = join(root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex);
  return { registry, bytes, digest: `sha256:${hex}`, path: join(folder, "data"), push };
}

function ask(registry: EmbeddedRegistry, method: string, path: string, body?: Buffer) {
  const init = body === undefined ? { method } : { method, body: new Uint8Array(body) };
  return registry.fetch(new Request(`${base}${path}`, init));
}

const damages = {
  "cut short": (path: string) => truncate(path, 500),
  gone: (path: string) => rm(path),
};

for (const [name, damage] of Object.entries(damages)) {
  for (const size of [4000, 300_000]) {
    const title = `a blob of ${size} bytes that is ${name} is unknown, and a push heals it`;
    test(title, async (t) => {
      const { bytes, digest, path, push, registry } = await pushed(t, size);
      await damage(path);
      assert.equal((await ask(registry, "GET", `/blobs/${digest}`)).status, 404);
      assert.equal((await ask(registry, "HEAD", `/blobs/${digest}`)).status, 404);
      assert.equal((await push()).status, 201);
      const healed = await ask(registry, "GET", `/blobs/${digest}`);
      assert.equal(healed.status, 200);
      assert.deepEqual(Buffer.from(await healed.arrayBuffer()), bytes);
    });
  }
}

test("the colon of a digest may be percent-encoded, a slash of a name may not", async (t) => {
  const { digest, registry } = await pushed(t, 10);
  const encoded = await ask(registry, "GET", `/blobs/${encodeURIComponent(digest)}`);
  assert.equal(encoded.status, 200);
  const url = `http://localhost/v2/team%2Fapp/blobs/${digest}`;
  assert.equal((await registry.fetch(new Request(url))).status, 404);
});

test("a manifest in 100,000 chunks of one byte costs what it weighs", async (t) => {
  const { registry } = await pushed(t, 10);
  let left = 100_000;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      left -= 1;
      if (left < 0) controller.close();
      else controller.enqueue(new Uint8Array([32]));
    },
  });
  const before = process.memoryUsage();
  const init = { method: "PUT", body, duplex: "half" } as const;
  const answer = await registry.fetch(new Request(`${base}/manifests/latest`, init));
  const after = process.memoryUsage();
  assert.equal(answer.status, 400);
  const grown = after.arrayBuffers - before.arrayBuffers;
  assert.ok(grown < 8 * 1024 * 1024, `${grown} bytes of buffers`);
});
