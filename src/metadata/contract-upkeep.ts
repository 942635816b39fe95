/** The contract of promises renewed and pulls recorded. */
import assert from "node:assert/strict";
import { assertPromised, hourMs, type ContractCases } from "./contract-scene.ts";

const unknown = { outcome: "unknown" };

export const upkeepCases: ContractCases = {
  "a link's promise is renewed": async (scene) => {
    const [repository, other] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(repository, "blob", { graceMs: 0 });
    await scene.mount(other, digest, { graceMs: 0 });
    const untouched = await scene.blob(other, digest);
    const { blobId, repositoryId } = await scene.blob(repository, digest);
    const since = await scene.now();
    const input = { repositoryId, target: { blobId }, graceMs: 2 * hourMs };
    const done = await scene.store.execute("touch", input);
    assert.deepEqual(done, { outcome: "touched" });
    const { reviewAfter } = await scene.blob(repository, digest);
    assertPromised(reviewAfter, { since, graceMs: 2 * hourMs });
    assert.deepEqual(await scene.blob(other, digest), untouched);
    await scene.deleteBlob(repository, digest);
    assert.deepEqual(await scene.store.execute("touch", input), unknown);
    assert.deepEqual(await scene.blob(other, digest), untouched);
  },

  "a manifest's promise is renewed": async (scene) => {
    const [repository, other] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    for (const each of [repository, other]) await scene.put(each, index, { graceMs: 0 });
    const { manifestId, repositoryId } = await scene.manifest(repository, index.digest);
    const untouched = await scene.manifest(other, index.digest);
    const since = await scene.now();
    const input = { repositoryId, target: { manifestId }, graceMs: hourMs };
    assert.deepEqual(await scene.store.execute("touch", input), { outcome: "touched" });
    const { reviewAfter } = await scene.manifest(repository, index.digest);
    assertPromised(reviewAfter, { since });
    assert.deepEqual(await scene.manifest(other, index.digest), untouched);
    const wrong = { ...input, repositoryId: untouched.repositoryId };
    assert.deepEqual(await scene.store.execute("touch", wrong), unknown);
    await scene.deleteManifest(repository, index.digest);
    assert.deepEqual(await scene.store.execute("touch", input), unknown);
  },

  "a link that another repository has is not touched": async (scene) => {
    const { digest } = await scene.push(scene.repository("a"), "blob");
    const { repositoryId } = await scene.begin(scene.repository("b"));
    const { blobId } = await scene.blob(scene.repository("a"), digest);
    const input = { repositoryId, target: { blobId }, graceMs: hourMs };
    assert.deepEqual(await scene.store.execute("touch", input), unknown);
  },

  "pulls are recorded, also of what is gone by then, and change nothing else": async (scene) => {
    const repository = scene.repository();
    const [first, second] = [scene.index({ note: "1" }), scene.index({ note: "2" })];
    for (const index of [first, second]) await scene.put(repository, index);
    const before = await scene.manifest(repository, first.digest);
    const { manifestId: gone } = await scene.manifest(repository, second.digest);
    await scene.deleteManifest(repository, second.digest);
    const at = await scene.now();
    const pulls = [before.manifestId, gone, before.manifestId].map((manifestId) => ({
      manifestId,
      at,
    }));
    const made = await scene.changesOf(async () => {
      for (const batch of [pulls, pulls, []]) {
        const done = await scene.store.execute("recordPulls", { pulls: batch });
        assert.deepEqual(done, { outcome: "recorded" });
      }
    });
    assert.deepEqual(made, []);
    assert.deepEqual(await scene.manifest(repository, first.digest), before);
    const deleted = await scene.deleteManifest(repository, first.digest);
    assert.equal(deleted.outcome, "deleted");
  },

  "promises renewed are no change": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    const { blobId, repositoryId } = await scene.blob(repository, digest);
    const input = { repositoryId, target: { blobId }, graceMs: hourMs };
    assert.deepEqual(await scene.changesOf(() => scene.store.execute("touch", input)), []);
  },
};
