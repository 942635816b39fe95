/** The contract of `commit`. */
import assert from "node:assert/strict";
import { digestAlgorithms } from "../oci/digest.ts";
import { StorageError, UploadLost } from "./blob-store.ts";
import type { BlobStore } from "./blob-store.ts";
import {
  begin,
  bodyOf,
  collected,
  committed,
  contentOf,
  digest,
  mebibyte,
  sameBytes,
  someBytes,
  uploaded,
} from "./contract-support.ts";
import type { ContractCases } from "./contract-support.ts";

export const commitCases: ContractCases = {
  "content of every algorithm has its own key": async (store) => {
    const bytes = someBytes(1000);
    const keys = new Set<string>();
    for (const algorithm of digestAlgorithms) {
      const key = await committed(store, bytes, algorithm);
      keys.add(key);
      assert.ok(sameBytes(await contentOf(store, key), bytes));
    }
    assert.equal(keys.size, digestAlgorithms.length);
  },

  "nothing is content before the commit": async (store) => {
    await uploaded(store, "hidden", someBytes(10));
    await assertNoContent(store);
  },

  "an empty upload is content, too": async (store) => {
    const upload = await uploaded(store, "empty", new Uint8Array());
    const key = await store.commit(upload, digest(new Uint8Array()), 0);
    const opened = await store.open(key);
    assert.equal(opened?.size, 0);
    assert.equal((await contentOf(store, key))?.byteLength, 0);
  },

  "a commit is safe to repeat": async (store) => {
    const bytes = someBytes(5000);
    const upload = await uploaded(store, "again", bytes);
    const key = await store.commit(upload, digest(bytes), 5000);
    assert.equal(await store.commit(upload, digest(bytes), 5000), key);
    await store.abort(upload, { keep: key });
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    assert.equal(await store.commit(upload, digest(bytes), 5000), key);
  },

  "a repeated commit brings back what was removed, or says that it is lost": async (store) => {
    if (!store.upkeep.removes) return;
    const bytes = someBytes(5000);
    const upload = await uploaded(store, "back", bytes);
    const key = await store.commit(upload, digest(bytes), 5000);
    await store.remove(key, "claim", async () => true);
    assert.equal(await store.stat(key), undefined);
    const repeated = store.commit(upload, digest(bytes), 5000);
    if (store.keys === "commit") {
      await assert.rejects(repeated, UploadLost);
      return;
    }
    const again = await repeated;
    assert.ok(sameBytes(await contentOf(store, again), bytes));
  },

  "an upload of another size than was said is refused": async (store) => {
    const bytes = someBytes(100);
    const upload = await uploaded(store, "sized", bytes);
    for (const size of [99, 101, 0]) {
      await assert.rejects(store.commit(upload, digest(bytes), size), StorageError);
    }
    await assertNoContent(store);
  },

  "an upload that is gone cannot be committed": async (store) => {
    const bytes = someBytes(100);
    const upload = await uploaded(store, "gone", bytes);
    await store.abort(upload);
    await assert.rejects(store.commit(upload, digest(bytes), 100), StorageError);
    const never = await begin(store, "never");
    await assert.rejects(store.commit(never, digest(new Uint8Array()), 0), StorageError);
  },

  "bytes of the same size that lie there already stay": async (store) => {
    const [first, second] = [someBytes(100, 1), someBytes(100, 2)];
    const key = await committed(store, first);
    const upload = await uploaded(store, "second", second);
    const again = await store.commit(upload, digest(first), 100);
    assert.ok(sameBytes(await contentOf(store, again), again === key ? first : second));
  },

  "bytes of another size are replaced": async (store) => {
    const [whole, broken] = [someBytes(100_000), someBytes(500)];
    const name = digest(whole);
    const bad = await uploaded(store, "bad", broken);
    await store.commit(bad, name, 500);
    const good = await uploaded(store, "good", whole);
    const key = await store.commit(good, name, 100_000);
    assert.ok(sameBytes(await contentOf(store, key), whole));
    assert.equal(await store.commit(good, name, 100_000), key);
    await store.abort(bad);
    await store.abort(good, { keep: key });
    assert.ok(sameBytes(await contentOf(store, key), whole));
    assert.deepEqual(await collected(store.listUploads()), []);
  },

  "what is read while it is replaced is whole": async (store) => {
    const [whole, broken] = [someBytes(3 * mebibyte), someBytes(2 * mebibyte, 2)];
    const bad = await uploaded(store, "bad", broken);
    const key = await store.commit(bad, digest(whole), broken.byteLength);
    const reading = contentOf(store, key);
    const good = await uploaded(store, "good", whole);
    const replaced = await store.commit(good, digest(whole), whole.byteLength);
    assert.ok(sameBytes(await reading, broken));
    assert.ok(sameBytes(await contentOf(store, replaced), whole));
  },

  "writing on after the commit does not touch content at its digest's key": async (store) => {
    if (store.keys !== "content") return;
    const bytes = someBytes(1000);
    const upload = await uploaded(store, "on", bytes);
    const key = await store.commit(upload, digest(bytes), 1000);
    const more = await store.append(upload, bodyOf([someBytes(50, 2)]), { offset: 1000 });
    assert.equal(more.size, 1050);
    const cut = { id: "on", state: more.state };
    const again = await store.commit(cut, digest(someBytes(9)), 1050);
    const less = await store.append(cut, bodyOf([someBytes(50, 3)]), { offset: 10 });
    assert.equal(less.size, 60);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    assert.equal((await store.stat(again))?.size, 1050);
  },

  "many commits of one content at once all succeed": async (store) => {
    const bytes = someBytes(70_000);
    const pushing = Array.from({ length: 32 }, async (_, index) => {
      const upload = await uploaded(store, `push-${index}`, bytes);
      const key = await store.commit(upload, digest(bytes), bytes.byteLength);
      assert.ok(sameBytes(await contentOf(store, key), bytes));
      await store.abort(upload, { keep: key });
    });
    await Promise.all(pushing);
    assert.deepEqual(await collected(store.listUploads()), []);
  },

  "many commits over a broken content at once all succeed": async (store) => {
    const bytes = someBytes(70_000);
    const bad = await uploaded(store, "bad", someBytes(3));
    await store.commit(bad, digest(bytes), 3);
    const pushing = Array.from({ length: 32 }, async (_, index) => {
      // Two and two share an upload, as a repeated request would.
      const upload = await uploaded(store, `push-${index}`, bytes);
      const commit = (): Promise<string> => store.commit(upload, digest(bytes), bytes.byteLength);
      const [key, same] = await Promise.all([commit(), commit()]);
      assert.equal(key, same);
      await store.abort(upload);
    });
    await Promise.all([...pushing, store.abort(bad)]);
    const key = await committed(store, bytes);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    assert.deepEqual(await collected(store.listUploads()), []);
  },
};

/** Where each commit has its own key, a listing tells uploads' bytes, too, and whose they are. */
async function assertNoContent(store: BlobStore): Promise<void> {
  const listed = await collected(store.list());
  assert.ok(listed.every(({ source }) => store.keys === "commit" && "upload" in source));
}
