/** The contract of deleting manifests and tags (invariants I2, I4). */
import assert from "node:assert/strict";
import { assertPromised, type ContractCases } from "./contract-scene.ts";

const deleted = { outcome: "deleted" };
const unknown = { outcome: "unknown" };

const manifests: ContractCases = {
  "a manifest goes with every tag on it": async (scene) => {
    const repository = scene.repository();
    const gone = await scene.put(repository, scene.index({ note: "gone" }), { tags: ["a", "c"] });
    const stays = await scene.put(repository, scene.index({ note: "stays" }), { tags: ["b"] });
    assert.deepEqual(await scene.deleteManifest(repository, gone.digest), deleted);
    for (const by of [gone.digest, "a", "c"]) {
      assert.equal(await scene.lookUp(repository, by), undefined);
    }
    assert.deepEqual(await scene.tags(repository), ["b"]);
    assert.equal(await scene.lookUp(repository, "b"), stays.digest);
  },

  "what is not there is unknown": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.put(a, scene.index({ note: "a" }));
    await scene.put(b, scene.index({ note: "b" }));
    assert.deepEqual(await scene.deleteManifest(b, digest), unknown);
    assert.deepEqual(await scene.deleteManifest(scene.repository("none"), digest), unknown);
    assert.deepEqual(await scene.deleteManifest(a, scene.content("none").digest), unknown);
    assert.deepEqual(await scene.deleteManifest(a, digest), deleted);
    assert.deepEqual(await scene.deleteManifest(a, digest), unknown);
    assert.deepEqual(await scene.deleteManifest(a, digest, { force: true }), unknown);
  },

  "a repository whose last manifest went is known, and empty": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.put(repository, scene.index({ note: "a" }), { tags: ["a"] });
    await scene.deleteManifest(repository, digest);
    assert.deepEqual(await scene.tags(repository), []);
    const after = scene.repository("a");
    const page = await scene.store.listRepositories({ after, limit: 1 });
    assert.deepEqual(page.items, [repository]);
  },

  "the same manifest stays in other repositories, bytes and all": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    for (const repository of [a, b]) await scene.put(repository, index, { tags: ["v1"] });
    const before = await scene.manifest(b, "v1");
    await scene.deleteManifest(a, index.digest);
    assert.deepEqual(await scene.manifest(b, "v1"), before);
    await scene.deleteManifest(b, index.digest);
    await scene.put(a, index);
    assert.deepEqual((await scene.manifest(a, index.digest)).bytes, before.bytes);
  },

  "a manifest that comes back is a new one": async (scene) => {
    const repository = scene.repository();
    const index = await scene.put(repository, scene.index({ note: "back" }), { tags: ["v1"] });
    const { manifestId } = await scene.manifest(repository, index.digest);
    await scene.deleteManifest(repository, index.digest);
    await scene.put(repository, index);
    assert.notEqual((await scene.manifest(repository, index.digest)).manifestId, manifestId);
    assert.deepEqual(await scene.tags(repository), []);
  },

  "a child that an index holds goes by force only; the index stays": async (scene) => {
    const repository = scene.repository();
    const child = scene.index({ note: "child" });
    await scene.put(repository, child, { tags: ["child"] });
    const index = scene.index({ note: "index", children: [child] });
    await scene.put(repository, index);
    const held = { outcome: "referenced", manifests: [index.digest] };
    assert.deepEqual(await scene.deleteManifest(repository, child.digest), held);
    assert.equal(await scene.lookUp(repository, "child"), child.digest);
    const forced = await scene.deleteManifest(repository, child.digest, { force: true });
    assert.deepEqual(forced, deleted);
    assert.equal(await scene.lookUp(repository, child.digest), undefined);
    assert.equal(await scene.lookUp(repository, index.digest), index.digest);
    const missing = { outcome: "missing", digests: [child.digest] };
    assert.deepEqual(await scene.tryPut(repository, index), missing);
    await scene.put(repository, child);
    assert.deepEqual(await scene.deleteManifest(repository, child.digest), held);
  },

  "what it used is promised for the grace, and then free": async (scene) => {
    const repository = scene.repository();
    const child = scene.index({ note: "child" });
    await scene.put(repository, child, { graceMs: 0 });
    const [config, layer] = [scene.content("config"), scene.content("layer")];
    for (const blob of [config, layer]) await scene.push(repository, blob, { graceMs: 0 });
    const image = await scene.put(repository, scene.image({ config, layers: [layer] }));
    const index = scene.index({ note: "index", children: [child, image] });
    await scene.put(repository, index);
    const since = await scene.now();
    for (const { digest } of [index, image]) {
      assert.deepEqual(await scene.deleteManifest(repository, digest), deleted);
    }
    assertPromised((await scene.manifest(repository, child.digest)).reviewAfter, { since });
    for (const { digest } of [config, layer]) {
      assertPromised((await scene.blob(repository, digest)).reviewAfter, { since });
      assert.deepEqual(await scene.deleteBlob(repository, digest), deleted);
    }
    assert.deepEqual(await scene.deleteManifest(repository, child.digest), deleted);
  },
};

const tags: ContractCases = {
  "a deleted tag is gone; its manifest and other tags stay": async (scene) => {
    const repository = scene.repository();
    const index = scene.index({ note: "tagged" });
    await scene.put(repository, index, { tags: ["a", "b"], graceMs: 0 });
    const since = await scene.now();
    assert.deepEqual(await scene.deleteTag(repository, "a"), deleted);
    assert.equal(await scene.lookUp(repository, "a"), undefined);
    assert.equal(await scene.lookUp(repository, "b"), index.digest);
    assert.deepEqual(await scene.tags(repository), ["b"]);
    assert.deepEqual(await scene.deleteTag(repository, "b"), deleted);
    assert.deepEqual(await scene.tags(repository), []);
    const { reviewAfter } = await scene.manifest(repository, index.digest);
    assertPromised(reviewAfter, { since });
  },

  "a tag that is not there is unknown": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    await scene.put(a, scene.index({ note: "a" }), { tags: ["v1"] });
    await scene.put(b, scene.index({ note: "b" }));
    assert.deepEqual(await scene.deleteTag(b, "v1"), unknown);
    assert.deepEqual(await scene.deleteTag(a, "V1"), unknown);
    assert.deepEqual(await scene.deleteTag(scene.repository("none"), "v1"), unknown);
    assert.deepEqual(await scene.deleteTag(a, "v1"), deleted);
    assert.deepEqual(await scene.deleteTag(a, "v1"), unknown);
  },

  "a tag in one repository is not the same tag in another": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    for (const repository of [a, b]) await scene.put(repository, index, { tags: ["v1"] });
    await scene.deleteTag(a, "v1");
    assert.deepEqual(await scene.tags(b), ["v1"]);
  },
};

export const deleteManifestCases: ContractCases = { ...manifests, ...tags };
