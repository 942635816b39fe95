/** The same over real sockets: a server that stalls, resets, truncates and is too busy. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { parseDigest } from "../../src/oci/digest.ts";
import { StorageUnavailable, type StoredUpload } from "../../src/storage/blob-store.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import {
  afterTimeout,
  type ResilienceSettings,
} from "../../src/storage/objects/resilient-bucket-settings.ts";
import { makeResilient } from "../../src/storage/objects/resilient-bucket.ts";
import { content, noise } from "../http/content.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import { BucketServer, type WireFault } from "./bucket-server.ts";
import { MemoryBucket } from "./memory-bucket.ts";
import { SocketBucket } from "./socket-bucket.ts";

/** As the defaults, some fifty times as fast. */
const quick: Partial<ResilienceSettings> = {
  attemptMs: 200,
  slowAttemptMs: 300,
  completeMs: 300,
  // The machine may be busy with other tests.
  callFactor: 10,
  bytesPerSecondMin: 6 * 1024 * 1024,
  backoffMs: 3,
  backoffMaxMs: 40,
  idleMs: 100,
  resumeMs: 300,
  resumeProgressBytes: 16 * 1024,
  downMs: 30,
  probeMs: 20,
};

async function given(t: TestContext) {
  const memory = new MemoryBucket();
  const server = new BucketServer(memory);
  const socket = new SocketBucket(await server.listen(), memory.limits);
  const timing = { now: () => performance.now(), after: afterTimeout, random: Math.random };
  const bucket = makeResilient(socket, { timing, settings: quick });
  const store = createObjectStore({ bucket, newId: randomUUID, now: Date.now });
  t.after(async () => {
    await store.close();
    server.close();
  });
  return { server, memory, store };
}

/** Pushes, reads and compares; what the store's client has to do again, it does. */
async function roundTrip(
  { store }: Awaited<ReturnType<typeof given>>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const id = randomUUID();
  let upload: StoredUpload = { id, state: await store.create(id) };
  for (let offset = 0; offset < bytes.byteLength;) {
    const body = ReadableStream.from([bytes.subarray(offset, offset + 300_000)]);
    const { size, state } = await store.append(upload, body, { offset });
    upload = { id, state };
    offset = size;
  }
  const digest = parseDigest(content(bytes).digest);
  assert(digest !== undefined);
  const key = await store.commit(upload, digest, bytes.byteLength);
  await store.abort(upload, { keep: key });
  const opened = await store.open(key, { size: bytes.byteLength });
  assert(opened !== undefined);
  const read = new Uint8Array(await new Response(opened.body).arrayBuffer());
  assert(Buffer.from(read).equals(bytes));
}

const small = noise(5000, "small");
const large = noise(700_000, "large");

describe("An object store over sockets", { concurrency: 4 }, () => {
  for (const fault of ["stall", "reset", "reset after", "busy", "truncate", "freeze"] as const) {
    it(`takes and gives every byte when the first of each call meets a ${fault}`, async (t) => {
      const registry = await given(t);
      const met = new Set<string>();
      registry.server.fault = ({ operation }) => {
        if (met.has(operation)) return "none";
        met.add(operation);
        return fault;
      };
      for (const bytes of [small, large]) await roundTrip(registry, bytes);
      const { uploads } = registry.memory.backend;
      const lost = fault === "reset after" ? 1 : 0;
      assert.equal(uploads.size, lost, "targets whose answer was lost stay for the sweeper");
    });
  }

  it("fails in time and says so, whatever it does all the time", async (t) => {
    for (const fault of ["stall", "reset", "busy"] as const) {
      const registry = await given(t);
      registry.server.fault = () => fault;
      const startedAt = performance.now();
      await assert.rejects(roundTrip(registry, large), StorageUnavailable);
      const tookMs = performance.now() - startedAt;
      assert(tookMs < 10_000, `${fault}: ${tookMs} ms`);
      registry.server.fault = () => "none";
      let isBack = false;
      while (!isBack) {
        isBack = await roundTrip(registry, small).then(
          () => true,
          (error: unknown) => {
            assert(error instanceof StorageUnavailable, String(error));
            return false;
          },
        );
      }
    }
  });

  it("gives the right bytes or none under any mixture of faults", async (t) => {
    const seed = seedFrom("SEED");
    t.diagnostic(`SEED=${seed}`);
    const random = new Random(seed);
    const registry = await given(t);
    const faults: readonly WireFault[] = ["stall", "reset", "reset after", "busy", "truncate"];
    registry.server.fault = () => (random.chance(0.15) ? random.pick(faults) : "none");
    const outcomes = { whole: 0, failed: 0 };
    for (let round = 0; round < 5; round += 1) {
      const bytes = noise(random.integer(1, 700_000), String(round));
      try {
        await roundTrip(registry, bytes);
        outcomes.whole += 1;
      } catch (error) {
        assert(error instanceof StorageUnavailable, String(error));
        outcomes.failed += 1;
      }
    }
    t.diagnostic(JSON.stringify(outcomes));
    assert(outcomes.whole > 0);
  });
});
