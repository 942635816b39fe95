/** The contract of mounts. */
import assert from "node:assert/strict";
import { assertPromised, type ContractCases } from "./contract-scene.ts";

export const mountCases: ContractCases = {
  "a blob is linked from the repository that is named": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { digest, key, size } = await scene.push(from, "blob");
    const source = await scene.blob(from, digest);
    const since = await scene.now();
    const done = await scene.mount(to, digest, { from });
    assert(done.outcome === "mounted");
    assert.deepEqual(done.blob, await scene.blob(to, digest));
    const { blobId, repositoryId, reviewAfter, verifiedAt, ...rest } = done.blob;
    assert.deepEqual(rest, { digest, key, size });
    assert.equal(blobId, source.blobId);
    assert.equal(verifiedAt, source.verifiedAt);
    assert.notEqual(repositoryId, source.repositoryId);
    assertPromised(reviewAfter, { since });
    assert.deepEqual(await scene.blob(from, digest), source);
  },

  "a blob is linked from anywhere when no repository is named": async (scene) => {
    const { digest } = await scene.push(scene.repository("from"), "blob");
    const to = scene.repository("to");
    assert.equal((await scene.mount(to, digest)).outcome, "mounted");
    assert.equal(await scene.hasBlob(to, digest), true);
  },

  "a blob is linked by any of its digests": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { digest, sha512 } = scene.content("blob");
    await scene.push(from, "blob", { aliases: [sha512] });
    for (const source of [{ from }, {}]) {
      const done = await scene.mount(to, sha512, source);
      assert(done.outcome === "mounted");
      assert.equal(done.blob.digest, digest);
    }
    assert.deepEqual(await scene.blob(to, sha512), await scene.blob(to, digest));
  },

  "what is not where it is said to be is unknown, and nothing is linked": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const lacks = (await scene.begin(scene.repository("lacks"))).repository;
    const { digest } = await scene.push(from, "blob");
    const { digest: absent } = scene.content("absent");
    const wrong = [
      scene.mount(to, digest, { from: lacks }),
      scene.mount(to, digest, { from: scene.repository("unknown") }),
      scene.mount(to, digest, { from: to }),
      scene.mount(to, absent, { from }),
      scene.mount(to, absent),
    ];
    for (const done of await Promise.all(wrong)) assert.deepEqual(done, { outcome: "unknown" });
    assert.equal(await scene.hasBlob(to, digest), false);
    assert.equal(await scene.hasBlob(to, absent), false);
  },

  "a link that was taken away is nobody's source": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { digest } = await scene.push(from, "blob");
    await scene.push(scene.repository("keeps"), "blob");
    await scene.deleteBlob(from, digest);
    assert.deepEqual(await scene.mount(to, digest, { from }), { outcome: "unknown" });
    assert.equal((await scene.mount(to, digest)).outcome, "mounted");
  },

  "a blob that is being collected cannot be mounted": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { digest } = await scene.push(from, "blob");
    await scene.deleteBlob(from, digest, { graceMs: 0 });
    assert.equal(await scene.claim(digest, "claim"), "claimed");
    assert.deepEqual(await scene.mount(to, digest, { from }), { outcome: "unknown" });
    assert.deepEqual(await scene.mount(to, digest), { outcome: "unknown" });
  },

  "mounting what is linked already renews its promise": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { digest } = await scene.push(from, "blob");
    await scene.mount(to, digest, { from, graceMs: 0 });
    for (const source of [from, to]) {
      const since = await scene.now();
      const done = await scene.mount(to, digest, { from: source });
      assert(done.outcome === "mounted");
      assertPromised(done.blob.reviewAfter, { since });
      assert.deepEqual(await scene.blob(to, digest), done.blob);
    }
  },

  "a mount makes no repository that anybody could see": async (scene) => {
    const { digest } = await scene.push(scene.repository("from"), "blob");
    const to = scene.repository("to");
    await scene.mount(to, digest);
    assert.equal(await scene.tags(to), undefined);
  },
};
