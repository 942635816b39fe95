/** The contract of putting a manifest: what is stored, under which names. */
import assert from "node:assert/strict";
import { assertPromised, type ContractCases } from "./contract-scene.ts";

const storing: ContractCases = {
  "a manifest is found by its digest and by its tag, byte for byte": async (scene) => {
    const repository = scene.repository();
    const since = await scene.now();
    const { image } = await scene.putImage(repository, "image", { tags: ["latest"] });
    const { bytes, digest, mediaType, size } = image;
    for (const by of [digest, "latest"]) {
      const found = await scene.manifest(repository, by);
      assert(found.bytes !== undefined && Buffer.compare(found.bytes, bytes) === 0);
      const { bytes: _bytes, manifestId, repositoryId, reviewAfter, ...rest } = found;
      assert.deepEqual(rest, { digest, mediaType, size });
      assertPromised(reviewAfter, { since });
      assert(Number.isSafeInteger(manifestId) && Number.isSafeInteger(repositoryId));
      const reference = scene.reference(by);
      const without = await scene.store.findManifest(repository, reference, { bytes: false });
      assert.deepEqual(without, { ...found, bytes: undefined });
    }
  },

  "a manifest is its repository's alone": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = await scene.put(a, scene.index({ note: "a" }), { tags: ["v1"] });
    await scene.put(b, scene.index({ note: "b" }), { tags: ["v2"] });
    for (const repository of [b, scene.repository("unknown")]) {
      assert.equal(await scene.lookUp(repository, index.digest), undefined);
      assert.equal(await scene.lookUp(repository, "v1"), undefined);
    }
    assert.equal(await scene.lookUp(a, scene.content("absent").digest), undefined);
    assert.equal(await scene.lookUp(a, "absent"), undefined);
  },

  "the same manifest in two repositories has two records": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "both" });
    for (const repository of [a, b]) await scene.put(repository, index);
    const [inA, inB] = [
      await scene.manifest(a, index.digest),
      await scene.manifest(b, index.digest),
    ];
    assert.notEqual(inA.manifestId, inB.manifestId);
    assert.notEqual(inA.repositoryId, inB.repositoryId);
    assert.deepEqual(inA.bytes, inB.bytes);
  },

  "a manifest has the digest by which it was pushed, of any algorithm": async (scene) => {
    const repository = scene.repository();
    for (const algorithm of ["sha256", "sha384", "sha512"] as const) {
      const index = scene.index({ note: algorithm, algorithm });
      await scene.put(repository, index, { tags: [algorithm] });
      assert.equal(await scene.lookUp(repository, index.digest), index.digest);
      assert.equal(await scene.lookUp(repository, algorithm), index.digest);
    }
  },

  "putting a manifest again changes nothing, and renews its promise": async (scene) => {
    const repository = scene.repository();
    const { image } = await scene.putImage(repository, "image", { tags: ["v1"], graceMs: 0 });
    const { digest } = image;
    const before = await scene.manifest(repository, digest);
    const since = await scene.now();
    await scene.put(repository, image);
    const { reviewAfter, ...rest } = await scene.manifest(repository, digest);
    assertPromised(reviewAfter, { since });
    assert.deepEqual({ ...rest, reviewAfter: before.reviewAfter }, before);
    assert.deepEqual(await scene.tags(repository), ["v1"]);
    assert.equal((await scene.deleteManifest(repository, digest)).outcome, "deleted");
    assert.equal(await scene.lookUp(repository, digest), undefined);
  },

  "four mebibytes come back as they were": async (scene) => {
    const repository = scene.repository();
    const annotations = { large: "\u{1f6a2}ü".repeat(650_000) };
    const index = await scene.put(repository, scene.index({ note: "large", annotations }));
    const { bytes } = await scene.manifest(repository, index.digest);
    assert(bytes !== undefined && Buffer.compare(bytes, index.bytes) === 0);
  },

  "bytes that lie in a larger buffer are stored alone": async (scene) => {
    const repository = scene.repository();
    const index = scene.index({ note: "view" });
    const buffer = new Uint8Array(index.size + 200).fill(0x20);
    buffer.set(index.bytes, 100);
    await scene.put(repository, { ...index, bytes: buffer.subarray(100, 100 + index.size) });
    const { bytes } = await scene.manifest(repository, index.digest);
    assert(bytes !== undefined && Buffer.compare(bytes, index.bytes) === 0);
  },
};

const tagging: ContractCases = {
  "a manifest gets several tags at once": async (scene) => {
    const repository = scene.repository();
    const tags = ["1", "1.2", "1.2.3", "latest"];
    const { digest } = await scene.put(repository, scene.index({ note: "tagged" }), { tags });
    assert.deepEqual(await scene.tags(repository), tags);
    for (const tag of tags) assert.equal(await scene.lookUp(repository, tag), digest);
  },

  "tags differ by every letter's case": async (scene) => {
    const repository = scene.repository();
    const lower = await scene.put(repository, scene.index({ note: "lower" }), { tags: ["a"] });
    const upper = await scene.put(repository, scene.index({ note: "upper" }), { tags: ["A"] });
    assert.equal(await scene.lookUp(repository, "a"), lower.digest);
    assert.equal(await scene.lookUp(repository, "A"), upper.digest);
  },

  "a tag moves; what it pointed to stays, and is promised for the grace": async (scene) => {
    const repository = scene.repository();
    const first = scene.index({ note: "first" });
    await scene.put(repository, first, { tags: ["moved", "stays"], graceMs: 0 });
    const since = await scene.now();
    const second = await scene.put(repository, scene.index({ note: "second" }), {
      tags: ["moved"],
    });
    assert.equal(await scene.lookUp(repository, "moved"), second.digest);
    assert.equal(await scene.lookUp(repository, "stays"), first.digest);
    const { reviewAfter } = await scene.manifest(repository, first.digest);
    assertPromised(reviewAfter, { since });
    await scene.put(repository, first, { tags: ["moved"] });
    assert.equal(await scene.lookUp(repository, "moved"), first.digest);
  },

  "a push without tags moves none": async (scene) => {
    const repository = scene.repository();
    const first = await scene.put(repository, scene.index({ note: "first" }), { tags: ["v1"] });
    await scene.put(repository, scene.index({ note: "second" }));
    assert.equal(await scene.lookUp(repository, "v1"), first.digest);
    assert.deepEqual(await scene.tags(repository), ["v1"]);
  },

  "a refused push leaves nothing and moves no tag": async (scene) => {
    const repository = scene.repository();
    const first = await scene.put(repository, scene.index({ note: "first" }), { tags: ["v1"] });
    const image = scene.image({ config: scene.content("absent") });
    const done = await scene.tryPut(repository, image, { tags: ["v1", "v2"] });
    assert.equal(done.outcome, "missing");
    assert.equal(await scene.lookUp(repository, image.digest), undefined);
    assert.equal(await scene.lookUp(repository, "v1"), first.digest);
    assert.deepEqual(await scene.tags(repository), ["v1"]);
    const nowhere = scene.repository("unknown");
    assert.equal((await scene.tryPut(nowhere, image, { tags: ["v1"] })).outcome, "missing");
    assert.equal(await scene.tags(nowhere), undefined);
  },
};

export const putManifestCases: ContractCases = { ...storing, ...tagging };
