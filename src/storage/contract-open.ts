/** The contract of `open`, `stat`, `url` and `list`. */
import assert from "node:assert/strict";
import { digestAlgorithms } from "../oci/digest.ts";
import { StorageError } from "./blob-store.ts";
import type { BlobKey } from "./blob-store.ts";
import {
  allOf,
  collected,
  committed,
  contentOf,
  mebibyte,
  sameBytes,
  someBytes,
} from "./contract-support.ts";
import type { ContractCases } from "./contract-support.ts";

export const openCases: ContractCases = {
  "absent content is undefined": async (store) => {
    if (!store.upkeep.removes) return;
    const key = await committed(store, someBytes(10));
    await store.remove(key, "claim", async () => true);
    assert.equal(await store.open(key), undefined);
    assert.equal(await store.open(key, { span: { start: 0, end: 0 } }), undefined);
    assert.equal(await store.open(key, { span: { start: 0, end: mebibyte } }), undefined);
    assert.equal(await store.stat(key), undefined);
  },

  "content of every size comes back as it was": async (store) => {
    const sizes = [0, 1, 2, 4095, 65_535, 65_536, 65_537, 131_072, 1_000_003];
    for (const size of sizes) {
      const bytes = someBytes(size, size + 1);
      const key = await committed(store, bytes);
      const opened = await store.open(key);
      assert.equal(opened?.size, size);
      assert.ok(sameBytes(await allOf(opened), bytes), `${size} bytes`);
      assert.equal((await store.stat(key))?.size, size);
    }
  },

  "small content comes as bytes, large content as a stream": async (store) => {
    const small = await store.open(await committed(store, someBytes(1000)));
    assert.ok(small?.body instanceof Uint8Array);
    const large = await store.open(await committed(store, someBytes(2 * mebibyte)));
    assert.ok(large?.body instanceof ReadableStream);
    await large.body.cancel();
  },

  "stat tells the key, the size and the time": async (store) => {
    const before = Date.now();
    const key = await committed(store, someBytes(7));
    const stored = await store.stat(key);
    assert.equal(stored?.key, key);
    assert.equal(stored.size, 7);
    assert.ok(Number.isInteger(stored.modifiedAt));
    // A filesystem's clock ticks a few times per hundredth of a second.
    assert.ok(stored.modifiedAt >= before - 2000 && stored.modifiedAt <= Date.now() + 2000);
  },

  "a span gives its bytes and no others": async (store) => {
    const size = 3 * mebibyte;
    const bytes = someBytes(size);
    const key = await committed(store, bytes);
    const spans = [
      { start: 0, end: 0 },
      { start: 0, end: 65_535 },
      { start: 5, end: 65_541 },
      { start: 1000, end: 2_000_000 },
      { start: 0, end: size - 1 },
      { start: size - 1, end: size - 1 },
    ];
    for (const span of spans) {
      const opened = await store.open(key, { span });
      assert.equal(opened?.size, span.end - span.start + 1);
      const expected = bytes.subarray(span.start, span.end + 1);
      assert.ok(sameBytes(await allOf(opened), expected), JSON.stringify(span));
    }
  },

  "content that is shorter than it is known to be is a StorageError": async (store) => {
    for (const size of [100, mebibyte]) {
      const bytes = someBytes(size);
      const key = await committed(store, bytes);
      assert.ok(sameBytes(await allOf(await store.open(key, { size })), bytes));
      for (const longer of [size + 1, 3 * mebibyte]) {
        const read = async () => await allOf(await store.open(key, { size: longer }));
        await assert.rejects(read, StorageError);
      }
    }
  },

  "a span beyond the end is a StorageError": async (store) => {
    const key = await committed(store, someBytes(100_000));
    for (const span of [
      { start: 99_999, end: 100_000 },
      { start: 100_000, end: 100_000 },
      { start: 0, end: 100_000 },
      { start: 200_000, end: 400_000 },
    ]) {
      await assert.rejects(async () => await allOf(await store.open(key, { span })), StorageError);
    }
  },

  "a stream gives its bytes to a reader with its own buffers": async (store) => {
    const bytes = someBytes(8 * mebibyte);
    const opened = await store.open(await committed(store, bytes));
    assert.ok(opened?.body instanceof ReadableStream);
    const reader = opened.body.getReader({ mode: "byob" });
    const parts: Uint8Array[] = [];
    let buffer = new Uint8Array(100_000);
    for (;;) {
      const { done, value } = await reader.read(buffer);
      if (done) break;
      assert.ok(value.byteLength > 0);
      parts.push(value.slice());
      buffer = new Uint8Array(value.buffer);
    }
    assert.ok(sameBytes(Buffer.concat(parts), bytes));
  },

  "a stream gives its bytes to several reads at once": async (store) => {
    const bytes = someBytes(200_000);
    const opened = await store.open(await committed(store, bytes));
    assert.ok(opened?.body instanceof ReadableStream);
    const reader = opened.body.getReader({ mode: "byob" });
    const reads = Array.from({ length: 30 }, () => reader.read(new Uint8Array(10_000)));
    const parts = (await Promise.all(reads)).map(({ value }) => value ?? new Uint8Array());
    assert.ok(sameBytes(Buffer.concat(parts), bytes));
  },

  "a stream that is cancelled ends, and harms no other": async (store) => {
    const bytes = someBytes(8 * mebibyte);
    const key = await committed(store, bytes);
    const [one, other] = [await store.open(key), await store.open(key)];
    assert.ok(one?.body instanceof ReadableStream);
    const reader = one.body.getReader();
    await reader.read();
    const late = reader.read();
    await reader.cancel("enough");
    // It has its bytes or the end, but it does not wait for ever.
    await late;
    assert.ok(sameBytes(await allOf(other), bytes));
  },

  "an aborted signal ends the opening, and the stream": async (store) => {
    const key = await committed(store, someBytes(8 * mebibyte));
    const reason = new Error("gone");
    await assert.rejects(store.open(key, { signal: AbortSignal.abort(reason) }), reason);
    const abort = new AbortController();
    const opened = await store.open(key, { signal: abort.signal });
    assert.ok(opened?.body instanceof ReadableStream);
    const reader = opened.body.getReader();
    assert.equal((await reader.read()).done, false);
    abort.abort(reason);
    await assert.rejects(reader.read(), reason);
  },

  "many readers at once get each their own": async (store) => {
    const contents = [10, 70_000, 500_000].map((size) => someBytes(size, size));
    const keys = await Promise.all(contents.map((bytes) => committed(store, bytes)));
    const readers = Array.from({ length: 60 }, async (_, index) => {
      const which = index % keys.length;
      const [key, expected] = [keys[which], contents[which]];
      assert.ok(key !== undefined && expected !== undefined);
      assert.ok(sameBytes(await contentOf(store, key), expected));
    });
    await Promise.all(readers);
  },

  "a URL is undefined or absolute": async (store) => {
    const key = await committed(store, someBytes(3));
    const url = await store.url(key, { method: "GET" });
    assert.ok(url === undefined || URL.canParse(url));
  },

  "an empty store lists nothing": async (store) => {
    assert.deepEqual(await collected(store.list()), []);
    assert.deepEqual(await collected(store.listUploads()), []);
  },

  "content is listed in the order of its keys, after a key": async (store) => {
    const keys: BlobKey[] = [];
    for (const algorithm of digestAlgorithms) {
      for (let seed = 1; seed <= 12; seed += 1) {
        keys.push(await committed(store, someBytes(seed, seed), algorithm));
      }
    }
    const listed = await collected(store.list());
    const listedKeys = listed.map(({ key }) => key);
    assert.deepEqual(listedKeys, keys.toSorted());
    for (const { source, ...stored } of listed) {
      const { modifiedAt = 0, ...rest } = (await store.stat(stored.key)) ?? {};
      // HTTP tells whole seconds.
      assert.ok(Math.abs(modifiedAt - stored.modifiedAt) < 1000);
      assert.deepEqual({ ...rest, modifiedAt: stored.modifiedAt }, stored);
      const named =
        "digest" in source ? stored.key.includes(source.digest.slice(7)) : source.upload;
      assert.ok(named, "a key tells whose it is");
    }
    for (const [index, key] of listedKeys.entries()) {
      const rest = await collected(store.list(key));
      assert.deepEqual(rest, listed.slice(index + 1));
    }
  },

  "a listing bears that content comes and goes meanwhile": async (store) => {
    if (!store.upkeep.removes) return;
    for (let seed = 1; seed <= 20; seed += 1) await committed(store, someBytes(seed, seed));
    const seen: BlobKey[] = [];
    for await (const { key } of store.list()) {
      seen.push(key);
      const [next] = await collected(store.list(key));
      if (next !== undefined) await store.remove(next.key, "claim", async () => true);
    }
    // A page that was read before may tell of what has gone since.
    assert.deepEqual(seen, seen.toSorted());
    const left = await collected(store.list());
    assert.ok(left.length > 0 && left.length <= 10);
    assert.ok(left.every(({ key }) => seen.includes(key)));
  },
};
