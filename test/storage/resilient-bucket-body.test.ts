/** Bodies that break off, stall, end early or are not what they were: taken up where they stood. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StorageError, StorageUnavailable } from "../../src/storage/blob-store.ts";
import { BucketError } from "../../src/storage/objects/object-bucket.ts";
import {
  defaultResilience,
  type ResilienceSettings,
} from "../../src/storage/objects/resilient-bucket-settings.ts";
import { makeResilient } from "../../src/storage/objects/resilient-bucket.ts";
import { noise } from "../http/content.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import { FaultyBucket, readAll, type BodyFault, type Fault } from "./faulty-bucket.ts";
import { VirtualTime } from "./virtual-time.ts";

const { attemptMs, callFactor, idleMs, resumeMs, resumes } = defaultResilience;

const content = noise(20_000, "resumed");

/** The object's requests meet these faults, one after another, and then none. */
function given(faults: readonly Fault[], settings: Partial<ResilienceSettings> = {}) {
  const time = new VirtualTime();
  const store = new FaultyBucket(time, (_, index) => faults[index] ?? {});
  store.objects.set("a", content);
  const bucket = makeResilient(store, { timing: time, settings });
  return { time, store, bucket };
}

async function opened(
  { bucket, time }: ReturnType<typeof given>,
  span?: { readonly start: number; readonly end: number },
) {
  const found = await time.until(bucket.get("a", span, {}));
  assert(found !== undefined);
  return found;
}

function body(does: BodyFault["does"], at: number): Fault {
  return { body: { at, does } };
}

describe("The body of an object", () => {
  for (const does of ["break", "stall", "end"] as const) {
    it(`goes on where it stood when it comes to a ${does}`, async () => {
      const faults = [body(does, 3500), body(does, 0), body(does, 4000)];
      const registry = given(faults);
      const { size, body: stream } = await opened(registry, { start: 100, end: 15_099 });
      assert.equal(size, 15_000);
      const bytes = await readAll(registry.time, stream);
      assert(Buffer.from(bytes).equals(content.subarray(100, 15_100)));
      const { openBodies, requests } = registry.store;
      assert.deepEqual(
        requests.map(({ span }) => span?.start),
        [100, 3600, 3600, 7600],
      );
      assert(requests.every(({ span }) => span?.end === 15_099));
      assert.equal(openBodies, 0);
      assert.equal(registry.time.pending, 0);
    });
  }

  it("goes on for as long as it gets on, and not without", async () => {
    const patient = given(
      Array.from({ length: 19 }, () => body("break", 1000)),
      { resumeProgressBytes: 1000 },
    );
    const whole = await opened(patient);
    assert(Buffer.from(await readAll(patient.time, whole.body)).equals(content));
    assert.equal(patient.store.requests.length, 20);

    const stuck = given(
      Array.from({ length: 30 }, (_, index) => body("break", index === 0 ? 5000 : 0)),
      { resumeProgressBytes: 1000 },
    );
    const { body: stream } = await opened(stuck);
    await assert.rejects(readAll(stuck.time, stream), StorageUnavailable);
    assert.equal(stuck.store.requests.length, resumes + 1);
    assert.equal(stuck.store.openBodies, 0);
  });

  it("is waited for while the store is away for some seconds", async () => {
    const away = Array.from({ length: 9 }, (): Fault => ({ does: "transient" }));
    const registry = given([body("break", 5000), ...away]);
    const { body: stream } = await opened(registry);
    assert(Buffer.from(await readAll(registry.time, stream)).equals(content));
    assert(registry.time.now() > 10_000, `${registry.time.now()} ms`);
  });

  it("comes to an end while the store hangs", async () => {
    const registry = given([
      body("stall", 5000),
      ...Array.from({ length: 99 }, (): Fault => ({ does: "hang" })),
    ]);
    const { body: stream } = await opened(registry);
    await assert.rejects(readAll(registry.time, stream), StorageUnavailable);
    const longestMs = idleMs + resumeMs + attemptMs * callFactor;
    assert(registry.time.now() < longestMs, `${registry.time.now()} ms`);
    assert.equal(registry.time.pending, 0);
  });

  it("is not called stalled while nobody reads it, or while it is slow and steady", async () => {
    const registry = given([]);
    const { body: stream } = await opened(registry);
    const reader = stream.getReader();
    let read = 0;
    for (;;) {
      const { done, value } = await registry.time.until(reader.read());
      if (done) break;
      read += value.byteLength;
      await registry.time.pass(60_000);
    }
    assert.equal(read, content.byteLength);
    assert.equal(registry.store.requests.length, 1);

    const slow = { at: Infinity, does: "end", chunkBytes: 2000, chunkMs: 500 } as const;
    const steady = given([{ body: slow }], { bytesPerSecondMin: 4000 });
    const { body: slowly } = await opened(steady);
    assert(Buffer.from(await readAll(steady.time, slowly)).equals(content));
    assert.equal(steady.store.requests.length, 1);
  });

  it("that comes in drops is given up, however regular they are", async () => {
    const drops: Fault = { body: { at: Infinity, does: "end", chunkBytes: 1, chunkMs: 5000 } };
    const registry = given(Array.from({ length: 99 }, () => drops));
    const { body: stream } = await opened(registry);
    await assert.rejects(readAll(registry.time, stream), StorageUnavailable);
    assert.equal(registry.store.requests.length, resumes + 1);
  });

  it("is an error, and no other content, when the object is gone or has changed", async () => {
    const gone = given([body("break", 5000)]);
    const first = await opened(gone);
    gone.store.objects.delete("a");
    await assert.rejects(readAll(gone.time, first.body), isFinal(/gone after 5000 bytes/));

    const shorter = given([body("break", 5000)]);
    const second = await opened(shorter);
    shorter.store.objects.set("a", content.slice(0, 6000));
    await assert.rejects(readAll(shorter.time, second.body), isFinal(/gives 1000 bytes/));

    const longer = given([body("grow", 20_000)]);
    const third = await opened(longer);
    await assert.rejects(readAll(longer.time, third.body), isFinal(/more than 20000 bytes/));

    const refused = given([body("break", 5000), { does: "permanent" }]);
    const fourth = await opened(refused);
    await assert.rejects(readAll(refused.time, fourth.body), isFinal(/access denied/));
    assert.equal(refused.store.requests.length, 2);
    for (const { store } of [gone, shorter, longer, refused]) assert.equal(store.openBodies, 0);
  });

  it("ends with its reader, and with its caller", async () => {
    const cancelled = given([]);
    const { body: unread } = await opened(cancelled);
    await unread.cancel("enough");
    assert.equal(cancelled.store.openBodies, 0);
    assert.equal(cancelled.store.requests[0]?.signal?.aborted, true);

    for (const faults of [[], [body("stall", 0)]]) {
      const registry = given(faults);
      const controller = new AbortController();
      const { signal } = controller;
      const found = await registry.bucket.get("a", undefined, { signal });
      const reading = assert.rejects(
        readAll(registry.time, found?.body ?? new ReadableStream()),
        /^gone$/,
      );
      controller.abort("gone");
      await reading;
      assert.equal(registry.store.openBodies, 0);
      assert.equal(registry.time.pending, 0);
      assert.equal(registry.time.now(), 0);
    }
  });

  it("is closed when it is opened only after its time", async () => {
    const late: Fault = { afterMs: attemptMs + 1000 };
    const registry = given([late]);
    const { body: stream } = await opened(registry);
    assert(Buffer.from(await readAll(registry.time, stream)).equals(content));
    await registry.time.pass(10_000);
    assert.equal(registry.store.openBodies, 0);
  });

  it("of nothing is nothing", async () => {
    const registry = given([]);
    registry.store.objects.set("a", new Uint8Array());
    const { body: stream, size } = await opened(registry);
    assert.equal(size, 0);
    assert.equal((await readAll(registry.time, stream)).byteLength, 0);
  });
});

function isFinal(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof StorageError && !(error instanceof StorageUnavailable), String(error));
    assert.match(error.message, message);
    return true;
  };
}

describe("Any faults, in any order", () => {
  it("end in the right bytes or in an error, in time, and leave nothing open", async (t) => {
    const seed = seedFrom("SEED");
    t.diagnostic(`SEED=${seed}`);
    const bits = new Random(seed);
    const random = (): number => bits.bits() / 2 ** 32;
    const outcomes = { whole: 0, failed: 0 };
    for (let round = 0; round < 150; round += 1) {
      outcomes[await oneRound(random)] += 1;
    }
    t.diagnostic(JSON.stringify(outcomes));
    assert(outcomes.whole > 10 && outcomes.failed > 10, JSON.stringify(outcomes));
  });
});

async function oneRound(random: () => number): Promise<"whole" | "failed"> {
  const time = new VirtualTime(random);
  const badness = random();
  const store = new FaultyBucket(time, () => (random() < badness ? randomFault(random) : {}));
  store.objects.set("a", content);
  const bucket = makeResilient(store, { timing: time });
  const begunAt = time.now();
  try {
    const head = await time.until(bucket.head("a", {}));
    assert.equal(head?.size, content.byteLength);
    await time.until(bucket.put("b", [content], {}));
    assert.deepEqual(store.objects.get("b"), content);
    const found = await time.until(bucket.get("a", undefined, {}));
    assert(found !== undefined);
    const bytes = await readAll(time, found.body);
    assert(Buffer.from(bytes).equals(content));
    return "whole";
  } catch (error) {
    if (!(error instanceof StorageUnavailable || error instanceof BucketError)) throw error;
    return "failed";
  } finally {
    const callMs = (attemptMs + 1000) * callFactor;
    const tookMs = time.now() - begunAt;
    const bodyMs = (resumes + 1) * (idleMs + resumeMs + callMs);
    assert(tookMs < 3 * callMs + bodyMs, `${tookMs} ms`);
    // What answers late is closed, too.
    await time.pass(3_600_000);
    assert.equal(store.openBodies, 0);
    assert.equal(time.pending, 0);
  }
}

function randomFault(random: () => number): Fault {
  const pick = <T>(...values: readonly [T, ...T[]]): T =>
    values[Math.floor(random() * values.length)] ?? values[0];
  const afterMs = pick(0, 10, 2000, attemptMs + 1);
  const at = Math.floor(random() * content.byteLength);
  const bodyFault: BodyFault = { at, does: pick("break", "stall", "end") };
  const does = pick("ok", "transient", "lost", "hang", "ok", "ok", "ok", "permanent");
  return { afterMs, does, body: bodyFault };
}
