/** The contract of `create`, `append`, `read`, `abort` and `listUploads`. */
import assert from "node:assert/strict";
import { StorageError, UploadInterrupted } from "./blob-store.ts";
import type { AppendResult, BlobStore, StoredUpload } from "./blob-store.ts";
import {
  begin,
  bodyOf,
  byteBodyOf,
  collected,
  mebibyte,
  readAll,
  sameBytes,
  someBytes,
  uploaded,
} from "./contract-support.ts";
import type { ContractCases } from "./contract-support.ts";

async function bytesOf(store: BlobStore, upload: StoredUpload, size: number): Promise<Uint8Array> {
  return await readAll(await store.read(upload, size));
}

/** Appends a body that will not end well, and returns what is said about it. */
async function interrupted(appending: Promise<AppendResult>): Promise<UploadInterrupted> {
  const error: unknown = await appending.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof UploadInterrupted, String(error));
  return error;
}

export const uploadCases: ContractCases = {
  "what is appended can be read back, each byte observed once": async (store) => {
    const bytes = someBytes(3 * mebibyte + 17);
    const sizes = [1, 2, 0, 3, 70_000, 65_536, 5, mebibyte, 1, 1, 40];
    const chunks: Uint8Array[] = [];
    let position = 0;
    for (let index = 0; position < bytes.byteLength; index += 1) {
      const size = sizes[index % sizes.length] ?? 1;
      chunks.push(bytes.subarray(position, position + size));
      position += size;
    }
    const upload = await begin(store, "one");
    const observed: Uint8Array[] = [];
    const observe = (chunk: Uint8Array): void => void observed.push(chunk.slice());
    const { size, state } = await store.append(upload, bodyOf(chunks), { offset: 0, observe });
    assert.equal(size, bytes.byteLength);
    assert.ok(sameBytes(Buffer.concat(observed), bytes));
    assert.ok(sameBytes(await bytesOf(store, { id: "one", state }, size), bytes));
    assert.ok(sameBytes(await bytesOf(store, { id: "one", state }, 5), bytes.subarray(0, 5)));
  },

  "thousands of tiny chunks are one upload": async (store) => {
    const bytes = someBytes(5000);
    const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
    const upload = await begin(store, "tiny");
    const { size, state } = await store.append(upload, bodyOf(chunks), { offset: 0 });
    assert.ok(sameBytes(await bytesOf(store, { id: "tiny", state }, size), bytes));
  },

  "a byte stream is an upload like any other, and may fail at any point": async (store) => {
    const bytes = someBytes(300_000);
    for (const size of [0, 1, 20_000, 65_536, 300_000]) {
      const upload = await begin(store, `bytes-${size}`);
      const body = new Response(bytes.subarray(0, size)).body;
      assert.ok(body !== null);
      const { state } = await store.append(upload, body, { offset: 0 });
      const cause = new Error("the client went away");
      const failing = byteBodyOf([bytes.subarray(0, 10), bytes.subarray(10, 90_000)], cause);
      const observed: Uint8Array[] = [];
      const observe = (chunk: Uint8Array): void => void observed.push(chunk.slice());
      const begun = { id: upload.id, state };
      const error = await interrupted(store.append(begun, failing, { offset: size, observe }));
      assert.equal(error.cause, cause);
      assert.equal(error.result.size, size + 90_000);
      assert.ok(sameBytes(Buffer.concat(observed), bytes.subarray(0, 90_000)));
      const after = { id: upload.id, state: error.result.state };
      const all = Buffer.concat([bytes.subarray(0, size), ...observed]);
      assert.ok(sameBytes(await bytesOf(store, after, error.result.size), all));
    }
  },

  "an aborted byte stream keeps what was observed": async (store) => {
    const abort = new AbortController();
    const observed: Uint8Array[] = [];
    const body = new ReadableStream<Uint8Array>({
      type: "bytes",
      start: (controller) => controller.enqueue(someBytes(70_000)),
      pull: () => {
        if (observed.length > 0) abort.abort(new Error("enough"));
      },
    });
    const observe = (chunk: Uint8Array): void => void observed.push(chunk.slice());
    const upload = await begin(store, "bytes");
    const appending = store.append(upload, body, { offset: 0, observe, signal: abort.signal });
    const { result } = await interrupted(appending);
    const all = Buffer.concat(observed);
    assert.equal(result.size, all.byteLength);
    assert.ok(
      sameBytes(await bytesOf(store, { id: "bytes", state: result.state }, all.length), all),
    );
  },

  "an upload goes on where it was left": async (store) => {
    const parts = [someBytes(10, 1), someBytes(300_000, 2), someBytes(1, 3)];
    const upload = await begin(store, "parts");
    let { state } = upload;
    let offset = 0;
    for (const part of parts) {
      const appended = await store.append({ id: "parts", state }, bodyOf([part]), { offset });
      offset += part.byteLength;
      assert.equal(appended.size, offset);
      ({ state } = appended);
    }
    const all = await bytesOf(store, { id: "parts", state }, offset);
    assert.ok(sameBytes(all, Buffer.concat(parts)));
  },

  "bytes at the offset or beyond it are dropped first": async (store) => {
    const upload = await uploaded(store, "dropped", someBytes(100_000, 1));
    const more = someBytes(10, 2);
    const { size, state } = await store.append(upload, bodyOf([more]), { offset: 50 });
    assert.equal(size, 60);
    const all = await bytesOf(store, { id: "dropped", state }, 60);
    assert.ok(sameBytes(all.subarray(0, 50), someBytes(100_000, 1).subarray(0, 50)));
    assert.ok(sameBytes(all.subarray(50), more));
    await assert.rejects(bytesOf(store, { id: "dropped", state }, 61), StorageError);
    const again = await store.append({ id: "dropped", state }, bodyOf([]), { offset: 0 });
    assert.equal(again.size, 0);
  },

  "an offset beyond the upload is a StorageError, and the body is told": async (store) => {
    const upload = await uploaded(store, "short", someBytes(10));
    let told = false;
    const body = new ReadableStream<Uint8Array>({
      cancel: () => {
        told = true;
      },
    });
    await assert.rejects(store.append(upload, body, { offset: 11 }), StorageError);
    assert.equal(told, true);
    assert.ok(sameBytes(await bytesOf(store, upload, 10), someBytes(10)));
  },

  "an append of nothing makes an empty upload": async (store) => {
    const upload = await begin(store, "empty");
    const { size, state } = await store.append(upload, bodyOf([]), { offset: 0 });
    assert.equal(size, 0);
    assert.equal((await bytesOf(store, { id: "empty", state }, 0)).byteLength, 0);
  },

  "a body that fails leaves what was observed, and says so": async (store) => {
    for (const count of [0, 1, 7, 40]) {
      const chunks = Array.from({ length: count }, (_, index) => someBytes(50_000, index + 1));
      const cause = new Error("the client went away");
      const observed: Uint8Array[] = [];
      const upload = await begin(store, `failing-${count}`);
      const body = bodyOf(chunks, { error: cause });
      const observe = (chunk: Uint8Array): void => void observed.push(chunk.slice());
      const error = await interrupted(store.append(upload, body, { offset: 0, observe }));
      assert.equal(error.cause, cause);
      assert.equal(error.result.size, count * 50_000);
      const after = { id: upload.id, state: error.result.state };
      const stored = await bytesOf(store, after, error.result.size);
      assert.ok(sameBytes(stored, Buffer.concat(observed)));
      const more = await store.append(after, bodyOf([someBytes(3)]), { offset: stored.length });
      assert.equal(more.size, stored.length + 3);
    }
  },

  "an aborted signal leaves what was observed, and the body is told": async (store) => {
    const abort = new AbortController();
    const reason = new Error("another writer came");
    const observed: Uint8Array[] = [];
    let told: unknown;
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1;
        if (sent <= 20) controller.enqueue(someBytes(40_000, sent));
        // And then it stalls, for ever.
      },
      cancel: (why) => {
        told = why;
      },
    });
    const observe = (chunk: Uint8Array): void => {
      observed.push(chunk.slice());
      if (observed.length === 15) abort.abort(reason);
    };
    const upload = await begin(store, "aborted");
    const appending = store.append(upload, body, { offset: 0, observe, signal: abort.signal });
    const error = await interrupted(appending);
    assert.equal(error.cause, reason);
    assert.equal(told, reason);
    const after = { id: "aborted", state: error.result.state };
    const stored = await bytesOf(store, after, error.result.size);
    assert.ok(sameBytes(stored, Buffer.concat(observed)));
  },

  "a signal ends the wait for a body that stalls": async (store) => {
    const abort = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(someBytes(9)),
      // The second chunk is asked for, and will never come.
      pull: () => abort.abort(new Error("too long")),
    });
    const upload = await begin(store, "stalled");
    const appending = store.append(upload, body, { offset: 0, signal: abort.signal });
    const { result } = await interrupted(appending);
    assert.ok(result.size === 9 || result.size === 0);
  },

  "a signal that was aborted before lets nothing in": async (store) => {
    const upload = await uploaded(store, "late", someBytes(5));
    const observe = (): void => assert.fail("nothing may be observed");
    const signal = AbortSignal.abort(new Error("too late"));
    const body = bodyOf([someBytes(7)]);
    const appending = store.append(upload, body, { offset: 5, signal, observe });
    const { result } = await interrupted(appending);
    assert.equal(result.size, 5);
  },

  "reading an upload that lost bytes is a StorageError": async (store) => {
    const upload = await uploaded(store, "lost", someBytes(1000));
    await assert.rejects(bytesOf(store, upload, 1001), StorageError);
    await store.abort(upload);
    await assert.rejects(bytesOf(store, upload, 1000), StorageError);
  },

  "a takeover has the prefix, and the old writer writes into nothing": async (store) => {
    const bytes = someBytes(2 * mebibyte);
    const old = await uploaded(store, "taken", bytes);
    const sizes = [0, 1000, bytes.byteLength];
    for (const size of sizes) {
      const state = await store.create("taken", { from: old, size });
      assert.notEqual(state, old.state);
      const taken = { id: "taken", state };
      // The old writer is alive after all, and has not heard of it.
      await store.append(old, bodyOf([someBytes(99, 5)]), { offset: bytes.byteLength });
      assert.ok(sameBytes(await bytesOf(store, taken, size), bytes.subarray(0, size)));
      await assert.rejects(bytesOf(store, taken, size + 1), StorageError);
      const more = await store.append(taken, bodyOf([someBytes(5, 9)]), { offset: size });
      assert.equal(more.size, size + 5);
      assert.ok(sameBytes(await bytesOf(store, old, bytes.byteLength), bytes));
    }
  },

  "takeovers at the same time do not share": async (store) => {
    const from = await uploaded(store, "raced", someBytes(100));
    const creating = Array.from({ length: 8 }, () => store.create("raced", { from, size: 100 }));
    const states = await Promise.all(creating);
    assert.equal(new Set([...states, from.state]).size, 9);
  },

  "a takeover of bytes that are lost is a StorageError": async (store) => {
    const from = await uploaded(store, "lost", someBytes(100));
    await assert.rejects(store.create("lost", { from, size: 101 }), StorageError);
  },

  "an upload that was begun and never written can be taken over": async (store) => {
    const from = await begin(store, "unwritten");
    const state = await store.create("unwritten", { from, size: 0 });
    assert.notEqual(state, from.state);
    const body = bodyOf([someBytes(4)]);
    assert.equal((await store.append({ id: "unwritten", state }, body, { offset: 0 })).size, 4);
  },

  "to drop an upload is safe to repeat, and before anything was written": async (store) => {
    const upload = await uploaded(store, "gone", someBytes(10));
    await store.abort(upload);
    await store.abort(upload);
    await store.abort(await begin(store, "never"));
    assert.deepEqual(await collected(store.listUploads()), []);
  },

  "uploads are listed in the order of their ids, after an id": async (store, { partBytes }) => {
    const ids = ["b00", "a-b", "a00", "B00", "aa0", "a_b", "000"];
    // Where each commit has its own key, small uploads are in the listing of content instead.
    const bytes = someBytes(store.keys === "content" ? 3 : 3 * partBytes);
    for (const id of ids) await uploaded(store, id, bytes);
    const listed = await collected(store.listUploads());
    const listedIds = listed.map(({ id }) => id);
    assert.deepEqual(listedIds, ids.toSorted());
    for (const [index, id] of listedIds.entries()) {
      assert.deepEqual(await collected(store.listUploads(id)), listed.slice(index + 1));
    }
    for (const upload of listed) {
      assert.ok(Number.isInteger(upload.modifiedAt));
      await store.abort(upload);
    }
    assert.deepEqual(await collected(store.listUploads()), []);
  },
};
