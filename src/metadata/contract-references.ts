/** The contract of references: a manifest never refers to what is not there (invariant I2). */
import assert from "node:assert/strict";
import type { Digest } from "../oci/digest.ts";
import type { CommandResult } from "./commands.ts";
import type { ContractCases, PushedBlob } from "./contract-scene.ts";

/** The digests that are missing, sorted; each must have been named once. */
function missing(done: CommandResult<"putManifest">): readonly Digest[] {
  assert(done.outcome === "missing", `the manifest is ${done.outcome}`);
  assert.equal(new Set(done.digests).size, done.digests.length);
  return [...done.digests].toSorted();
}

function sorted(...contents: readonly { readonly digest: Digest }[]): readonly Digest[] {
  return contents.map(({ digest }) => digest).toSorted();
}

const blobs: ContractCases = {
  "everything that is missing is named, each digest once": async (scene) => {
    const repository = scene.repository();
    const there = await scene.push(repository, "there");
    const [config, one, two] = ["config", "one", "two"].map((text) => scene.content(text));
    assert(config !== undefined && one !== undefined && two !== undefined);
    const image = scene.image({ config, layers: [one, there, two, one, config] });
    assert.deepEqual(missing(await scene.tryPut(repository, image)), sorted(config, one, two));
    const index = scene.index({ note: "index", children: [image, image] });
    assert.deepEqual(missing(await scene.tryPut(repository, index)), sorted(image));
  },

  "what other repositories have counts for nothing": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { config, image, layer } = await scene.putImage(a, "image");
    const index = scene.index({ note: "index", children: [image] });
    assert.deepEqual(missing(await scene.tryPut(b, image)), sorted(config, layer));
    assert.deepEqual(missing(await scene.tryPut(b, index)), sorted(image));
    await scene.mount(b, config.digest);
    assert.deepEqual(missing(await scene.tryPut(b, image)), sorted(layer));
    await scene.mount(b, layer.digest);
    await scene.put(b, image);
    await scene.put(b, index);
  },

  "what was deleted counts for nothing": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    await scene.deleteBlob(repository, config.digest);
    const image = scene.image({ config });
    assert.deepEqual(missing(await scene.tryPut(repository, image)), sorted(config));
    const child = await scene.put(repository, scene.index({ note: "child" }));
    await scene.deleteManifest(repository, child.digest);
    const index = scene.index({ note: "index", children: [child] });
    assert.deepEqual(missing(await scene.tryPut(repository, index)), sorted(child));
  },

  "what need not exist is no obstacle, and excuses nothing else": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const [foreign, lost] = [scene.content("foreign"), scene.content("lost")];
    const optional = [foreign.digest];
    const both = scene.image({ config, layers: [foreign, lost] });
    assert.deepEqual(missing(await scene.tryPut(repository, both, { optional })), sorted(lost));
    await scene.put(repository, scene.image({ config, layers: [foreign] }), { optional });
  },

  "one blob may be config and layer, and any digest of it will do": async (scene) => {
    const repository = scene.repository();
    const { digest, sha512 } = scene.content("blob");
    const blob = await scene.push(repository, "blob", { aliases: [sha512] });
    const layers = [blob, { ...blob, digest: sha512 }];
    const image = await scene.put(repository, scene.image({ config: blob, layers }));
    for (const each of [digest, sha512]) {
      const done = await scene.deleteBlob(repository, each);
      assert.deepEqual(done, { outcome: "referenced", manifests: [image.digest] });
    }
  },

  "a subject need not exist, and does not protect": async (scene) => {
    const repository = scene.repository();
    const subject = scene.index({ note: "subject" });
    await scene.put(repository, scene.index({ note: "referrer", subject }));
    await scene.put(repository, subject);
    assert.equal((await scene.deleteManifest(repository, subject.digest)).outcome, "deleted");
  },

  "a manifest may have very many references": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const texts = Array.from({ length: 1500 }, (_value, index) => `layer ${index}`);
    const foreign = texts.map((text) => scene.content(text));
    const known: PushedBlob[] = [];
    for (const layer of foreign.slice(0, 250)) known.push(await scene.push(repository, layer));
    const optional = foreign.map(({ digest }) => digest);
    const image = scene.image({ config, layers: foreign });
    const refused = await scene.tryPut(repository, image);
    assert.equal(missing(refused).length, foreign.length - known.length);
    await scene.put(repository, image, { optional });
    for (const layer of [known.at(0), known.at(-1)]) {
      assert(layer !== undefined);
      const done = await scene.deleteBlob(repository, layer.digest);
      assert.deepEqual(done, { outcome: "referenced", manifests: [image.digest] });
    }
  },
};

const children: ContractCases = {
  "an index holds its children, and its children's children": async (scene) => {
    const repository = scene.repository();
    const { image } = await scene.putImage(repository, "image");
    const inner = scene.index({ note: "inner", children: [image] });
    await scene.put(repository, inner);
    const outer = scene.index({ note: "outer", children: [inner, image] });
    await scene.put(repository, outer);
    for (const [child, parents] of [
      [image, sorted(inner, outer)],
      [inner, sorted(outer)],
    ] as const) {
      const done = await scene.deleteManifest(repository, child.digest);
      assert(done.outcome === "referenced");
      assert.deepEqual([...done.manifests].toSorted(), parents);
    }
  },

  "an index that came before its child holds it once it is there": async (scene) => {
    const [repository, other] = [scene.repository("a"), scene.repository("b")];
    const child = scene.index({ note: "child" });
    const index = scene.index({ note: "sparse", children: [child] });
    await scene.put(repository, index, { optional: [child.digest] });
    await scene.put(other, child);
    assert.equal((await scene.deleteManifest(other, child.digest)).outcome, "deleted");
    await scene.put(repository, child);
    const held = { outcome: "referenced", manifests: [index.digest] };
    assert.deepEqual(await scene.deleteManifest(repository, child.digest), held);
    await scene.deleteManifest(repository, index.digest);
    assert.equal((await scene.deleteManifest(repository, child.digest)).outcome, "deleted");
  },
};

/** Build caches are indexes whose children are layers and a config: blobs, not manifests. */
const blobChildren: ContractCases = {
  "the children of an index may be blobs, which it then holds": async (scene) => {
    const repository = scene.repository();
    const layer = await scene.push(repository, "layer");
    const { image } = await scene.putImage(repository, "image");
    const absent = scene.content("absent");
    const children = [layer, image, layer];
    const refused = scene.index({ note: "cache", children: [...children, absent] });
    assert.deepEqual(missing(await scene.tryPut(repository, refused)), sorted(absent));
    const cache = await scene.put(repository, scene.index({ note: "cache", children }));
    const held = { outcome: "referenced", manifests: [cache.digest] };
    assert.deepEqual(await scene.deleteBlob(repository, layer.digest), held);
    assert.deepEqual(await scene.deleteManifest(repository, image.digest), held);
    await scene.put(repository, cache);
    await scene.deleteManifest(repository, cache.digest);
    assert.equal((await scene.deleteBlob(repository, layer.digest)).outcome, "deleted");
  },

  "a blob of another repository is no child": async (scene) => {
    const layer = await scene.push(scene.repository("a"), "layer");
    const cache = scene.index({ note: "cache", children: [layer] });
    assert.deepEqual(missing(await scene.tryPut(scene.repository("b"), cache)), sorted(layer));
  },

  "by force such a blob goes, and the index holds it again once it is back": async (scene) => {
    const repository = scene.repository();
    const layer = await scene.push(repository, "layer");
    const cache = scene.index({ note: "cache", children: [layer] });
    await scene.put(repository, cache);
    for (let round = 0; round < 2; round += 1) {
      const forced = await scene.deleteBlob(repository, layer.digest, { force: true });
      assert.deepEqual(forced, { outcome: "deleted" });
      assert.deepEqual(missing(await scene.tryPut(repository, cache)), sorted(layer));
      await scene.push(repository, "layer");
      const held = { outcome: "referenced", manifests: [cache.digest] };
      assert.deepEqual(await scene.deleteBlob(repository, layer.digest), held);
    }
  },

  "an index that came before such a blob holds it once it is there": async (scene) => {
    const repository = scene.repository();
    const layer = scene.content("layer");
    const cache = scene.index({ note: "cache", children: [layer] });
    await scene.put(repository, cache, { optional: [layer.digest] });
    await scene.push(repository, "layer");
    const held = { outcome: "referenced", manifests: [cache.digest] };
    assert.deepEqual(await scene.deleteBlob(repository, layer.digest), held);
  },

  "a manifest that was a blob at first becomes the child": async (scene) => {
    const ways = { "while the index waits": true, "before the index": false };
    for (const [way, sparse] of Object.entries(ways)) {
      const repository = scene.repository();
      const child = scene.index({ note: way });
      const { digest, size } = child;
      const asBlob = { ...scene.content(way), digest, size };
      const index = scene.index({ note: `index ${way}`, children: [child] });
      if (!sparse) await scene.push(repository, asBlob);
      await scene.put(repository, index, { optional: sparse ? [digest] : [] });
      if (sparse) await scene.push(repository, asBlob);
      await scene.put(repository, child);
      const held = { outcome: "referenced", manifests: [index.digest] };
      assert.deepEqual(await scene.deleteManifest(repository, digest), held, way);
    }
  },
};

export const referenceCases: ContractCases = { ...blobs, ...children, ...blobChildren };
