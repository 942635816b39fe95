/**
 * What becomes of an upload when the object store fails at any one of its calls: before the call
 * took effect, or after it did and before the answer came. Whoever pushes takes up what the last
 * saved state says, as the registry does, and nothing that was acknowledged is lost.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { StorageError, StorageUnavailable, UploadLost } from "../../src/storage/blob-store.ts";
import type { BlobKey, BlobStore, StoredUpload } from "../../src/storage/blob-store.ts";
import {
  bodyOf,
  collected,
  contentOf,
  digest,
  readAll,
  sameBytes,
  someBytes,
} from "../../src/storage/contract-support.ts";
import { BucketError } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { MemoryBucket, MemoryObjects } from "./memory-bucket.ts";

/** Small, for there are hundreds of pushes. */
const partBytes = 16 * 1024;
const limits = {
  partBytes,
  partBytesMin: partBytes / 4,
  copies: { partBytes: partBytes + 1, wholeBytesMax: partBytes + 1, concurrency: 2 },
};
/** Nobody needs so many tries when one call in a push fails. */
const triesMax = 4;

interface Push {
  readonly name: string;
  /** The chunks' sizes in parts. */
  readonly chunks: readonly number[];
  /** Whether each chunk is read back before the next one. */
  readonly reads?: boolean;
  /** Whether each chunk comes to a node that takes the upload over. */
  readonly takeovers?: boolean;
  readonly distributionKeys?: boolean;
  /** Whether a node dies over each chunk first, when it has sent more than the chunk has. */
  readonly deaths?: boolean;
  readonly leavesNoPartOut?: boolean;
}

const large = [2.3, 0.1, 1.7] as const;
const pushes: readonly Push[] = [
  { name: "small content in one chunk", chunks: [0.3] },
  { name: "small content in three chunks", chunks: [0.1, 0.2, 0.1] },
  { name: "large content in one chunk", chunks: [3.3] },
  { name: "large content with tails", chunks: [2.3, 0.1, 0.1, 1.5] },
  { name: "large content that is read between chunks", chunks: large, reads: true },
  { name: "large content that is taken over", chunks: large, takeovers: true },
  { name: "small content that is taken over", chunks: [0.2, 0.2], takeovers: true },
  { name: "small content over which nodes die", chunks: [0.2, 0.2], deaths: true },
  { name: "large content over which nodes die", chunks: large, deaths: true },
  { name: "the same on Ceph", chunks: large, deaths: true, leavesNoPartOut: true },
  {
    name: "large content that is read and taken over after deaths, on Ceph",
    chunks: large,
    deaths: true,
    reads: true,
    takeovers: true,
    leavesNoPartOut: true,
  },
  { name: "content at Distribution's keys", chunks: [2.3, 0.1], distributionKeys: true },
];

/** A backend whose n-th call fails, and the nodes on it. */
class Scene {
  readonly objects = new MemoryObjects();
  readonly #push: Push;
  readonly #fails: { readonly at: number; readonly moment: "before" | "after" } | undefined;
  calls = 0;
  /** Calls that were told to fail. */
  failures = 0;

  constructor(push: Push, fails?: Scene["fails"]) {
    this.#push = push;
    this.#fails = fails;
  }

  get leavesNoPartOut(): boolean {
    return this.#push.leavesNoPartOut === true;
  }

  get fails(): { readonly at: number; readonly moment: "before" | "after" } | undefined {
    return this.#fails;
  }

  node(): BlobStore {
    const bucket = new MemoryBucket({
      objects: this.objects,
      limits,
      leavesNoPartOut: this.leavesNoPartOut,
      onCall: (call, moment) => this.#onCall(call, moment),
    });
    const { distributionKeys } = this.#push;
    return createObjectStore({ bucket, newId: randomUUID, now: Date.now, distributionKeys });
  }

  #onCall(call: string, moment: "before" | "after"): void {
    if (moment === "before") this.calls += 1;
    if (this.#fails?.at !== this.calls || this.#fails.moment !== moment) return;
    this.failures += 1;
    throw new BucketError("memory-bucket", `${call} failed ${moment}`, { transient: true });
  }
}

/** What the registry keeps in its database: changed only when a call has succeeded. */
interface Saved {
  state: string;
  offset: number;
}

async function tried<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      assert.ok(error instanceof StorageError, String(error));
      assert.ok(!(error instanceof UploadLost), "what was acknowledged is lost");
      assert.ok(error instanceof StorageUnavailable, String(error));
      assert.ok(tries < triesMax, "no end of failures");
    }
  }
}

async function pushTo(scene: Scene, push: Push): Promise<{ key: BlobKey; bytes: Uint8Array }> {
  const id = "push";
  const chunks = push.chunks.map((parts, index) =>
    someBytes(Math.ceil(parts * partBytes), index + 1),
  );
  const saved: Saved = { state: await scene.node().create(id), offset: 0 };
  const stored = (): StoredUpload => ({ id, state: saved.state });
  for (const chunk of chunks) {
    if (push.takeovers === true && saved.offset > 0) await takeOver(scene, stored(), saved);
    if (push.deaths === true) await dieOver(scene, stored(), saved.offset);
    await tried(async () => {
      const { offset } = saved;
      const result = await scene.node().append(stored(), bodyOf([chunk]), { offset });
      assert.equal(result.size, offset + chunk.byteLength);
      Object.assign(saved, { state: result.state, offset: result.size });
    });
    if (push.reads !== true) continue;
    await tried(async () => await readAll(await scene.node().read(stored(), saved.offset)));
  }
  const bytes = Buffer.concat(chunks);
  const key = await tried(() => scene.node().commit(stored(), digest(bytes), bytes.length));
  await tried(() => scene.node().abort(stored(), { keep: key }));
  return { key, bytes };
}

/** What this node has sent nobody will hear of. */
async function dieOver(scene: Scene, upload: StoredUpload, offset: number): Promise<void> {
  const body = bodyOf([someBytes(Math.ceil(4.3 * partBytes), 99)]);
  await scene
    .node()
    .append(upload, body, { offset })
    .catch((error: unknown) => {
      assert.ok(error instanceof StorageUnavailable, String(error));
    });
}

async function takeOver(scene: Scene, from: StoredUpload, saved: Saved): Promise<void> {
  const size = saved.offset;
  saved.state = await tried(() => scene.node().create(from.id, { from, size }));
  await tried(() => scene.node().abort(from));
}

for (const push of pushes) {
  test(`${push.name} survives any one call that fails`, async () => {
    const whole = new Scene(push);
    await pushTo(whole, push);
    for (let at = 1; at <= whole.calls; at += 1) {
      for (const moment of ["before", "after"] as const) {
        const scene = new Scene(push, { at, moment });
        const { bytes, key } = await pushTo(scene, push);
        // A call that is refused has no answer that could get lost.
        assert.ok(scene.failures === 1 || moment === "after", `call ${at}`);
        const stored = await contentOf(scene.node(), key);
        assert.ok(sameBytes(stored, bytes), `call ${at} failed ${moment}`);
        await assertOnlyOrphans(scene, key);
      }
    }
  });
}

/** What is left beside the content is known by its upload, so that the sweeper finds it. */
async function assertOnlyOrphans(scene: Scene, key: BlobKey): Promise<void> {
  const store = scene.node();
  for (const { id } of await collected(store.listUploads())) assert.match(id, /^(push|sha256-.*)$/);
  for (const upload of await collected(store.listUploads())) await store.abort(upload);
  assert.equal(scene.objects.uploads.size, 0);
  for (const blob of await collected(store.list())) {
    if (blob.key === key) continue;
    assert.ok("upload" in blob.source && blob.source.upload === "push");
    await store.remove(blob.key, "sweeper", async () => true);
  }
  assert.deepEqual([...scene.objects.objects.keys()], [key]);
}

test("an upload that fails for good throws away nothing that was acknowledged", async () => {
  const bytes = someBytes(2.5 * partBytes);
  let isDown = false;
  const bucket = new MemoryBucket({
    objects: new MemoryObjects(),
    limits,
    onCall: (call) => {
      if (isDown) throw new BucketError("memory-bucket", `${call}: down`, { transient: true });
    },
  });
  const store = createObjectStore({ bucket, newId: randomUUID, now: Date.now });
  const state = await store.create("down");
  const first = await store.append({ id: "down", state }, bodyOf([bytes]), { offset: 0 });
  const upload = { id: "down", state: first.state };
  isDown = true;
  for (const parts of [0.1, 3]) {
    const body = bodyOf([someBytes(Math.ceil(parts * partBytes))]);
    const appending = store.append(upload, body, { offset: first.size });
    await assert.rejects(appending, StorageUnavailable);
  }
  await assert.rejects(store.commit(upload, digest(bytes), bytes.length), StorageUnavailable);
  await assert.rejects(store.abort(upload), StorageUnavailable);
  isDown = false;
  const key = await store.commit(upload, digest(bytes), bytes.length);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
});
