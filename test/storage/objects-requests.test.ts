/** What uploads and pulls cost on an object store, in requests and in memory. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { StorageError, type BlobStore, type StoredUpload } from "../../src/storage/blob-store.ts";
import { begin, bodyOf, contentOf, digest, someBytes } from "../../src/storage/contract-support.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { MemoryBucket, type MemoryBucketOptions } from "./memory-bucket.ts";

const partBytes = 256 * 1024;

function nodeOn(bucket: MemoryBucket): BlobStore {
  return createObjectStore({ bucket, newId: randomUUID, now: Date.now });
}

function open(options: MemoryBucketOptions = {}): { bucket: MemoryBucket; store: BlobStore } {
  const bucket = new MemoryBucket(options);
  return { bucket, store: nodeOn(bucket) };
}

/** POST, PATCH with everything, PUT without a body: as most clients push. */
async function push(store: BlobStore, size: number, committer: BlobStore = store): Promise<void> {
  const bytes = someBytes(size);
  const { id, state } = await begin(store, "push");
  const appended = await store.append({ id, state }, bodyOf([bytes]), { offset: 0 });
  const upload = { id, state: appended.state };
  const key = await committer.commit(upload, digest(bytes), size);
  await committer.abort(upload, { keep: key });
}

test("content below a part's size costs one request", async () => {
  const { bucket, store } = open();
  await push(store, partBytes - 1);
  assert.deepEqual(bucket.calls, ["put"]);
});

test("another node that commits small content looks once", async () => {
  const { bucket, store } = open();
  const other = new MemoryBucket({ objects: bucket.backend });
  await push(store, 1000, nodeOn(other));
  assert.deepEqual([...bucket.calls, ...other.calls], ["put", "head"]);
});

test("content in one stream costs a request per part and two around them", async () => {
  for (const parts of [2, 2.01, 2.9, 7.5]) {
    const { bucket, store } = open();
    await push(store, Math.ceil(parts * partBytes));
    const sent = bucket.calls.filter((call) => call === "putPart");
    assert.deepEqual(bucket.calls, ["beginParts", ...sent, "completeParts"]);
    // The end joins the last part where it is too small for one of its own.
    assert.ok(sent.length >= Math.floor(parts) && sent.length <= Math.ceil(parts), `${parts}`);
  }
});

test("a pull costs one request", async () => {
  const { bucket, store } = open();
  for (const size of [10, 3 * partBytes]) {
    const upload = await appended(store, `of-${size}`, size);
    const key = await store.commit(upload, digest(someBytes(size)), size);
    const before = bucket.calls.length;
    const opened = await store.open(key, { size });
    assert.equal(opened?.size, size);
    if (opened.body instanceof ReadableStream) await opened.body.cancel();
    assert.deepEqual(bucket.calls.slice(before), ["get"]);
  }
});

test("an append of nothing costs nothing", async () => {
  const { bucket, store } = open();
  for (const size of [10, Math.ceil(2.6 * partBytes)]) {
    const upload = await appended(store, `of-${size}`, size);
    const before = bucket.calls.length;
    const result = await store.append(upload, bodyOf([]), { offset: size });
    assert.deepEqual(result, { size, state: upload.state });
    assert.equal(bucket.calls.length, before);
  }
});

test("many small chunks leave nothing behind but the content", async () => {
  const { bucket, store } = open();
  const chunk = someBytes(partBytes / 10);
  let upload = await begin(store, "chunks");
  for (let index = 0; index < 40; index += 1) {
    const offset = index * chunk.byteLength;
    const { state } = await store.append(upload, bodyOf([chunk]), { offset });
    upload = { id: upload.id, state };
    // What the next state still needs, and what the last one superseded.
    assert.ok(bucket.backend.objects.size <= 3, `${bucket.backend.objects.size} objects`);
  }
  const bytes = Buffer.concat(Array.from({ length: 40 }, () => chunk));
  const key = await store.commit(upload, digest(bytes), bytes.byteLength);
  await store.abort(upload, { keep: key });
  assert.deepEqual([...bucket.backend.objects.keys()], [key]);
  assert.equal(bucket.backend.uploads.size, 0);
  assert.deepEqual(Buffer.from((await contentOf(store, key)) ?? []), bytes);
});

test("no more than two parts of an upload are in memory", async () => {
  const sending = { isBlocked: true, release: (): void => undefined };
  const blocked = new Promise<void>((resolve) => {
    sending.release = resolve;
  });
  class SlowBucket extends MemoryBucket {
    override async putPart(...args: Parameters<MemoryBucket["putPart"]>): Promise<string> {
      await blocked;
      return await super.putPart(...args);
    }
  }
  const bucket = new SlowBucket();
  const store = nodeOn(bucket);
  let received = 0;
  let asked = 0;
  const waits = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        asked += 10_000;
        if (asked > 20 * partBytes) controller.close();
        else controller.enqueue(new Uint8Array(10_000));
        // No more is asked for once two parts are there.
        if (asked + 10_000 > 2 * partBytes) waits.resolve();
      },
    },
    { highWaterMark: 0 },
  );
  const observe = (chunk: Uint8Array): void => void (received += chunk.byteLength);
  const appending = store.append(await begin(store, "slow"), body, { offset: 0, observe });
  await waits.promise;
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(received <= 2 * partBytes + 10_000, `${received} bytes were taken`);
  sending.release();
  assert.equal((await appending).size, received);
});

test("content of too many parts is refused, and the message says what to do", async () => {
  const { store } = open({ limits: { partsMax: 3 } });
  const body = bodyOf([someBytes(4.5 * partBytes)]);
  await assert.rejects(store.append(await begin(store, "large"), body, { offset: 0 }), (error) => {
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /larger than 3 parts of 262144 bytes; a larger chunksize/);
    return true;
  });
});

test("nothing is removed at Distribution's keys, and the error says why", async () => {
  const bucket = new MemoryBucket();
  const options = { bucket, newId: randomUUID, now: Date.now, distributionKeys: true };
  const store = createObjectStore(options);
  const bytes = someBytes(10);
  const upload = await appended(store, "kept", 10);
  const key = await store.commit(upload, digest(bytes), 10);
  await store.abort(upload, { keep: key });
  const hex = digest(bytes).slice(7);
  assert.equal(key, `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  const asked = async (): Promise<boolean> => assert.fail("nobody need be asked");
  await assert.rejects(store.remove(key, "claim", asked), /a late deletion could take away/);
  assert.deepEqual([...bucket.backend.objects.keys()], [key]);
});

test("a state that is not of this store is refused, and the body is told", async () => {
  const { store } = open();
  for (const state of ["", "push.0", "{}", '{"version":2}', "[]", "null"]) {
    const upload: StoredUpload = { id: "other", state };
    let told = false;
    const body = new ReadableStream({ cancel: () => void (told = true) });
    await assert.rejects(store.append(upload, body, { offset: 0 }), StorageError);
    assert.equal(told, true);
    await assert.rejects(store.abort(upload), StorageError);
  }
});

async function appended(store: BlobStore, id: string, size: number): Promise<StoredUpload> {
  const upload = await begin(store, id);
  const { state } = await store.append(upload, bodyOf([someBytes(size)]), { offset: 0 });
  return { id, state };
}
