/**
 * The contract of uploads that are larger than the pieces a store makes, and of those that several
 * nodes work on.
 */
import assert from "node:assert/strict";
import { StorageError, UploadInterrupted, UploadLost } from "./blob-store.ts";
import type { BlobStore, StoredUpload } from "./blob-store.ts";
import {
  begin,
  bodyOf,
  collected,
  contentOf,
  digest,
  readAll,
  sameBytes,
  someBytes,
  uploaded,
} from "./contract-support.ts";
import type { ContractCases } from "./contract-support.ts";

/** Appends each chunk by a store of its own choice, as requests land on any node. */
async function appended(
  stores: readonly BlobStore[],
  upload: StoredUpload,
  chunks: readonly Uint8Array[],
): Promise<{ readonly upload: StoredUpload; readonly bytes: Uint8Array }> {
  let { state } = upload;
  let offset = 0;
  for (const [index, chunk] of chunks.entries()) {
    const store = stores[index % stores.length];
    assert.ok(store);
    const result = await store.append({ id: upload.id, state }, bodyOf([chunk]), { offset });
    offset += chunk.byteLength;
    assert.equal(result.size, offset);
    ({ state } = result);
  }
  return { upload: { id: upload.id, state }, bytes: Buffer.concat(chunks) };
}

/** Chunks of these fractions of a part. */
function chunksOf(partBytes: number, fractions: readonly number[]): readonly Uint8Array[] {
  return fractions.map((fraction, index) => someBytes(Math.ceil(fraction * partBytes), index + 1));
}

/** Chunks whose sizes leave tails of every kind. */
const tailedFractions = [2.4, 0, 0.00001, 0.1, 1.3, 0.2, 0.2, 0.00001] as const;

export const partCases: ContractCases = {
  "a tail that is smaller than a part survives between appends": async (store, { partBytes }) => {
    const chunks = chunksOf(partBytes, tailedFractions);
    const { bytes, upload } = await appended([store], await begin(store, "tails"), chunks);
    const key = await store.commit(upload, digest(bytes), bytes.byteLength);
    await store.abort(upload, { keep: key });
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    assert.deepEqual(await collected(store.listUploads()), []);
    assert.equal((await collected(store.list())).length, 1);
  },

  "an upload goes from node to node": async (store, { partBytes, second }) => {
    const nodes = [store, await second(), await second()];
    for (const fractions of [tailedFractions, [0.1, 0.00001, 0.2], [0.7, 0.7, 0.7]]) {
      const id = `of-${fractions.length}-${fractions[0]}`.replace(".", "-");
      const chunks = chunksOf(partBytes, fractions);
      const { bytes, upload } = await appended(nodes, await begin(store, id), chunks);
      const [, reader, committer] = nodes;
      assert.ok(reader && committer);
      const read = await readAll(await reader.read(upload, bytes.byteLength));
      assert.ok(sameBytes(read, bytes));
      const key = await committer.commit(upload, digest(bytes), bytes.byteLength);
      await reader.abort(upload, { keep: key });
      assert.ok(sameBytes(await contentOf(store, key), bytes));
    }
  },

  "an upload is read and appended to in turn": async (store, { partBytes, second }) => {
    const nodes = [store, await second()];
    let upload = await begin(store, "in-turn");
    let bytes: Uint8Array = new Uint8Array();
    for (const [index, chunk] of chunksOf(partBytes, [2.2, 0.1, 0.3, 2.1]).entries()) {
      const node = nodes[index % nodes.length];
      assert.ok(node);
      const offset = bytes.byteLength;
      const { state } = await node.append(upload, bodyOf([chunk]), { offset });
      upload = { id: upload.id, state };
      bytes = Buffer.concat([bytes, chunk]);
      assert.ok(sameBytes(await readAll(await node.read(upload, bytes.byteLength)), bytes));
      assert.ok(sameBytes(await readAll(await store.read(upload, 10)), bytes.subarray(0, 10)));
    }
    const key = await store.commit(upload, digest(bytes), bytes.byteLength);
    await store.abort(upload, { keep: key });
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    assert.deepEqual(await collected(store.listUploads()), []);
    assert.equal((await collected(store.list())).length, 1);
  },

  "an upload of several parts goes on from any byte of it": async (store, { partBytes }) => {
    const bytes = someBytes(Math.ceil(2.5 * partBytes));
    const more = someBytes(Math.ceil(1.2 * partBytes), 2);
    const upload = await uploaded(store, "cut", bytes);
    let { state } = upload;
    for (const offset of [bytes.length, partBytes + 1, partBytes, 2 * partBytes, 10, 0]) {
      const cut = { id: "cut", state };
      const { size, state: next } = await store.append(cut, bodyOf([more]), { offset });
      assert.equal(size, offset + more.length);
      const read = await readAll(await store.read({ id: "cut", state: next }, size));
      assert.ok(sameBytes(read.subarray(0, offset), bytes.subarray(0, offset)), `${offset}`);
      assert.ok(sameBytes(read.subarray(offset), more), `${offset}`);
      ({ state } = await store.append({ id: "cut", state: next }, bodyOf([bytes]), { offset: 0 }));
    }
  },

  "a takeover goes on while the old writer writes": async (store, { partBytes, second }) => {
    const taker = await second();
    for (const fraction of [0.3, 2.4]) {
      const start = someBytes(Math.ceil(fraction * partBytes));
      const id = `taken-${Math.ceil(fraction)}`;
      const old = await uploaded(store, id, start);
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      const late = store.append(old, gatedBody(2 * partBytes, gate.promise), {
        offset: start.length,
        observe: () => started.resolve(),
      });
      // Whatever becomes of it.
      const ended = late.catch((error: unknown) => assert.ok(error instanceof StorageError));
      await started.promise;
      const state = await taker.create(id, { from: old, size: start.length });
      await taker.abort(old);
      gate.resolve();
      const more = someBytes(Math.ceil(1.5 * partBytes), 3);
      const taken = { id, state };
      const next = await taker.append(taken, bodyOf([more]), { offset: start.length });
      await ended;
      const bytes = Buffer.concat([start, more]);
      const upload = { id, state: next.state };
      const key = await taker.commit(upload, digest(bytes), bytes.length);
      assert.ok(sameBytes(await contentOf(store, key), bytes));
    }
  },

  "to drop an upload keeps what was committed from it": async (store, { partBytes }) => {
    for (const fraction of [0.1, 2.4]) {
      const bytes = someBytes(Math.ceil(fraction * partBytes));
      const upload = await uploaded(store, `keep-${Math.ceil(fraction)}`, bytes);
      const key = await store.commit(upload, digest(bytes), bytes.length);
      await store.abort(upload, { keep: key });
      await store.abort(upload, { keep: key });
      assert.ok(sameBytes(await contentOf(store, key), bytes));
    }
    assert.deepEqual(await collected(store.listUploads()), []);
    assert.equal((await collected(store.list())).length, 2);
  },

  "an upload whose bytes are needed no more goes, whatever it came to": async (
    store,
    { partBytes },
  ) => {
    const known = await uploaded(store, "known", someBytes(10));
    const keep = await store.commit(known, digest(someBytes(10)), 10);
    await store.abort(known, { keep });
    for (const fraction of [0.1, 2.4]) {
      const bytes = someBytes(Math.ceil(fraction * partBytes));
      const upload = await uploaded(store, `other-${Math.ceil(fraction)}`, bytes);
      await readAll(await store.read(upload, bytes.length));
      await store.abort(upload, { keep });
    }
    assert.deepEqual(await collected(store.listUploads()), []);
    assert.deepEqual(
      (await collected(store.list())).map(({ key }) => key),
      [keep],
    );
  },

  "an upload whose bytes are gone is lost, and says so": async (store, { partBytes, second }) => {
    const other = await second();
    for (const fraction of [0.1, 2.4]) {
      const bytes = someBytes(Math.ceil(fraction * partBytes));
      const upload = await uploaded(store, `lost-${Math.ceil(fraction)}`, bytes);
      await other.abort(upload);
      const size = bytes.length;
      const offset = size;
      // Some vendors tell at the next byte, some when all is put together.
      const goOn = async (): Promise<void> => {
        const more = bodyOf([someBytes(partBytes * 2)]);
        const { size: all, state } = await store.append(upload, more, { offset });
        await store.commit({ id: upload.id, state }, digest(bytes), all);
      };
      await assert.rejects(other.commit(upload, digest(bytes), size), UploadLost);
      await assert.rejects(async () => await readAll(await other.read(upload, size)), UploadLost);
      await assert.rejects(goOn(), UploadLost);
      await assert.rejects(other.create(upload.id, { from: upload, size }), UploadLost);
    }
  },

  "a large upload that nobody finishes is found": async (store, { partBytes, second }) => {
    const upload = await begin(store, "abandoned");
    const body = bodyOf([someBytes(3 * partBytes)], { error: new Error("the client went away") });
    await assert.rejects(store.append(upload, body, { offset: 0 }), UploadInterrupted);
    // Nobody has heard of the new state: the process has died.
    const other = await second();
    const [found, ...others] = await collected(other.listUploads());
    assert.equal(found?.id, "abandoned");
    assert.deepEqual(others, []);
    await other.abort(found);
    assert.deepEqual(await collected(store.listUploads()), []);
  },

  "an upload that is found unfinished, and finished since, is not harmed": async (
    store,
    { partBytes, second },
  ) => {
    const bytes = someBytes(3 * partBytes);
    const upload = await uploaded(store, "finished", bytes);
    const other = await second();
    const found = await collected(other.listUploads());
    assert.deepEqual(
      found.map(({ id }) => id),
      ["finished"],
    );
    const key = await store.commit(upload, digest(bytes), bytes.length);
    await store.abort(upload, { keep: key });
    for (const late of found) await other.abort(late);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
  },

  "what lies in the store says where it came from": async (store, { partBytes }) => {
    for (const fraction of [0.1, 2.4]) {
      const id = `from-${Math.ceil(fraction)}`;
      const bytes = someBytes(Math.ceil(fraction * partBytes));
      const upload = await uploaded(store, id, bytes);
      const key = await store.commit(upload, digest(bytes), bytes.length);
      const listed = (await collected(store.list())).find((blob) => blob.key === key);
      const source = store.keys === "content" ? { digest: digest(bytes) } : { upload: id };
      assert.deepEqual(listed?.source, source);
      assert.equal(listed.size, bytes.length);
    }
  },
};

/** A body whose first half comes at once, and whose second half when the gate opens. */
function gatedBody(size: number, gate: Promise<void>): ReadableStream<Uint8Array> {
  const chunkBytes = Math.ceil(size / 8);
  let sent = 0;
  return new ReadableStream(
    {
      async pull(controller) {
        if (sent >= 4) await gate;
        sent += 1;
        if (sent <= 8) controller.enqueue(someBytes(chunkBytes, sent));
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
