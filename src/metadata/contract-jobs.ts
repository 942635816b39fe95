/**
 * The contract of background work: leases, what upkeep reads, bytes that no row speaks of, and
 * which storage root a database belongs to (invariant I4).
 */
import assert from "node:assert/strict";
import type { BlobKey } from "../storage/blob-store.ts";
import type { CommandResult } from "./commands.ts";
import { hourMs, type ContractCases, type PushedBlob, type Scene } from "./contract-scene.ts";
import { knownMax } from "./metadata-store.ts";

type Taken = CommandResult<"acquireLease">;

/** `expired` is a lease that runs out at once. */
const expired = 0;

async function take(scene: Scene, holder: string, leaseMs: number = hourMs): Promise<Taken> {
  return await scene.store.execute("acquireLease", { name: scene.claimId("job"), holder, leaseMs });
}

async function taken(scene: Scene, holder: string, leaseMs?: number): Promise<number> {
  const done = await take(scene, holder, leaseMs);
  assert(done.outcome === "acquired", `the lease is ${done.outcome}`);
  return done.epoch;
}

async function release(scene: Scene, epoch: number): Promise<string> {
  const proof = { name: scene.claimId("job"), epoch };
  return (await scene.store.execute("releaseLease", proof)).outcome;
}

const leases: ContractCases = {
  "a lease is one holder's, and others learn how long to wait": async (scene) => {
    await taken(scene, "one");
    const refused = await take(scene, "two");
    assert(refused.outcome === "busy");
    assert(refused.retryAfterMs > 0 && refused.retryAfterMs <= hourMs);
  },

  "its holder goes on holding it, under the same epoch": async (scene) => {
    const epoch = await taken(scene, "one", 1000);
    assert.equal(await taken(scene, "one"), epoch);
    assert.equal((await take(scene, "two")).outcome, "busy");
    assert.equal(await taken(scene, "one", expired), epoch);
    // Nobody else came: it was held all the time.
    assert.equal(await taken(scene, "one"), epoch);
  },

  "a lease that ran out is anybody's, under a new epoch": async (scene) => {
    const first = await taken(scene, "one", expired);
    const second = await taken(scene, "two", expired);
    assert(second > first);
    assert((await taken(scene, "one")) > second);
  },

  "a lease is given back by its epoch only, and no epoch comes twice": async (scene) => {
    const old = await taken(scene, "one", expired);
    const epoch = await taken(scene, "two");
    assert.equal(await release(scene, old), "lost");
    assert.equal((await take(scene, "three")).outcome, "busy");
    assert.equal(await release(scene, epoch), "released");
    assert.equal(await release(scene, epoch), "lost");
    assert((await taken(scene, "two")) > epoch);
  },

  "leases of different names have nothing to do with each other": async (scene) => {
    await taken(scene, "one");
    const other = { name: scene.claimId("other"), holder: "two", leaseMs: hourMs };
    assert.equal((await scene.store.execute("acquireLease", other)).outcome, "acquired");
  },

  "of many who want a lease at once one gets it": async (scene) => {
    for (let round = 0; round < 10; round += 1) {
      const name = scene.claimId(`round ${round}`);
      const all = await Promise.all(
        Array.from({ length: 8 }, (_, index) => {
          const store = index % 2 === 0 ? scene.store : scene.other;
          return store.execute("acquireLease", { name, holder: `${index}`, leaseMs: hourMs });
        }),
      );
      const winners = all.filter(({ outcome }) => outcome === "acquired");
      assert.equal(winners.length, 1, `in round ${round}`);
    }
  },
};

/** A blob that nothing uses and nobody was promised. */
async function garbage(scene: Scene, text = "garbage"): Promise<PushedBlob> {
  const repository = scene.repository("garbage");
  const blob = await scene.push(repository, text, { graceMs: 0 });
  await scene.deleteBlob(repository, blob.digest, { graceMs: 0 });
  return blob;
}

const proofs: ContractCases = {
  "a claim proves that its job still holds the lease": async (scene) => {
    const { digest } = await garbage(scene);
    const orphan = { ...orphanOf(scene), claim: scene.claimId("orphan") };
    const lost = { name: scene.claimId("job"), epoch: await taken(scene, "one", expired) };
    const lease = { name: scene.claimId("job"), epoch: await taken(scene, "two", expired) };
    const claim = scene.claimId("claim");
    const never = { name: scene.claimId("never taken"), epoch: 1 };
    for (const wrong of [lost, never]) {
      const claimed = await scene.store.execute("claimBlob", { digest, claim, lease: wrong });
      assert.deepEqual(claimed, { outcome: "lease-lost" });
      const swept = await scene.store.execute("claimOrphan", { ...orphan, lease: wrong });
      assert.deepEqual(swept, { outcome: "lease-lost" });
    }
    assert.deepEqual(await claimsOf(scene, [digest, orphan.digest]), []);
    // It has run out, and nobody has taken it: no work is done twice.
    const claimed = await scene.store.execute("claimBlob", { digest, claim, lease });
    assert.equal(claimed.outcome, "claimed");
    const swept = await scene.store.execute("claimOrphan", { ...orphan, lease });
    assert.equal(swept.outcome, "claimed");
  },

  "who has given its lease back proves nothing by it": async (scene) => {
    const { digest } = await garbage(scene);
    const lease = { name: scene.claimId("job"), epoch: await taken(scene, "one") };
    await scene.store.execute("releaseLease", lease);
    const claim = scene.claimId("claim");
    const claimed = await scene.store.execute("claimBlob", { digest, claim, lease });
    assert.equal(claimed.outcome, "lease-lost");
  },
};

interface Orphan {
  readonly digest: PushedBlob["digest"];
  readonly key: BlobKey;
  readonly size: number;
}

/** Bytes that nobody has told the database of. */
function orphanOf(scene: Scene, text = "orphan"): Orphan {
  const { digest, key, size } = scene.content(text);
  return { digest, key, size };
}

async function claimOrphan(scene: Scene, orphan: Orphan, claim: string): Promise<string> {
  const input = { ...orphan, claim: scene.claimId(claim) };
  return (await scene.store.execute("claimOrphan", input)).outcome;
}

const orphans: ContractCases = {
  "bytes without a row get one, until they are gone": async (scene) => {
    const orphan = orphanOf(scene);
    assert.equal(await claimOrphan(scene, orphan, "one"), "claimed");
    assert.equal(await claimOrphan(scene, orphan, "two"), "known");
    assert.equal(await claimOrphan(scene, orphan, "one"), "claimed", "also if it is asked again");
    assert.equal(await scene.store.findBlobAnywhere(orphan.digest), undefined);
    const [listed] = await claimsOf(scene, [orphan.digest]);
    assert(listed !== undefined);
    const { blobId, ...claimed } = listed;
    assert(Number.isSafeInteger(blobId));
    assert.deepEqual(claimed, { ...orphan, claim: scene.claimId("one") });
    assert.equal(await scene.deleteClaimed("two"), "lost");
    assert.equal(await scene.deleteClaimed("one"), "deleted");
    assert.deepEqual(await known(scene, [orphan.digest]), []);
    assert.equal(await claimOrphan(scene, orphan, "three"), "claimed");
  },

  "what somebody has pushed is no orphan, by any of its digests or its key": async (scene) => {
    const repository = scene.repository();
    const { digest, key, sha512 } = await scene.push(repository, "blob", {
      aliases: [scene.content("blob").sha512],
    });
    const orphan = orphanOf(scene);
    assert.equal(await claimOrphan(scene, { ...orphan, digest }, "1"), "known");
    assert.equal(await claimOrphan(scene, { ...orphan, digest: sha512 }, "2"), "known");
    assert.equal(await claimOrphan(scene, { ...orphan, key }, "3"), "known");
    assert.equal(await scene.hasBlob(repository, digest), true);
  },

  "bytes at the place of a manifest are no orphan, in whatever repository it is": async (scene) => {
    const index = await scene.put(scene.repository(), scene.index({ note: "alone" }));
    const orphan = { ...orphanOf(scene), digest: index.digest };
    assert.equal(await claimOrphan(scene, orphan, "1"), "known");
    await scene.deleteManifest(scene.repository(), index.digest);
    assert.equal(await claimOrphan(scene, orphan, "2"), "claimed");
  },

  "a commit takes the bytes away from the sweeper": async (scene) => {
    const orphan = orphanOf(scene);
    await claimOrphan(scene, orphan, "claim");
    await scene.push(scene.repository(), "orphan");
    assert.equal(await scene.deleteClaimed("claim"), "lost");
    assert.equal(await scene.hasBlob(scene.repository(), orphan.digest), true);
    assert.deepEqual(await claimsOf(scene, [orphan.digest]), []);
  },

  "an orphan that comes to life without a link is unused at once": async (scene) => {
    const { digest, key, ...rest } = orphanOf(scene);
    await claimOrphan(scene, { digest, key, ...rest }, "claim");
    await scene.store.execute("confirmBlob", { digest, key });
    assert.deepEqual(await unusedOf(scene, [digest]), [digest]);
    assert.equal(await scene.claim(digest, "again"), "claimed");
  },

  "commits beside sweepers always end with the blob": async (scene) => {
    const repository = scene.repository();
    for (let round = 0; round < 25; round += 1) {
      const content = scene.content(`round ${round}`);
      const { digest, key, size } = content;
      const claim = scene.claimId(`round ${round}`);
      const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
      await Promise.all([
        scene.other.execute("claimOrphan", { digest, key, size, claim }),
        scene.store.execute("commitUpload", scene.commitInput(upload, content)),
        scene.other.execute("deleteClaimedBlob", { claim }),
      ]);
      assert.equal(await scene.hasBlob(repository, digest), true, `in round ${round}`);
    }
  },
};

/** All pages of a list, in small ones. */
async function paged<T extends { readonly blobId: number }>(
  list: (options: { after: number; limit: number }) => Promise<readonly T[]>,
): Promise<T[]> {
  const all: T[] = [];
  for (let after = 0; ;) {
    const page = await list({ after, limit: 3 });
    all.push(...page);
    assert(page.length <= 3);
    for (const { blobId } of page) {
      assert(blobId > after, "pages are in order");
      after = blobId;
    }
    if (page.length < 3) return all;
  }
}

async function claimsOf(scene: Scene, digests: readonly string[]) {
  const all = await paged((options) => scene.store.upkeep.listClaims(options));
  return all.filter(({ digest }) => digests.includes(digest));
}

async function unusedOf(scene: Scene, digests: readonly string[]): Promise<readonly string[]> {
  const all = await paged((options) => scene.store.upkeep.listUnused(options));
  return all.map(({ digest }) => digest).filter((digest) => digests.includes(digest));
}

async function known(scene: Scene, digests: readonly PushedBlob["digest"][]) {
  return [...(await scene.store.upkeep.known({ digests }))];
}

const reads: ContractCases = {
  "what is unused is what a claim would get, and a claim is listed": async (scene) => {
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const blobs = await Promise.all(["1", "2", "3", "4", "5"].map((text) => garbage(scene, text)));
    const [first, promised, linked, mirrored, gone] = blobs;
    assert(first && promised && linked && mirrored && gone);
    await scene.push(a, promised, { graceMs: 0 });
    await scene.deleteBlob(a, promised.digest, { graceMs: hourMs });
    await scene.push(b, linked, { graceMs: 0 });
    const index = await scene.put(b, scene.index({ note: "a manifest" }));
    await scene.push(
      a,
      { ...mirrored, digest: index.digest },
      { key: `${mirrored.key}/2` as BlobKey },
    );
    await scene.deleteBlob(a, index.digest, { graceMs: 0 });
    const { blobId, verifiedAt } = await scene.blob(a, (await scene.push(a, gone)).digest);
    await scene.store.execute("markBlobMissing", { blobId, verifiedAt });
    await scene.deleteBlob(a, gone.digest, { graceMs: 0 });
    const all = [...blobs.map(({ digest }) => digest), index.digest];
    const expected = [first, mirrored, gone].map(({ digest }) => digest);
    assert.deepEqual(new Set(await unusedOf(scene, all)), new Set(expected));
    for (const digest of all) {
      const outcome = await scene.claim(digest, `claim ${all.indexOf(digest)}`);
      assert.equal(outcome, expected.includes(digest) ? "claimed" : "in-use");
    }
    assert.deepEqual(await unusedOf(scene, all), []);
    const claims = await claimsOf(scene, all);
    assert.deepEqual(new Set(claims.map(({ digest }) => digest)), new Set(expected));
    const keys = [first.key, mirrored.key, gone.key];
    assert.deepEqual(new Set(claims.map(({ key }) => key)), new Set(keys));
  },

  "known is what any row speaks of": async (scene) => {
    const repository = scene.repository();
    const blob = await scene.push(repository, "blob", { aliases: [scene.content("blob").sha512] });
    const claimed = await garbage(scene);
    await scene.claim(claimed.digest, "claim");
    const index = await scene.put(repository, scene.index({ note: "known" }));
    const upload = await scene.begin(repository);
    const never = scene.content("never");
    const found = await scene.store.upkeep.known({
      keys: [blob.key, claimed.key, never.key],
      digests: [blob.digest, blob.sha512, claimed.digest, index.digest, never.digest],
      uploads: [upload.id, "never"],
    });
    const expected = [blob.key, claimed.key, blob.digest, blob.sha512, claimed.digest];
    assert.deepEqual(found, new Set([...expected, index.digest, upload.id]));
    assert.equal((await scene.store.upkeep.known({})).size, 0);
  },

  "many names are asked for at once, and no more than that": async (scene) => {
    const { digest } = await scene.push(scene.repository(), "blob");
    const others = Array.from({ length: knownMax }, (_, at) => scene.content(`${at}`).digest);
    const digests = [...others.slice(1), digest];
    assert.deepEqual(await known(scene, digests), [digest]);
    await assert.rejects(known(scene, [...digests, digest]), RangeError);
  },

  "who is being committed is always known": async (scene) => {
    const repository = scene.repository();
    for (let round = 0; round < 25; round += 1) {
      const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
      const content = scene.content(`round ${round}`);
      const looks = Array.from({ length: 4 }, async () => {
        const what = { keys: [content.key], uploads: [upload.id] };
        return await scene.other.upkeep.known(what);
      });
      const commit = scene.store.execute("commitUpload", scene.commitInput(upload, content));
      const sizes = (await Promise.all([...looks, commit.then(() => new Set([1]))])).map(
        ({ size }) => size,
      );
      assert.deepEqual(sizes, [1, 1, 1, 1, 1], `in round ${round}`);
    }
  },
};

const idle: ContractCases = {
  "uploads are idle when nobody has written to them, and nobody is about to": async (scene) => {
    const repository = scene.repository();
    const free = await scene.begin(repository);
    const left = await scene.begin(repository, { writer: "gone", leaseMs: expired });
    const held = await scene.begin(repository, { writer: "there", leaseMs: hourMs });
    const ids = new Set([free.id, left.id, held.id]);
    const list = async (idleMs: number): Promise<readonly string[]> => {
      const found: string[] = [];
      for (let after = ""; ;) {
        const page = await scene.store.upkeep.listIdleUploads({ idleMs, after, limit: 2 });
        for (const { id } of page) assert(id > after, "pages are in byte order");
        found.push(...page.map(({ id }) => id));
        const last = page.at(-1);
        if (last === undefined || page.length < 2) return found.filter((id) => ids.has(id));
        after = last.id;
      }
    };
    assert.deepEqual(await list(expired), [free.id, left.id].toSorted());
    assert.deepEqual(await list(hourMs), []);
    const all = await scene.store.upkeep.listIdleUploads({ idleMs: 0, after: "", limit: 10_000 });
    const record = all.find(({ id }) => id === free.id);
    assert.deepEqual(record, free);
  },

  "an idle upload is ended, and one that somebody goes on with is not": async (scene) => {
    const repository = scene.repository();
    const end = async (id: string, idleMs: number): Promise<string> =>
      (await scene.store.execute("deleteUpload", { repository, id, idleMs })).outcome;
    const free = await scene.begin(repository);
    const held = await scene.begin(repository, { writer: "there", leaseMs: hourMs });
    assert.equal(await end(free.id, hourMs), "unknown");
    assert.equal(await end(held.id, 0), "unknown");
    assert.equal(await end(free.id, 0), "deleted");
    assert.equal(await scene.store.findUpload(repository, free.id), undefined);
    assert.deepEqual(await scene.store.findUpload(repository, held.id), held);
  },
};

const identity: ContractCases = {
  "a database belongs to one storage root, whoever is first to say so": async (scene) => {
    const candidates = Array.from({ length: 8 }, (_, index) => ({ id: `root-${index}`, epoch: 1 }));
    const adopted = await Promise.all(
      candidates.map((each, index) =>
        (index % 2 === 0 ? scene.store : scene.other).execute("adoptStore", each),
      ),
    );
    const [first] = adopted;
    assert(first !== undefined);
    for (const each of adopted) assert.deepEqual(each, first);
    assert.deepEqual(await scene.store.upkeep.storeIdentity(), first);
    assert.deepEqual(await scene.other.upkeep.storeIdentity(), first);
    const late = await scene.store.execute("adoptStore", { id: "late", epoch: 7 });
    assert.deepEqual(late, first);
  },
};

export const jobCases: ContractCases = {
  ...leases,
  ...proofs,
  ...orphans,
  ...reads,
  ...idle,
  ...identity,
};
