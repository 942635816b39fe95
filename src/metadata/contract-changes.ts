/** The contract of the change log: every change is in it, in its transaction (invariant I7). */
import assert from "node:assert/strict";
import { octetStream } from "../oci/media-types.ts";
import { configType, layerType, type Content } from "./contract-documents.ts";
import { brokenOrigin, hourMs, type ContractCases, type Scene } from "./contract-scene.ts";
import type { ChangeRecord, Origin } from "./records.ts";

const request = {
  id: "request-1",
  addr: "192.0.2.1:1234",
  host: "registry.example",
  method: "PUT",
  useragent: 'docker/"quoted" ü',
};

/** What every row says, whatever happened. */
const silent = {
  cause: "client",
  actor: "alice",
  request: undefined,
  fromRepository: undefined,
  digest: undefined,
  mediaType: undefined,
  size: undefined,
  references: [],
  tag: undefined,
  oldDigest: undefined,
};

/** A row without what differs from run to run. */
function said(change: ChangeRecord | undefined): object {
  assert(change !== undefined);
  const { at: _at, position: _position, repositoryId: _id, seq: _seq, version, ...rest } = change;
  assert(Number.isSafeInteger(version) && version > 0);
  return rest;
}

function described({ digest, size }: Content, mediaType: string = octetStream): object {
  return { digest, mediaType, size };
}

const pushes: ContractCases = {
  "a push of a blob": async (scene) => {
    const repository = scene.repository();
    const since = await scene.now();
    const blob = await scene.push(repository, "blob", { aliases: [scene.content("blob").sha512] });
    const changes = await scene.changes();
    assert.equal(changes.length, 1);
    const [change] = changes;
    const expected = { ...silent, kind: "blob.push", repository, ...described(blob) };
    assert.deepEqual(said(change), expected);
    assert(change !== undefined && change.at >= since && change.at < since + 60_000);
    const { repositoryId } = await scene.blob(repository, blob.digest);
    assert.equal(change.repositoryId, repositoryId);
    await scene.push(repository, "blob");
    assert.deepEqual(said((await scene.changes())[1]), expected);
  },

  "a mount, and where from": async (scene) => {
    const [from, to] = [scene.repository("from"), scene.repository("to")];
    const { sha512 } = scene.content("blob");
    const blob = await scene.push(from, "blob", { aliases: [sha512] });
    const changes = await scene.changesOf(async () => {
      await scene.mount(to, blob.digest, { from });
      await scene.mount(to, sha512, { from });
      await scene.mount(to, blob.digest);
    });
    const mount = { ...silent, kind: "blob.mount", repository: to, ...described(blob) };
    assert.deepEqual(changes.map(said), [
      { ...mount, fromRepository: from },
      { ...mount, fromRepository: from },
      mount,
    ]);
  },

  "a push of a manifest, with all that it refers to": async (scene) => {
    const repository = scene.repository();
    const [config, layer] = [scene.content("config"), scene.content("layer")];
    for (const blob of [config, layer]) await scene.push(repository, blob);
    const subject = scene.index({ note: "subject" });
    const image = scene.image({ config, layers: [layer, layer], subject });
    const index = scene.index({ note: "index", children: [image] });
    const changes = await scene.changesOf(async () => {
      await scene.put(repository, image);
      await scene.put(repository, index);
    });
    const push = { ...silent, kind: "manifest.push", repository };
    const layers = [described(layer, layerType), described(layer, layerType)];
    assert.deepEqual(changes.map(said), [
      {
        ...push,
        ...described(image, image.mediaType),
        references: [described(config, configType), ...layers],
      },
      {
        ...push,
        ...described(index, index.mediaType),
        references: [described(image, image.mediaType)],
      },
    ]);
    const { repositoryId } = await scene.manifest(repository, image.digest);
    assert.equal(changes[0]?.repositoryId, repositoryId);
  },

  "a push under tags: a row for each, with what it pointed to before": async (scene) => {
    const repository = scene.repository();
    const [first, second] = [scene.index({ note: "first" }), scene.index({ note: "second" })];
    await scene.put(repository, first, { tags: ["moved"] });
    const changes = await scene.changesOf(async () => {
      await scene.put(repository, second, { tags: ["moved", "new"] });
      await scene.put(repository, second, { tags: ["moved"] });
    });
    const push = { ...silent, kind: "manifest.push", repository };
    const again = { ...push, ...described(second, second.mediaType) };
    assert.deepEqual(changes.map(said), [
      { ...again, tag: "moved", oldDigest: first.digest },
      { ...again, tag: "new" },
      { ...again, tag: "moved", oldDigest: second.digest },
    ]);
  },
};

const deletions: ContractCases = {
  "a deletion of a blob": async (scene) => {
    const repository = scene.repository();
    const { sha512 } = scene.content("blob");
    const blob = await scene.push(repository, "blob", { aliases: [sha512] });
    const changes = await scene.changesOf(() => scene.deleteBlob(repository, sha512));
    const expected = { ...silent, kind: "blob.delete", repository, ...described(blob) };
    assert.deepEqual(changes.map(said), [expected]);
  },

  "a deletion of a manifest, and of every tag on it": async (scene) => {
    const repository = scene.repository();
    const index = scene.index({ note: "index" });
    await scene.put(repository, index, { tags: ["b", "a"] });
    const changes = await scene.changesOf(() => scene.deleteManifest(repository, index.digest));
    const gone = { ...silent, repository, kind: "tag.delete", oldDigest: index.digest };
    assert.deepEqual(changes.map(said), [
      { ...silent, repository, kind: "manifest.delete", ...described(index, index.mediaType) },
      { ...gone, tag: "a" },
      { ...gone, tag: "b" },
    ]);
  },

  "a deletion of a tag": async (scene) => {
    const repository = scene.repository();
    const { digest } = await scene.put(repository, scene.index({ note: "i" }), { tags: ["v1"] });
    const changes = await scene.changesOf(() => scene.deleteTag(repository, "v1"));
    const expected = { ...silent, repository, kind: "tag.delete", tag: "v1", oldDigest: digest };
    assert.deepEqual(changes.map(said), [expected]);
  },

  "what did not happen is not in the log": async (scene) => {
    const [a, none] = [scene.repository("a"), scene.repository("none")];
    const { config } = await scene.putImage(a, "image");
    const child = await scene.put(a, scene.index({ note: "child" }));
    await scene.put(a, scene.index({ note: "parent", children: [child] }));
    const absent = scene.content("absent");
    const upload = await scene.begin(a, { writer: "one", leaseMs: hourMs });
    const lost = scene.commitInput({ ...upload, writerEpoch: 99 }, absent);
    const changes = await scene.changesOf(async () => {
      const outcomes = await Promise.all([
        scene.store.execute("commitUpload", lost),
        scene.mount(none, absent.digest),
        scene.mount(none, config.digest, { from: scene.repository("nowhere") }),
        scene.deleteBlob(a, config.digest),
        scene.deleteBlob(a, absent.digest),
        scene.deleteManifest(a, child.digest),
        scene.deleteManifest(a, absent.digest),
        scene.deleteTag(a, "absent"),
        scene.tryPut(a, scene.image({ config: absent }), { tags: ["v1"] }),
      ]);
      const good = new Set<string>(["committed", "mounted", "deleted", "stored"]);
      for (const { outcome } of outcomes) assert(!good.has(outcome), outcome);
    });
    assert.deepEqual(changes, []);
  },
};

/** A command of each kind that writes to the log, of that origin. */
async function everyCommand(scene: Scene, origin: Origin): Promise<(() => Promise<unknown>)[]> {
  const [a, b] = [scene.repository("a"), scene.repository("b")];
  const { config, image } = await scene.putImage(a, "image", { tags: ["v1"] });
  const loose = await scene.push(a, "loose");
  const doomed = await scene.put(a, scene.index({ note: "doomed" }), { tags: ["v2"] });
  const upload = await scene.begin(a, { writer: "one", leaseMs: hourMs });
  const commit = scene.commitInput(upload, scene.content("new"), { origin });
  return [
    () => scene.store.execute("commitUpload", commit),
    () => scene.mount(b, config.digest, { from: a, origin }),
    () => scene.deleteBlob(a, loose.digest, { origin }),
    () => scene.tryPut(a, scene.index({ note: "new" }), { tags: ["v1", "v3"], origin }),
    () => scene.tryPut(a, image, { tags: ["v1", "v3"], origin }),
    () => scene.deleteManifest(a, doomed.digest, { origin }),
    () => scene.deleteTag(a, "v1", { origin }),
  ];
}

/** What can be seen of that play. */
async function everything(scene: Scene): Promise<unknown> {
  const [a, b] = [scene.repository("a"), scene.repository("b")];
  const tags = (await scene.tags(a)) ?? [];
  const blobs = ["image: config", "image: layer", "loose", "new"].map((text) =>
    scene.content(text),
  );
  const notes = ["doomed", "new"].map((note) => scene.index({ note }));
  return {
    tags: await Promise.all(tags.map(async (tag) => [tag, await scene.manifest(a, tag)])),
    blobs: await Promise.all(blobs.map(({ digest }) => scene.store.findBlob(a, digest))),
    mounted: await Promise.all(blobs.map(({ digest }) => scene.store.findBlob(b, digest))),
    manifests: await Promise.all(notes.map(({ digest }) => scene.lookUp(a, digest))),
    changes: await scene.changes(),
  };
}

const log: ContractCases = {
  "each row says who caused it, and by which request": async (scene) => {
    const origin: Origin = { cause: "gc", actor: "bob", request };
    const commands = await everyCommand(scene, origin);
    const changes = await scene.changesOf(async () => {
      for (const command of commands) await command();
    });
    assert.equal(changes.length, 10);
    for (const { actor, cause, request } of changes) {
      assert.deepEqual({ actor, cause, request }, origin);
    }
  },

  "a row without actor and request has none": async (scene) => {
    await scene.push(scene.repository(), "blob", { origin: { cause: "import" } });
    const [change] = await scene.changes();
    assert.deepEqual(
      [change?.cause, change?.actor, change?.request],
      ["import", undefined, undefined],
    );
  },

  "a command whose row cannot be written leaves nothing at all": async (scene) => {
    const commands = await everyCommand(scene, brokenOrigin);
    const before = await everything(scene);
    for (const command of commands) {
      await assert.rejects(command());
      assert.deepEqual(await everything(scene), before);
    }
  },

  "an upload whose commit fails can be committed again": async (scene) => {
    const repository = scene.repository();
    const taken = await scene.push(repository, "taken");
    const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
    const content = scene.content("content");
    const clash = scene.commitInput(upload, content, { key: taken.key });
    const changes = await scene.changesOf(async () => {
      await assert.rejects(scene.store.execute("commitUpload", clash));
    });
    assert.deepEqual(changes, []);
    assert.deepEqual(await scene.store.findUpload(repository, upload.id), upload);
    const good = scene.commitInput(upload, content);
    assert.equal((await scene.store.execute("commitUpload", good)).outcome, "committed");
  },

  "positions rise, and a reader goes on after any of them": async (scene) => {
    const repository = scene.repository();
    for (let index = 0; index < 5; index += 1) await scene.push(repository, `blob ${index}`);
    const changes = await scene.changes();
    const positions = changes.map(({ position }) => position);
    assert.deepEqual(
      positions,
      positions.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(positions).size, 5);
    assert.equal(new Set(changes.map(({ seq }) => seq)).size, 5);
    const [, second, third, , last] = changes;
    assert(second !== undefined && third !== undefined && last !== undefined);
    const after = async (position: number, limit: number) =>
      await scene.store.listChanges({ after: position, limit });
    assert.deepEqual(await after(second.position, 1), [third]);
    assert.deepEqual(await after(last.position - 1, 1), [last]);
    assert.deepEqual(await after(Number.MAX_SAFE_INTEGER, 1), []);
  },
};

export const changeCases: ContractCases = { ...pushes, ...deletions, ...log };
