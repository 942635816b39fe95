/** A store that is slow or fails: what its callers see of it, and what it sees of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StorageUnavailable } from "../../src/storage/blob-store.ts";
import { BucketError, PartsUnknown } from "../../src/storage/objects/object-bucket.ts";
import {
  defaultResilience,
  type BucketObserver,
  type ResilienceSettings,
} from "../../src/storage/objects/resilient-bucket-settings.ts";
import { makeResilient } from "../../src/storage/objects/resilient-bucket.ts";
import { FaultyBucket, type Fault, type Request } from "./faulty-bucket.ts";
import { VirtualTime } from "./virtual-time.ts";

const mebibyte = 1024 * 1024;
const { attempts, attemptMs, bytesPerSecondMin, callFactor, probeMs } = defaultResilience;

type Called = Parameters<BucketObserver["called"]>[0];
type Retried = Parameters<BucketObserver["retried"]>[0];

function given(
  fault: (request: Request, index: number) => Fault = () => ({}),
  settings: Partial<ResilienceSettings> = {},
) {
  const time = new VirtualTime();
  const store = new FaultyBucket(time, fault);
  const calls: Called[] = [];
  const retries: Retried[] = [];
  const observer: BucketObserver = {
    called: (call) => void calls.push(call),
    retried: (retry) => void retries.push(retry),
  };
  const bucket = makeResilient(store, { timing: time, settings, observer });
  return { time, store, bucket, calls, retries };
}

/** Fails so often, then answers. */
function failing(times: number, fault: Fault): (request: Request, index: number) => Fault {
  return (_, index) => (index < times ? fault : {});
}

function isUnavailable(error: unknown): error is StorageUnavailable {
  assert(error instanceof StorageUnavailable, String(error));
  assert(error.retryAfterMs !== undefined && error.retryAfterMs > 0);
  return true;
}

describe("A call to an object store", () => {
  it("is made once where it is answered, whatever the answer is", async () => {
    const { bucket, calls, retries, store, time } = given();
    store.objects.set("there", new Uint8Array(3));
    assert.equal((await bucket.head("there", {}))?.size, 3);
    assert.equal(await bucket.head("absent", {}), undefined);
    assert.equal(await bucket.get("absent", undefined, {}), undefined);
    const target = { key: "never", id: "begun" };
    await assert.rejects(bucket.completeParts(target, [], {}), PartsUnknown);
    assert.equal(store.requests.length, 4);
    assert.deepEqual(retries, []);
    assert.deepEqual(
      calls.map(({ operation, outcome }) => `${operation} ${outcome}`),
      ["head ok", "head absent", "get absent", "completeParts failed"],
    );
    assert.equal(time.pending, 0);
  });

  it("is not made again where the store refuses it", async () => {
    const { bucket, store, time } = given(() => ({ does: "permanent" }));
    await assert.rejects(time.until(bucket.head("a", {})), (error) => {
      assert(error instanceof BucketError && !error.transient);
      return true;
    });
    assert.equal(store.requests.length, 1);
  });

  it("is made again after failures that pass, and their pauses double", async () => {
    const { bucket, retries, store, time } = given(failing(4, { does: "transient" }));
    await time.until(bucket.put("a", [new Uint8Array(5)], {}));
    assert.equal(store.objects.get("a")?.byteLength, 5);
    assert.deepEqual(
      store.requests.map(({ at }) => at),
      [0, 125, 375, 875, 1875],
    );
    assert(retries.every(({ cause }) => cause === "failure"));
  });

  it("is given up after so many failures, with the time to come back", async () => {
    const { bucket, calls, store, time } = given(() => ({ does: "transient" }));
    await assert.rejects(time.until(bucket.head("a", {})), (error) => {
      assert(isUnavailable(error));
      assert(error.cause instanceof BucketError);
      assert.match(error.message, /^faulty: head failed 5 times: faulty: slow down$/);
      return true;
    });
    assert.equal(store.requests.length, attempts);
    assert.equal(calls[0]?.outcome, "unavailable");
    assert.equal(time.pending, 0);
  });

  it("ends in time where the store hangs, and tells the store so", async () => {
    const { bucket, retries, store, time } = given(() => ({ does: "hang" }));
    await assert.rejects(time.until(bucket.head("a", {})), isUnavailable);
    assert.equal(time.now(), attemptMs * callFactor);
    assert.equal(store.requests.length, 3);
    assert(store.requests.every(({ signal }) => signal?.aborted === true));
    assert(retries.every(({ cause }) => cause === "timeout"));
    assert.equal(time.pending, 0);
  });

  it("has as long as its bytes take on a slow line", async () => {
    const part = [new Uint8Array(6 * mebibyte), new Uint8Array(4 * mebibyte)];
    const slowMs = (10 * mebibyte * 1000) / bytesPerSecondMin;
    const slow = given((request) => ({ afterMs: request.operation === "putPart" ? slowMs : 0 }));
    const id = await slow.time.until(slow.bucket.beginParts("a", {}));
    await slow.time.until(slow.bucket.putPart({ key: "a", id }, 1, part, {}));
    assert.equal(slow.store.requests.length, 2);

    const hanging = given(failing(1, { does: "hang" }));
    const sent = hanging.bucket.putPart({ key: "a", id: "none" }, 1, part, {});
    await assert.rejects(hanging.time.until(sent), PartsUnknown);
    const secondAt = hanging.store.requests[1]?.at ?? 0;
    assert(secondAt >= slowMs + attemptMs && secondAt < slowMs + 2 * attemptMs, `${secondAt}`);
  });

  it("ends at once with its caller's reason, in a try and between tries", async () => {
    const hanging = given(() => ({ does: "hang" }));
    const failed = given(() => ({ does: "transient" }), { backoffMs: 8000, backoffMaxMs: 8000 });
    for (const { bucket, calls, store, time } of [hanging, failed]) {
      const controller = new AbortController();
      const ended = assert.rejects(bucket.head("a", { signal: controller.signal }), /^gone$/);
      await time.pass(3000);
      controller.abort("gone");
      await ended;
      assert.equal(time.now(), 3000);
      assert.equal(time.pending, 0);
      assert.equal(store.requests.length, 1);
      assert.equal(calls[0]?.outcome, "cancelled");
    }
    assert.equal(hanging.store.requests[0]?.signal?.aborted, true);
  });

  it("that sends bytes ends only when nothing reads them any more", async () => {
    const memory = new Uint8Array(100);
    let isReading = false;
    const { store, time } = given();
    store.put = async (_key, _pieces, { signal }) => {
      isReading = true;
      await time.wait(attemptMs * 2);
      isReading = false;
      signal?.throwIfAborted();
    };
    const bucket = makeResilient(store, { timing: time });
    const controller = new AbortController();
    const { signal } = controller;
    const sent = assert.rejects(bucket.put("a", [memory], { signal }), /^gone$/);
    await time.pass(3000);
    controller.abort("gone");
    await time.until(sent);
    assert.equal(isReading, false);
    assert.equal(time.now(), attemptMs * 2);
  });

  it("is not even made for a caller who has gone", async () => {
    const { bucket, store } = given();
    await assert.rejects(bucket.head("a", { signal: AbortSignal.abort("gone") }), /^gone$/);
    assert.equal(store.requests.length, 0);
  });

  it("shows PartsUnknown when the answer of the try before was lost", async () => {
    const { bucket, store, time } = given(({ operation }) => ({
      does: operation === "completeParts" && store.requests.length < 3 ? "lost" : "ok",
    }));
    const key = "a";
    const id = await bucket.beginParts(key, {});
    const tag = await bucket.putPart({ key, id }, 1, [new Uint8Array(7)], {});
    const completed = bucket.completeParts({ key, id }, [{ number: 1, tag }], {});
    await assert.rejects(time.until(completed), PartsUnknown);
    assert.equal((await bucket.head(key, {}))?.size, 7);
  });

  it("that signs a URL has a limit too, and does not care whether the store is up", async () => {
    const { bucket, store, time } = given((request) => ({
      does: request.operation === "url" ? "ok" : "transient",
    }));
    for (let count = 0; count < 10; count += 1) {
      await assert.rejects(time.until(bucket.head("a", {})), isUnavailable);
    }
    assert.equal(await bucket.url("a", "GET"), "https://store.example/a?GET");
    const before = store.requests.length;
    await assert.rejects(time.until(bucket.head("a", {})), isUnavailable);
    assert(store.requests.length <= before + 1);

    const hanging = given(() => ({ does: "hang" }));
    await assert.rejects(hanging.time.until(hanging.bucket.url("a", "GET")), isUnavailable);
  });
});

describe("A store that is down", () => {
  it("keeps two hundred clients waiting for one try, and later ones not at all", async () => {
    const { bucket, store, time } = given(() => ({ does: "hang" }));
    const clients = Array.from({ length: 200 }, async () => {
      await assert.rejects(bucket.head("a", {}), isUnavailable);
      return time.now();
    });
    const endedAt = await time.until(Promise.all(clients));
    const [last = 0, ...others] = endedAt.toSorted((a, b) => b - a);
    assert(others.filter((at) => at > attemptMs + 1000).length <= 5, others.join(" "));
    assert(last <= attemptMs * callFactor, `${last}`);
    assert(store.requests.length <= 210, `${store.requests.length} requests`);

    const before = time.now();
    for (let count = 0; count < 50; count += 1) {
      await assert.rejects(bucket.head("a", {}), (error) => {
        assert(isUnavailable(error));
        return error.retryAfterMs !== undefined && error.retryAfterMs <= probeMs;
      });
    }
    assert.equal(time.now(), before);
  });

  it("is asked once in two seconds, and all are let through when it has answered", async () => {
    let isDown = true;
    const { bucket, store, time } = given(() => (isDown ? { does: "transient" } : {}));
    const ask = (): Promise<boolean> =>
      bucket.head("a", {}).then(
        () => true,
        () => false,
      );
    for (let count = 0; count < 3; count += 1) assert.equal(await time.until(ask()), false);
    const before = store.requests.length;
    const startedAt = time.now();
    while (time.now() < startedAt + 60_000) {
      await time.until(Promise.all(Array.from({ length: 5 }, ask)));
      await time.pass(100);
    }
    const probes = store.requests.length - before;
    assert(probes >= 25 && probes <= 31, `${probes} probes in a minute`);
    isDown = false;
    await time.pass(probeMs);
    const answers = await time.until(Promise.all(Array.from({ length: 50 }, ask)));
    assert.equal(answers[0], true);
    assert.deepEqual(
      new Set(await time.until(Promise.all([ask(), ask(), ask()]))),
      new Set([true]),
    );
  });

  it("costs whoever probes it one try, not all of them", async () => {
    const { bucket, time } = given(() => ({ does: "hang" }));
    const waits: number[] = [];
    for (let count = 0; count < 8; count += 1) {
      const startedAt = time.now();
      await assert.rejects(time.until(bucket.head("a", {})), isUnavailable);
      waits.push(time.now() - startedAt);
      await time.pass(probeMs);
    }
    assert(
      waits.slice(0, 2).every((ms) => ms <= attemptMs * callFactor),
      waits.join(" "),
    );
    assert.deepEqual(new Set(waits.slice(2)), new Set([attemptMs]));
  });

  it("does not keep others out while a probe hangs", async () => {
    let does: "hang" | "ok" = "hang";
    const { bucket, time } = given(() => ({ does }));
    const first = Array.from({ length: 5 }, () => bucket.head("a", {}).catch(() => "down"));
    await time.until(Promise.all(first));
    await time.pass(probeMs);
    const probe = bucket.head("a", {}).catch(() => "down");
    await time.pass(10);
    does = "ok";
    await assert.rejects(bucket.head("a", {}), isUnavailable);
    await time.pass(probeMs);
    assert.equal(await time.until(bucket.head("a", {})), undefined);
    await time.until(probe);
    assert.equal(await time.until(bucket.head("a", {})), undefined);
  });

  it("is not called down for a second without answers", async () => {
    const { bucket, time } = given((request) => (request.at < 1500 ? { does: "transient" } : {}));
    const clients = Array.from({ length: 20 }, () => bucket.head("a", {}));
    assert.deepEqual(new Set(await time.until(Promise.all(clients))), new Set([undefined]));
  });

  it("gets little more than its load where most of what it is asked fails", async () => {
    const { bucket, store, time } = given((_, index) =>
      index % 10 === 0 ? {} : { does: "transient" },
    );
    const calls = 2000;
    for (let count = 0; count < calls; count += 1) {
      await time.until(bucket.head("a", {}).catch(() => undefined));
    }
    const extra = store.requests.length - calls;
    const perSecond = (time.now() / 1000) * defaultResilience.retriesPerSecond;
    const allowed = defaultResilience.retriesMax + 0.1 * calls + perSecond;
    assert(extra <= allowed, `${extra} retries, ${allowed} are allowed`);
  });
});
