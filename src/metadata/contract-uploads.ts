/** The contract of uploads in progress (invariant I6). */
import assert from "node:assert/strict";
import type { UploadAppended } from "./commands.ts";
import { hourMs, type ContractCases, type Scene } from "./contract-scene.ts";
import type { UploadRecord } from "./records.ts";

const held = { writer: "one", leaseMs: hourMs };
const expired = { writer: "one", leaseMs: 0 };

/** Another writer's try. */
async function tryAcquire(scene: Scene, upload: UploadRecord, writer = "two") {
  const { id, repository } = upload;
  return await scene.store.execute("acquireUpload", { id, repository, writer, leaseMs: hourMs });
}

async function save(
  scene: Scene,
  upload: UploadRecord,
  lease: { readonly forMs: number } | "keep" | "release",
  appended?: UploadAppended,
): Promise<"saved" | "lost"> {
  const { id, writerEpoch: epoch } = upload;
  const input = { id, epoch, lease, ...(appended === undefined ? {} : { appended }) };
  return (await scene.store.execute("saveUpload", input)).outcome;
}

async function find(scene: Scene, { id, repository }: UploadRecord) {
  return await scene.store.findUpload(repository, id);
}

const beginning: ContractCases = {
  "an upload begins empty, and is its repository's alone": async (scene) => {
    const [repository, other] = [scene.repository("a"), scene.repository("b")];
    const id = scene.id();
    const input = { repository, id, algorithm: "sha512", state: "made" };
    const upload = await scene.store.execute("createUpload", input);
    const { createdAt, repositoryId, writerEpoch, ...rest } = upload;
    const fresh = { offset: 0, digestsSoFar: [], writer: undefined };
    assert.deepEqual(rest, { ...input, ...fresh });
    assert.equal(typeof writerEpoch, "number");
    assert(Number.isSafeInteger(createdAt) && Number.isSafeInteger(repositoryId));
    assert.deepEqual(await scene.store.findUpload(repository, id), upload);
    await scene.begin(other);
    assert.equal(await scene.store.findUpload(other, id), undefined);
    assert.equal(await scene.store.findUpload(scene.repository("unknown"), id), undefined);
    assert.equal(await scene.store.findUpload(repository, "unknown"), undefined);
  },

  "an upload alone makes no repository that anybody could see, and no change": async (scene) => {
    const repository = scene.repository();
    const { id } = await scene.begin(repository);
    assert.equal(await scene.store.listTags(repository, { after: "", limit: 1 }), undefined);
    await scene.store.execute("deleteUpload", { repository, id });
    assert.deepEqual(await scene.changes(), []);
  },

  "an id serves one upload": async (scene) => {
    const upload = await scene.begin(scene.repository());
    const again = { id: upload.id, algorithm: "sha256", state: "other" };
    for (const repository of [upload.repository, scene.repository("other")]) {
      await assert.rejects(scene.store.execute("createUpload", { ...again, repository }));
    }
    assert.deepEqual(await find(scene, upload), upload);
  },

  "a creator that names itself holds the lease at once": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    assert.equal(upload.writer, "one");
    assert.equal((await tryAcquire(scene, upload)).outcome, "busy");
    assert.equal(await save(scene, upload, "keep"), "saved");
  },

  "an upload is deleted once, in its own repository": async (scene) => {
    const upload = await scene.begin(scene.repository());
    const { id, repository } = upload;
    const other = (await scene.begin(scene.repository("other"))).repository;
    const remove = async (from: typeof repository) =>
      (await scene.store.execute("deleteUpload", { repository: from, id })).outcome;
    assert.equal(await remove(other), "unknown");
    assert.equal(await remove(scene.repository("unknown")), "unknown");
    assert.deepEqual(await find(scene, upload), upload);
    assert.equal(await remove(repository), "deleted");
    assert.equal(await remove(repository), "unknown");
    assert.equal(await find(scene, upload), undefined);
    assert.equal((await tryAcquire(scene, upload)).outcome, "unknown");
    assert.equal(await save(scene, upload, "keep"), "lost");
  },

  "whoever has no lease may delete an upload that somebody writes to": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    const { id, repository } = upload;
    const done = await scene.store.execute("deleteUpload", { repository, id });
    assert.equal(done.outcome, "deleted");
    assert.equal(await save(scene, upload, "keep"), "lost");
  },
};

const leases: ContractCases = {
  "an upload of another repository is unknown to whoever wants to write": async (scene) => {
    const upload = await scene.begin(scene.repository());
    const { repository } = await scene.begin(scene.repository("other"));
    assert.equal((await tryAcquire(scene, { ...upload, repository })).outcome, "unknown");
    const nowhere = scene.repository("unknown");
    const lost = { ...upload, repository: nowhere };
    assert.equal((await tryAcquire(scene, lost)).outcome, "unknown");
    assert.equal((await tryAcquire(scene, { ...upload, id: "unknown" })).outcome, "unknown");
    assert.deepEqual(await find(scene, upload), upload);
  },

  "a free upload is anybody's, with nobody before": async (scene) => {
    const upload = await scene.begin(scene.repository());
    const done = await scene.acquire(upload, "one");
    assert.equal(done.previousWriter, undefined);
    assert.equal(done.upload.writer, "one");
    assert.notEqual(done.upload.writerEpoch, upload.writerEpoch);
    assert.deepEqual(await find(scene, upload), done.upload);
  },

  "while a lease runs, others learn how far it is and how long to wait": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    await save(scene, upload, "keep", { offset: 7, digestsSoFar: [], state: "s" });
    const before = await find(scene, upload);
    const done = await tryAcquire(scene, upload);
    assert(done.outcome === "busy");
    assert.equal(done.offset, 7);
    assert(done.retryAfterMs > 0 && done.retryAfterMs <= hourMs, `${done.retryAfterMs} ms`);
    assert.deepEqual(await find(scene, upload), before);
  },

  "the holder may come again, and only its new epoch counts": async (scene) => {
    const first = await scene.begin(scene.repository(), held);
    const again = await scene.acquire(first, "one");
    assert.equal(again.previousWriter, undefined);
    assert.equal(await save(scene, first, "keep"), "lost");
    assert.equal(await save(scene, again.upload, "keep"), "saved");
  },

  "a lease that ran out is taken over, and who held it is named": async (scene) => {
    const first = await scene.begin(scene.repository(), expired);
    const second = await scene.acquire(first, "two", 0);
    assert.equal(second.previousWriter, "one");
    const third = await scene.acquire(first, "three");
    assert.equal(third.previousWriter, "two");
    const epochs = [first, second.upload, third.upload].map(({ writerEpoch }) => writerEpoch);
    assert.deepEqual(new Set(epochs).size, 3);
  },

  "a lease that ran out goes on while nobody took over": async (scene) => {
    const upload = await scene.begin(scene.repository(), expired);
    assert.equal(await save(scene, upload, { forMs: hourMs }), "saved");
    assert.equal((await tryAcquire(scene, upload)).outcome, "busy");
    assert.equal(await save(scene, upload, { forMs: 0 }), "saved");
    assert.equal((await scene.acquire(upload, "two")).previousWriter, "one");
  },

  "a lease that was given back is nobody's": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    assert.equal(await save(scene, upload, "release"), "saved");
    assert.equal((await find(scene, upload))?.writer, undefined);
    assert.equal((await scene.acquire(upload, "two")).previousWriter, undefined);
    assert.equal(await save(scene, upload, "release"), "lost");
  },

  "an append is kept with the lease, or with its end": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    const { digest, sha512 } = scene.content("so far");
    const first = { offset: 5, digestsSoFar: [digest, sha512], state: "five" };
    assert.equal(await save(scene, upload, "keep", first), "saved");
    assert.deepEqual(await find(scene, upload), { ...upload, ...first });
    assert.equal((await tryAcquire(scene, upload)).outcome, "busy");
    const second = { offset: 9, digestsSoFar: [], state: "nine" };
    assert.equal(await save(scene, upload, "release", second), "saved");
    assert.deepEqual(await find(scene, upload), { ...upload, ...second, writer: undefined });
    const { upload: taken } = await scene.acquire(upload, "two");
    const { writerEpoch } = taken;
    assert.deepEqual(taken, { ...upload, ...second, writer: "two", writerEpoch });
  },

  "what the database forgets about an upload it forgets about one only": async (scene) => {
    const repository = scene.repository();
    const [first, second] = [await scene.begin(repository, held), await scene.begin(repository)];
    await save(scene, first, "keep", { offset: 5, digestsSoFar: [], state: "five" });
    await scene.store.execute("deleteUpload", { repository, id: first.id });
    assert.deepEqual(await find(scene, second), second);
  },
};

const zombies: ContractCases = {
  "a writer that was taken over is lost, whatever it says": async (scene) => {
    const repository = scene.repository();
    const zombie = await scene.begin(repository, expired);
    const { upload } = await scene.acquire(zombie, "two");
    const appended = { offset: 99, digestsSoFar: [], state: "zombie" };
    for (const lease of ["keep", "release", { forMs: hourMs }] as const) {
      assert.equal(await save(scene, zombie, lease, appended), "lost");
    }
    const { id, writerEpoch: epoch } = zombie;
    const removed = await scene.store.execute("deleteUpload", { repository, id, epoch });
    assert.equal(removed.outcome, "unknown");
    const content = scene.content("zombie");
    const commit = scene.commitInput(zombie, content);
    assert.deepEqual(await scene.store.execute("commitUpload", commit), { outcome: "lost" });
    assert.deepEqual(await find(scene, upload), upload);
    assert.equal(await scene.store.findBlobAnywhere(content.digest), undefined);
    assert.deepEqual(await scene.changes(), []);
    const good = await scene.store.execute("commitUpload", scene.commitInput(upload, content));
    assert.equal(good.outcome, "committed");
  },

  "the holder of the epoch ends the upload": async (scene) => {
    const repository = scene.repository();
    const { upload } = await scene.acquire(await scene.begin(repository), "one");
    const { id, writerEpoch: epoch } = upload;
    const wrong = { repository, id, epoch: epoch + 1 };
    assert.equal((await scene.store.execute("deleteUpload", wrong)).outcome, "unknown");
    const right = { repository, id, epoch };
    assert.equal((await scene.store.execute("deleteUpload", right)).outcome, "deleted");
  },

  "an upload is committed once, and is over then": async (scene) => {
    const upload = await scene.begin(scene.repository(), held);
    const commit = scene.commitInput(upload, scene.content("once"));
    assert.equal((await scene.store.execute("commitUpload", commit)).outcome, "committed");
    assert.equal(await find(scene, upload), undefined);
    assert.deepEqual(await scene.store.execute("commitUpload", commit), { outcome: "lost" });
    assert.equal(await save(scene, upload, "keep"), "lost");
    assert.equal((await tryAcquire(scene, upload)).outcome, "unknown");
    const unknown = { ...commit, id: "unknown" };
    assert.deepEqual(await scene.store.execute("commitUpload", unknown), { outcome: "lost" });
    assert.equal((await scene.changes()).length, 1);
  },
};

export const uploadCases: ContractCases = { ...beginning, ...leases, ...zombies };
