/**
 * The contract of the collector's commands: nothing in use is ever collected, and pushes never stop
 * or wait for it (invariant I4).
 */
import assert from "node:assert/strict";
import type { BlobKey } from "../storage/blob-store.ts";
import { hourMs, type ContractCases, type PushedBlob, type Scene } from "./contract-scene.ts";

/** A blob that nothing uses and nobody was promised. */
async function garbage(scene: Scene, text = "garbage"): Promise<PushedBlob> {
  const repository = scene.repository("garbage");
  const blob = await scene.push(repository, text, { graceMs: 0 });
  const { outcome } = await scene.deleteBlob(repository, blob.digest, { graceMs: 0 });
  assert.equal(outcome, "deleted");
  return blob;
}

const claims: ContractCases = {
  "what nothing uses is claimed, then deleted; its number is never used again": async (scene) => {
    const repository = scene.repository("garbage");
    const blob = await scene.push(repository, "garbage");
    const { blobId } = await scene.blob(repository, blob.digest);
    await scene.deleteBlob(repository, blob.digest, { graceMs: 0 });
    const { digest } = blob;
    const claim = scene.claimId("claim");
    const done = await scene.store.execute("claimBlob", { digest, claim });
    assert.deepEqual(done, { outcome: "claimed", key: blob.key });
    assert.equal(await scene.store.findBlobAnywhere(digest), undefined);
    assert.equal(await scene.deleteClaimed("claim"), "deleted");
    assert.equal(await scene.deleteClaimed("claim"), "lost");
    assert.equal(await scene.claim(digest, "again"), "unknown");
    await scene.push(repository, "garbage");
    assert.notEqual((await scene.blob(repository, digest)).blobId, blobId);
  },

  "what nobody knows is unknown, and a claim that nobody holds is lost": async (scene) => {
    assert.equal(await scene.claim(scene.content("absent").digest, "claim"), "unknown");
    assert.equal(await scene.deleteClaimed("claim"), "lost");
  },

  "a claim that is made again is the same claim": async (scene) => {
    const { digest } = await garbage(scene);
    assert.equal(await scene.claim(digest, "one"), "claimed");
    assert.equal(await scene.claim(digest, "one"), "claimed");
    assert.equal(await scene.deleteClaimed("one"), "deleted");
    assert.equal(await scene.claim(digest, "one"), "unknown");
  },

  "a claim belongs to one collector": async (scene) => {
    const { digest } = await garbage(scene);
    assert.equal(await scene.claim(digest, "one"), "claimed");
    assert.notEqual(await scene.claim(digest, "two"), "claimed");
    assert.equal(await scene.deleteClaimed("two"), "lost");
    assert.equal(await scene.deleteClaimed("one"), "deleted");
  },

  "a blob is claimed by any of its digests, and goes with all of them": async (scene) => {
    const repository = scene.repository();
    const { digest, sha512 } = scene.content("blob");
    await scene.push(repository, "blob", { aliases: [sha512] });
    await scene.deleteBlob(repository, digest, { graceMs: 0 });
    assert.equal(await scene.claim(sha512, "claim"), "claimed");
    assert.equal(await scene.deleteClaimed("claim"), "deleted");
    assert.equal(await scene.claim(sha512, "again"), "unknown");
    await scene.push(repository, "blob");
    assert.equal(await scene.hasBlob(repository, sha512), false);
  },

  "a row whose bytes are gone is collected like any other": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    const { blobId, verifiedAt } = await scene.blob(repository, digest);
    await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    assert.equal(await scene.claim(digest, "linked"), "in-use");
    const gone = await scene.deleteBlob(repository, digest, { graceMs: 0 });
    assert.equal(gone.outcome, "deleted");
    assert.equal(await scene.claim(digest, "claim"), "claimed");
    const marked = await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    assert.equal(marked.outcome, "unchanged");
    assert.equal(await scene.deleteClaimed("claim"), "deleted");
  },

  "collecting is no change": async (scene) => {
    const { digest } = await garbage(scene);
    const made = await scene.changesOf(async () => {
      await scene.claim(digest, "claim");
      await scene.deleteClaimed("claim");
    });
    assert.deepEqual(made, []);
  },
};

const uses: ContractCases = {
  "a link is a use, promised or not": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob", { graceMs: 0 });
    await scene.mount(b, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "1"), "in-use");
    await scene.deleteBlob(a, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "2"), "in-use");
    assert.equal(await scene.hasBlob(b, digest), true);
    await scene.deleteBlob(b, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "3"), "claimed");
  },

  "a manifest of that digest is a use, in whatever repository": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    await scene.put(b, index);
    await scene.push(a, { ...scene.content("both"), digest: index.digest, size: index.size });
    await scene.deleteBlob(a, index.digest, { graceMs: 0 });
    assert.equal(await scene.claim(index.digest, "1"), "in-use");
    await scene.deleteManifest(b, index.digest);
    assert.equal(await scene.claim(index.digest, "2"), "claimed");
  },

  "a manifest of that digest that comes after the claim is a use too": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    const { digest, size } = index;
    const blob = await scene.push(a, { ...scene.content("both"), digest, size });
    await scene.deleteBlob(a, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "1"), "claimed");
    await scene.put(b, index);
    assert.equal(await scene.deleteClaimed("1"), "lost");
    // The bytes are put back; and the row is nobody's until the manifest has gone.
    assert.equal(await scene.deleteClaimed("1"), "lost");
    assert.equal(await scene.claim(digest, "2"), "in-use");
    await scene.deleteManifest(b, digest);
    const claim = scene.claimId("3");
    const done = await scene.store.execute("claimBlob", { digest, claim });
    assert.deepEqual(done, { outcome: "claimed", key: blob.key });
    assert.equal(await scene.deleteClaimed("3"), "deleted");
  },

  "what went out of use is promised for the grace": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob", { graceMs: 0 });
    await scene.deleteBlob(repository, digest, { graceMs: hourMs });
    assert.equal(await scene.claim(digest, "claim"), "in-use");
    assert.equal(await scene.deleteClaimed("claim"), "lost");
    await scene.push(repository, "blob", { graceMs: 0 });
    await scene.deleteBlob(repository, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "claim"), "claimed");
  },

  "only the last link's end begins the grace": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob");
    await scene.mount(b, digest);
    await scene.deleteBlob(a, digest, { graceMs: hourMs });
    await scene.deleteBlob(b, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "claim"), "claimed");
  },
};

/** A push and its collector, step by step, in every order. */
const interleavings: ContractCases = {
  "a commit before the claim wins": async (scene) => {
    const { digest } = await garbage(scene);
    await scene.push(scene.repository(), "garbage", { graceMs: 0 });
    assert.equal(await scene.claim(digest, "claim"), "in-use");
    assert.equal(await scene.deleteClaimed("claim"), "lost");
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
  },

  "a commit between the claim and its end wins": async (scene) => {
    const { digest } = await garbage(scene);
    const record = await scene.push(scene.repository(), "garbage");
    await scene.deleteBlob(scene.repository(), digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "claim"), "claimed");
    const { key } = await scene.push(scene.repository(), "garbage", { graceMs: 0 });
    assert.equal(key, record.key);
    assert.equal(await scene.deleteClaimed("claim"), "lost");
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
    assert.equal(await scene.claim(digest, "claim"), "in-use");
  },

  "a commit after the end makes the blob anew": async (scene) => {
    const { digest } = await garbage(scene);
    assert.equal(await scene.claim(digest, "claim"), "claimed");
    assert.equal(await scene.deleteClaimed("claim"), "deleted");
    await scene.push(scene.repository(), "garbage");
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
    assert.equal(await scene.deleteClaimed("claim"), "lost");
  },

  "an old claim means nothing to a blob that was claimed again": async (scene) => {
    const { digest } = await garbage(scene);
    await scene.claim(digest, "old");
    await scene.push(scene.repository(), "garbage");
    await scene.deleteBlob(scene.repository(), digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "new"), "claimed");
    assert.equal(await scene.deleteClaimed("old"), "lost");
    assert.equal(await scene.deleteClaimed("new"), "deleted");
  },

  "a revived blob lies where it was committed last": async (scene) => {
    const { digest } = await garbage(scene);
    await scene.claim(digest, "claim");
    const key = `${scene.content("garbage").key}/elsewhere` as BlobKey;
    const pushed = await scene.push(scene.repository(), "garbage", { key });
    assert.equal(pushed.key, key);
    assert.equal((await scene.blob(scene.repository(), digest)).key, key);
  },

  "a mount before the claim wins, and after it finds nothing": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob", { graceMs: 0 });
    await scene.mount(b, digest, { graceMs: 0 });
    await scene.deleteBlob(a, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "1"), "in-use");
    await scene.deleteBlob(b, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "2"), "claimed");
    assert.deepEqual(await scene.mount(b, digest), { outcome: "unknown" });
  },

  "pushes beside collectors always end with the blob": async (scene) => {
    const repository = scene.repository();
    for (let round = 0; round < 25; round += 1) {
      const { digest } = await garbage(scene);
      const claim = scene.claimId(`round ${round}`);
      const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
      const commit = scene.commitInput(upload, scene.content("garbage"));
      await Promise.all([
        scene.other.execute("claimBlob", { digest, claim }),
        scene.store.execute("commitUpload", commit),
        scene.other.execute("deleteClaimedBlob", { claim }),
      ]);
      assert.equal(await scene.hasBlob(repository, digest), true, `in round ${round}`);
      await scene.deleteBlob(repository, digest, { graceMs: 0 });
    }
  },
};

export const collectionCases: ContractCases = { ...claims, ...uses, ...interleavings };
