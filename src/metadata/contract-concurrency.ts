/**
 * The contract of commands at once: each is atomic, whoever else is at work. Half of them come from
 * another store on the same database, where the adapter has one.
 */
import assert from "node:assert/strict";
import type { CommandInput, CommandName, CommandResult } from "./commands.ts";
import { brokenOrigin, hourMs, type ContractCases, type Scene } from "./contract-scene.ts";

const rounds = 25;

function count<T>(length: number, make: (index: number) => T): T[] {
  return Array.from({ length }, (_value, index) => make(index));
}

/** Runs a command on one store or the other. */
async function on<K extends CommandName>(
  scene: Scene,
  index: number,
  [name, input]: readonly [K, CommandInput<K>],
): Promise<CommandResult<K>> {
  return await (index % 2 === 0 ? scene.store : scene.other).execute(name, input);
}

function deletion(scene: Scene) {
  const repository = scene.repository();
  return { repository, force: false, graceMs: hourMs, origin: scene.origin };
}

const many: ContractCases = {
  "hundreds of pushes at once all arrive, each with its change": async (scene) => {
    const repository = scene.repository();
    const notes = count(300, (index) => `v${index}`);
    await Promise.all(
      notes.map(async (note, index) => {
        const put = scene.putInput(repository, scene.index({ note }), { tags: [note] });
        assert.deepEqual(await on(scene, index, ["putManifest", put]), { outcome: "stored" });
        assert.equal(await scene.lookUp(repository, note), put.digest);
      }),
    );
    for (const store of [scene.store, scene.other]) {
      const page = await store.listTags(repository, { after: "", limit: 1000 });
      assert.deepEqual(page?.items, notes.toSorted());
    }
    const changes = await scene.changes();
    assert.deepEqual(changes, await scene.changes(scene.other));
    assert.deepEqual(changes.map(({ tag = "" }) => String(tag)).toSorted(), notes.toSorted());
    assert.equal(new Set(changes.map(({ repositoryId }) => repositoryId)).size, 1);
  },

  "a command that fails takes no other with it": async (scene) => {
    const repository = scene.repository();
    const taken = await scene.begin(repository);
    const results = await Promise.allSettled(
      count(200, async (index) => {
        const note = `v${index}`;
        const origin = index % 4 === 1 ? brokenOrigin : scene.origin;
        const put = scene.putInput(repository, scene.index({ note }), { tags: [note], origin });
        const { id } = taken;
        const create = { repository, id, algorithm: "sha256", state: "" };
        if (index % 4 === 3) await on(scene, index, ["createUpload", create]);
        else await on(scene, index, ["putManifest", put]);
      }),
    );
    const failed = results.flatMap(({ status }, index) => (status === "rejected" ? [index] : []));
    const expected = count(200, (index) => index).filter((index) => index % 2 === 1);
    assert.deepEqual(failed, expected);
    assert.equal((await scene.tags(repository))?.length, 100);
    assert.equal((await scene.changes()).length, 100);
  },

  "one tag moved by many has one history": async (scene) => {
    const repository = scene.repository();
    const documents = count(100, (index) => scene.index({ note: `${index}` }));
    await Promise.all(
      documents.map(async (document, index) => {
        const put = scene.putInput(repository, document, { tags: ["latest"] });
        await on(scene, index, ["putManifest", put]);
        assert.notEqual(await scene.lookUp(repository, "latest"), undefined);
      }),
    );
    const changes = await scene.changes();
    assert.equal(changes.length, documents.length);
    let before: string | undefined;
    for (const { digest, oldDigest } of changes) {
      assert.equal(oldDigest, before);
      before = digest;
    }
    assert.equal(await scene.lookUp(repository, "latest"), before);
  },

  "the same content pushed by many is one blob": async (scene) => {
    const content = scene.content("blob");
    const repositories = count(32, (index) => scene.repository(`r${index % 8}-${index}`));
    const commits = await Promise.all(
      repositories.map(async (repository) => {
        const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
        return scene.commitInput(upload, content);
      }),
    );
    const done = await Promise.all(
      commits.map((commit, index) => on(scene, index, ["commitUpload", commit])),
    );
    for (const { outcome } of done) assert.equal(outcome, "committed");
    const ids = await Promise.all(
      repositories.map(async (each) => (await scene.blob(each, content.digest)).blobId),
    );
    assert.equal(new Set(ids).size, 1);
  },

  "a repository that many begin at once is one": async (scene) => {
    const repository = scene.repository();
    const uploads = await Promise.all(
      count(50, (index) => {
        const create = { repository, id: scene.id(), algorithm: "sha256", state: "" };
        return on(scene, index, ["createUpload", create]);
      }),
    );
    assert.equal(new Set(uploads.map(({ repositoryId }) => repositoryId)).size, 1);
  },
};

const leases: ContractCases = {
  "of many who want to write, one gets the lease": async (scene) => {
    const { id, repository } = await scene.begin(scene.repository());
    const done = await Promise.all(
      count(50, (index) => {
        const input = { id, repository, writer: `writer ${index}`, leaseMs: hourMs };
        return on(scene, index, ["acquireUpload", input]);
      }),
    );
    assert.equal(done.filter(({ outcome }) => outcome === "acquired").length, 1);
    assert.equal(done.filter(({ outcome }) => outcome === "busy").length, 49);
  },

  "of many whose leases ran out, only the last one is not lost": async (scene) => {
    const { id, repository } = await scene.begin(scene.repository());
    const done = await Promise.all(
      count(20, (index) => {
        const input = { id, repository, writer: `writer ${index}`, leaseMs: 0 };
        return on(scene, index, ["acquireUpload", input]);
      }),
    );
    const epochs = done.map((each) => {
      assert(each.outcome === "acquired");
      return each.upload.writerEpoch;
    });
    assert.equal(new Set(epochs).size, epochs.length);
    const saves = await Promise.all(
      epochs.map((epoch, index) =>
        on(scene, index, ["saveUpload", { id, epoch, lease: "keep" as const }]),
      ),
    );
    const saved = epochs.filter((_epoch, index) => saves[index]?.outcome === "saved");
    assert.deepEqual(saved, [Math.max(...epochs)]);
  },

  "an upload is committed by one of two": async (scene) => {
    const repository = scene.repository();
    for (let round = 0; round < rounds; round += 1) {
      const upload = await scene.begin(repository, { writer: "one", leaseMs: 0 });
      const commit = scene.commitInput(upload, scene.content(`blob ${round}`));
      const { id } = upload;
      const acquire = { id, repository, writer: "two", leaseMs: hourMs };
      const [committed, acquired] = await Promise.all([
        on(scene, round, ["commitUpload", commit]),
        on(scene, round + 1, ["acquireUpload", acquire]),
      ]);
      const outcomes = `${committed.outcome}, ${acquired.outcome}`;
      assert(["committed, unknown", "lost, acquired"].includes(outcomes), outcomes);
    }
  },
};

/** Pairs of which each may come first, and only certain outcomes go together. */
const pairs: ContractCases = {
  "a manifest put against the deletion of its blob": async (scene) => {
    const { repository } = deletion(scene);
    for (let round = 0; round < rounds; round += 1) {
      const config = await scene.push(repository, `config ${round}`);
      const { digest } = config;
      const image = scene.image({ config });
      const [put, gone] = await Promise.all([
        on(scene, round, ["putManifest", scene.putInput(repository, image)]),
        on(scene, round + 1, ["deleteBlob", { ...deletion(scene), digest }]),
      ]);
      const outcomes = `${put.outcome}, ${gone.outcome}`;
      assert(["stored, referenced", "missing, deleted"].includes(outcomes), outcomes);
      const found = await scene.lookUp(repository, image.digest);
      assert.equal(found !== undefined, put.outcome === "stored");
      assert.equal(await scene.hasBlob(repository, digest), put.outcome === "stored");
    }
  },

  "an index put against the deletion of its child": async (scene) => {
    const { repository } = deletion(scene);
    for (let round = 0; round < rounds; round += 1) {
      const child = await scene.put(repository, scene.index({ note: `child ${round}` }));
      const index = scene.index({ note: `index ${round}`, children: [child] });
      const { digest } = child;
      const [put, gone] = await Promise.all([
        on(scene, round, ["putManifest", scene.putInput(repository, index)]),
        on(scene, round + 1, ["deleteManifest", { ...deletion(scene), digest }]),
      ]);
      const outcomes = `${put.outcome}, ${gone.outcome}`;
      assert(["stored, referenced", "missing, deleted"].includes(outcomes), outcomes);
    }
  },

  "a tag put against the deletion of what it points to": async (scene) => {
    const { repository } = deletion(scene);
    for (let round = 0; round < rounds; round += 1) {
      const index = scene.index({ note: `index ${round}` });
      await scene.put(repository, index);
      const tag = `v${round}`;
      const { digest } = index;
      await Promise.all([
        on(scene, round, ["putManifest", scene.putInput(repository, index, { tags: [tag] })]),
        on(scene, round + 1, ["deleteManifest", { ...deletion(scene), digest }]),
      ]);
      const listed = (await scene.tags(repository))?.includes(tag);
      const found = await scene.lookUp(repository, digest);
      assert.equal(await scene.lookUp(repository, tag), found);
      assert.equal(listed, found !== undefined);
    }
  },

  "the same manifest put here and deleted there": async (scene) => {
    const [here, there] = [scene.repository("here"), scene.repository("there")];
    const index = scene.index({ note: "both" });
    for (let round = 0; round < rounds; round += 1) {
      await scene.put(there, index);
      const gone = { ...deletion(scene), repository: there, digest: index.digest };
      await Promise.all([
        on(scene, round, ["putManifest", scene.putInput(here, index)]),
        on(scene, round + 1, ["deleteManifest", gone]),
      ]);
      assert.deepEqual((await scene.manifest(here, index.digest)).bytes?.length, index.size);
      await scene.deleteManifest(here, index.digest);
    }
  },

  "a mount against the deletion of the link that it relies on": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    for (let round = 0; round < rounds; round += 1) {
      const { digest } = await scene.push(from, `blob ${round}`);
      const common = { digest, graceMs: 0, origin: scene.origin };
      const claim = scene.claimId(`${round}`);
      const [mounted, gone, claimed] = await Promise.all([
        on(scene, round, ["mountBlob", { ...common, repository: to, from }]),
        on(scene, round + 1, ["deleteBlob", { ...common, repository: from, force: false }]),
        on(scene, round + 1, ["claimBlob", { digest, claim }]),
      ]);
      assert.equal(gone.outcome, "deleted");
      const safe = mounted.outcome === "mounted";
      assert.equal(await scene.hasBlob(to, digest), safe);
      if (safe) assert.equal(claimed.outcome, "in-use");
    }
  },
};

export const concurrencyCases: ContractCases = { ...many, ...leases, ...pairs };
