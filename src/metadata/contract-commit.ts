/** The contract of commits: an upload becomes a blob (invariants I1, I4). */
import assert from "node:assert/strict";
import type { BlobKey } from "../storage/blob-store.ts";
import { assertPromised, hourMs, type ContractCases } from "./contract-scene.ts";

const content: ContractCases = {
  "an upload becomes a blob of its repository": async (scene) => {
    const repository = scene.repository();
    const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
    const wanted = scene.content("blob");
    const done = await scene.store.execute("commitUpload", scene.commitInput(upload, wanted));
    const { digest, key, size } = wanted;
    assert.equal(done.outcome, "committed");
    const { blobId, reviewAfter, verifiedAt, ...rest } = await scene.blob(repository, digest);
    assert.deepEqual(rest, { repositoryId: upload.repositoryId, digest, key, size });
    assert(Number.isSafeInteger(blobId));
    assert(verifiedAt >= upload.createdAt);
    assertPromised(reviewAfter, { since: upload.createdAt });
    assert.deepEqual(
      await scene.store.findBlobAnywhere(digest),
      await scene.store.findBlob(repository, digest),
    );
  },

  "a blob is unknown to repositories without a link to it": async (scene) => {
    const { digest } = await scene.push(scene.repository("a"), "blob");
    await scene.begin(scene.repository("b"));
    assert.equal(await scene.hasBlob(scene.repository("b"), digest), false);
    assert.equal(await scene.hasBlob(scene.repository("unknown"), digest), false);
    const { digest: absent } = scene.content("absent");
    assert.equal(await scene.hasBlob(scene.repository("a"), absent), false);
    assert.equal(await scene.store.findBlobAnywhere(absent), undefined);
  },

  "the same content is one blob, wherever it is pushed": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob");
    const first = await scene.blob(a, digest);
    await scene.push(b, "blob");
    const again = await scene.push(a, "blob");
    const [inA, inB] = [await scene.blob(a, digest), await scene.blob(b, digest)];
    assert.equal(inA.blobId, first.blobId);
    assert.equal(inB.blobId, first.blobId);
    assert.notEqual(inA.repositoryId, inB.repositoryId);
    assert.equal(inB.key, inA.key);
    assert.equal(again.key, inA.key);
  },

  "where a store gives each commit a key of its own, the answer says which one counts": async (
    scene,
  ) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const first = await scene.push(a, "blob");
    const key = `${first.key}/second` as BlobKey;
    const second = await scene.push(b, "blob", { key });
    for (const repository of [a, b]) {
      assert.equal((await scene.blob(repository, first.digest)).key, second.key);
    }
  },

  "pushing again renews the promise": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob", { graceMs: 0 });
    const since = await scene.now();
    await scene.push(repository, "blob");
    assertPromised((await scene.blob(repository, digest)).reviewAfter, { since });
  },

  "an empty blob is a blob": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, { ...scene.content("empty"), size: 0 });
    assert.equal((await scene.blob(repository, digest)).size, 0);
  },

  "a blob of terabytes keeps its size": async (scene) => {
    const repository = scene.repository();
    const size = 5 * 2 ** 40 + 1;
    const { digest } = await scene.push(repository, { ...scene.content("large"), size });
    assert.equal((await scene.blob(repository, digest)).size, size);
    const [change] = await scene.changes();
    assert.equal(change?.size, size);
  },
};

const aliases: ContractCases = {
  "content is found by each of its digests, as one blob": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest, sha512 } = scene.content("blob");
    await scene.push(a, "blob", { aliases: [sha512] });
    const record = await scene.blob(a, digest);
    assert.deepEqual(await scene.blob(a, sha512), record);
    assert.deepEqual(await scene.store.findBlobAnywhere(sha512), record);
    assert.equal(await scene.hasBlob(b, sha512), false);
    await scene.push(b, "blob");
    assert.equal((await scene.blob(b, sha512)).blobId, record.blobId);
  },

  "another digest of known content may come later, and any number of times": async (scene) => {
    const repository = scene.repository();
    const { digest, sha512 } = await scene.push(repository, "blob");
    assert.equal(await scene.hasBlob(repository, sha512), false);
    const sha384 = scene.digestsOf("blob", "sha384");
    await scene.push(repository, "blob", { aliases: [sha512] });
    await scene.push(repository, "blob", { aliases: [sha512, sha384] });
    for (const alias of [sha512, sha384]) {
      assert.equal((await scene.blob(repository, alias)).digest, digest);
    }
  },

  "content that has no sha256 digest is found by the one it has": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { sha512 } = scene.content("imported");
    await scene.push(a, { ...scene.content("imported"), digest: sha512 });
    const record = await scene.blob(a, sha512);
    assert.equal(record.digest, sha512);
    assert.deepEqual(await scene.store.findBlobAnywhere(sha512), record);
    assert.equal((await scene.mount(b, sha512, { from: a })).outcome, "mounted");
    assert.equal((await scene.deleteBlob(a, sha512)).outcome, "deleted");
    assert.equal(await scene.hasBlob(a, sha512), false);
    assert.equal(await scene.hasBlob(b, sha512), true);
  },
};

const healing: ContractCases = {
  "a blob whose bytes are gone is unknown until somebody pushes it": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const { digest } = await scene.push(a, "blob");
    await scene.mount(b, digest);
    const { blobId, verifiedAt } = await scene.blob(a, digest);
    const mark = async () =>
      (await scene.store.execute("markBlobMissing", { blobId, verifiedAt })).outcome;
    assert.equal(await mark(), "marked");
    assert.equal(await mark(), "unchanged");
    assert.equal(await scene.hasBlob(a, digest), false);
    assert.equal(await scene.store.findBlobAnywhere(digest), undefined);
    assert.deepEqual(await scene.mount(scene.repository("c"), digest), { outcome: "unknown" });
    const image = scene.image({ config: scene.content("blob") });
    assert.deepEqual(await scene.tryPut(a, image), { outcome: "missing", digests: [digest] });

    const elsewhere = `${scene.content("blob").key}/elsewhere` as BlobKey;
    const { key } = await scene.push(a, "blob", { key: elsewhere });
    for (const repository of [a, b]) {
      const healed = await scene.blob(repository, digest);
      assert.equal(healed.blobId, blobId);
      assert.equal(healed.key, key);
    }
    await scene.put(a, image);
  },

  "a mark of what was pushed again since is too late": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    const { blobId, verifiedAt } = await scene.blob(repository, digest);
    await scene.push(repository, "blob");
    const late = await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    assert.equal(late.outcome, "unchanged");
    assert.equal(await scene.hasBlob(repository, digest), true);
  },

  "a committer that has put bytes back has the last word": async (scene) => {
    const repository = scene.repository();
    const { digest, key } = await scene.push(repository, "blob");
    const { blobId, verifiedAt } = await scene.blob(repository, digest);
    await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    const confirmed = await scene.store.execute("confirmBlob", { digest, key });
    assert.equal(confirmed.outcome, "confirmed");
    const again = await scene.blob(repository, digest);
    assert.ok(again.verifiedAt > verifiedAt);
    const late = await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    assert.equal(late.outcome, "unchanged");
    const never = scene.content("never pushed");
    const unknown = await scene.store.execute("confirmBlob", never);
    assert.equal(unknown.outcome, "unknown");
  },

  "content that is there already is taken as it is, if it is still there": async (scene) => {
    const repository = scene.repository();
    const source = scene.repository("source");
    const there = await scene.push(source, "blob");
    const upload = await scene.begin(repository, { writer: "writer", leaseMs: 60_000 });
    const elsewhere = { ...there, key: `${there.key}/elsewhere` as BlobKey };
    const moved = scene.commitInput(upload, elsewhere, { reuse: true });
    assert.deepEqual(await scene.store.execute("commitUpload", moved), { outcome: "moved" });
    assert.equal(await scene.hasBlob(repository, there.digest), false);
    const never = scene.commitInput(upload, scene.content("never"), { reuse: true });
    assert.deepEqual(await scene.store.execute("commitUpload", never), { outcome: "moved" });
    const { blobId, verifiedAt } = await scene.blob(source, there.digest);
    const reused = scene.commitInput(upload, there, { reuse: true });
    await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    assert.deepEqual(await scene.store.execute("commitUpload", reused), { outcome: "moved" });
    const { key, digest } = there;
    await scene.store.execute("confirmBlob", { digest, key });
    assert.equal((await scene.store.execute("commitUpload", reused)).outcome, "committed");
    assert.equal((await scene.blob(repository, digest)).key, key);
  },

  "nothing is marked that is not there, and a mark is no change": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.push(repository, "blob");
    const { blobId, verifiedAt } = await scene.blob(repository, digest);
    const none = await scene.store.execute("markBlobMissing", {
      blobId: blobId + 1_000_000,
      verifiedAt,
    });
    assert.equal(none.outcome, "unchanged");
    const made = await scene.changesOf(() =>
      scene.store.execute("markBlobMissing", { blobId, verifiedAt }),
    );
    assert.deepEqual(made, []);
  },

  "a manifest that came before its foreign layer uses it from then on": async (scene) => {
    const ways = {
      push: (layer: string) => scene.push(scene.repository(), layer),
      mount: async (layer: string) => {
        const { digest } = await scene.push(scene.repository("source"), layer);
        await scene.mount(scene.repository(), digest);
      },
    };
    for (const [way, bring] of Object.entries(ways)) {
      const repository = scene.repository();
      const config = await scene.push(repository, `${way}: config`);
      const layer = scene.content(way);
      const image = scene.image({ config, layers: [layer] });
      await scene.put(repository, image, { optional: [layer.digest] });
      await bring(way);
      const refused = { outcome: "referenced", manifests: [image.digest] };
      assert.deepEqual(await scene.deleteBlob(repository, layer.digest), refused);
    }
  },

  "a manifest that waits for one digest of some content gets it by any other": async (scene) => {
    const repository = scene.repository();
    const config = await scene.push(repository, "config");
    const layer = scene.content("layer");
    const image = scene.image({ config, layers: [{ ...layer, digest: layer.sha512 }] });
    await scene.put(repository, image, { optional: [layer.sha512] });
    const refused = { outcome: "referenced", manifests: [image.digest] };

    const source = scene.repository("source");
    await scene.push(source, layer, { aliases: [layer.sha512] });
    await scene.mount(repository, layer.digest, { from: source });
    assert.deepEqual(await scene.deleteBlob(repository, layer.digest), refused);
    const gone = await scene.deleteBlob(repository, layer.digest, { force: true });
    assert.equal(gone.outcome, "deleted");
    await scene.push(repository, layer);
    assert.deepEqual(await scene.deleteBlob(repository, layer.sha512), refused);
  },

  "manifests of other repositories get nothing by a push": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const layer = scene.content("layer");
    const config = await scene.push(a, "config");
    const image = scene.image({ config, layers: [layer] });
    await scene.put(a, image, { optional: [layer.digest] });
    await scene.push(b, layer);
    assert.equal(await scene.hasBlob(a, layer.digest), false);
    assert.equal((await scene.deleteBlob(b, layer.digest)).outcome, "deleted");
  },
};

export const commitCases: ContractCases = { ...content, ...aliases, ...healing };
