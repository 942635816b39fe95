/** The contract of a blob's deletion: one repository's link is taken away (invariants I2, I4). */
import assert from "node:assert/strict";
import type { ContractCases } from "./contract-scene.ts";

const deleted = { outcome: "deleted" };
const unknown = { outcome: "unknown" };

const links: ContractCases = {
  "a deleted blob is gone from its repository, and from no other": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob");
    await scene.mount(b, digest);
    const inB = await scene.blob(b, digest);
    assert.deepEqual(await scene.deleteBlob(a, digest), deleted);
    assert.equal(await scene.hasBlob(a, digest), false);
    assert.deepEqual(await scene.blob(b, digest), inB);
    assert.deepEqual(await scene.store.findBlobAnywhere(digest), inB);
    assert.deepEqual(await scene.deleteBlob(b, digest), deleted);
    assert.equal(await scene.store.findBlobAnywhere(digest), undefined);
  },

  "what the repository does not have is unknown": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob");
    await scene.begin(b);
    assert.deepEqual(await scene.deleteBlob(b, digest), unknown);
    assert.deepEqual(await scene.deleteBlob(scene.repository("none"), digest), unknown);
    assert.deepEqual(await scene.deleteBlob(a, scene.content("absent").digest), unknown);
    assert.equal(await scene.hasBlob(a, digest), true);
    assert.deepEqual(await scene.deleteBlob(a, digest), deleted);
    assert.deepEqual(await scene.deleteBlob(a, digest), unknown);
    assert.deepEqual(await scene.deleteBlob(a, digest, { force: true }), unknown);
  },

  "a blob is deleted by any of its digests": async (scene) => {
    const repository = scene.repository();
    const { digest, sha512 } = scene.content("blob");
    await scene.push(repository, "blob", { aliases: [sha512] });
    assert.deepEqual(await scene.deleteBlob(repository, sha512), deleted);
    assert.equal(await scene.hasBlob(repository, digest), false);
  },

  "a deleted blob may be pushed and mounted again": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    await scene.deleteBlob(repository, digest);
    assert.deepEqual(await scene.mount(repository, digest), unknown);
    await scene.push(repository, "blob");
    assert.equal(await scene.hasBlob(repository, digest), true);
  },
};

const references: ContractCases = {
  "a blob that manifests use stays, and each of them is named once": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const layer = await scene.push(repository, "layer");
    const both = scene.image({ config, layers: [config, layer, layer] });
    const other = scene.image({ config: layer, layers: [] });
    for (const image of [both, other]) await scene.put(repository, image);
    const expected = {
      [config.digest]: [both.digest],
      [layer.digest]: [both.digest, other.digest].toSorted(),
    };
    for (const { digest } of [config, layer]) {
      const done = await scene.deleteBlob(repository, digest);
      assert(done.outcome === "referenced");
      assert.deepEqual([...done.manifests].toSorted(), expected[digest]);
      assert.equal(await scene.hasBlob(repository, digest), true);
    }
    await scene.deleteManifest(repository, both.digest);
    assert.deepEqual(await scene.deleteBlob(repository, config.digest), deleted);
    const left = { outcome: "referenced", manifests: [other.digest] };
    assert.deepEqual(await scene.deleteBlob(repository, layer.digest), left);
  },

  "manifests of other repositories protect nothing here": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { config, image } = await scene.putImage(a, "image");
    await scene.mount(b, config.digest);
    assert.deepEqual(await scene.deleteBlob(b, config.digest), deleted);
    const refused = { outcome: "referenced", manifests: [image.digest] };
    assert.deepEqual(await scene.deleteBlob(a, config.digest), refused);
  },

  "by force it goes, its manifests stay, and use it again once it is back": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const image = await scene.put(repository, scene.image({ config, layers: [config] }));
    const forced = await scene.deleteBlob(repository, config.digest, { force: true });
    assert.deepEqual(forced, deleted);
    assert.equal(await scene.hasBlob(repository, config.digest), false);
    assert.equal(await scene.lookUp(repository, image.digest), image.digest);
    const missing = { outcome: "missing", digests: [config.digest] };
    const second = scene.image({ config, annotations: { other: "image" } });
    assert.deepEqual(await scene.tryPut(repository, second), missing);
    assert.deepEqual(await scene.tryPut(repository, image), missing);
    await scene.push(repository, "config");
    const refused = { outcome: "referenced", manifests: [image.digest] };
    assert.deepEqual(await scene.deleteBlob(repository, config.digest), refused);
  },

  "force takes a blob whose bytes are missing, whatever waits for it": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const layer = await scene.push(repository, "layer");
    const image = scene.image({ config, layers: [layer] });
    const put = () => scene.put(repository, image, { optional: [layer.digest] });
    await put();
    const { blobId, verifiedAt } = await scene.blob(repository, layer.digest);
    await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    await put();
    const forced = await scene.deleteBlob(repository, layer.digest, { force: true });
    assert.deepEqual(forced, deleted);
    await scene.push(repository, "layer");
    const refused = { outcome: "referenced", manifests: [image.digest] };
    assert.deepEqual(await scene.deleteBlob(repository, layer.digest), refused);
  },

  "force is not needed for what nothing uses": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    assert.deepEqual(await scene.deleteBlob(repository, digest, { force: true }), deleted);
  },
};

export const deleteBlobCases: ContractCases = { ...links, ...references };
