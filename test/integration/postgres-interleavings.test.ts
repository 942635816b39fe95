/**
 * The interleavings that READ COMMITTED allows and that must do no harm: each one is forced, by
 * holding a command of one node between two of its statements.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CommandInput, CommandName, CommandResult } from "../../src/metadata/commands.ts";
import {
  brokenOrigin,
  hourMs,
  type PushedBlob,
  type Scene,
} from "../../src/metadata/contract-scene.ts";
import type { RepositoryName } from "../../src/oci/names.ts";
import type { BlobKey } from "../../src/storage/blob-store.ts";
import { oneWaitsForTheOther, twoNodes } from "./support/interleaving.ts";

const nodes = await twoNodes();

type Command = <K extends CommandName>(
  name: K,
  input: CommandInput<K>,
) => () => Promise<CommandResult<K>>;

/** A command of the node that can be held, and of the other one; not begun yet. */
function commandsOf(scene: Scene): { readonly here: Command; readonly there: Command } {
  return {
    here: (name, input) => () => scene.store.execute(name, input),
    there: (name, input) => () => scene.other.execute(name, input),
  };
}

/** A blob that nothing uses and nobody was promised. */
async function garbage(scene: Scene): Promise<PushedBlob> {
  const blob = await scene.push(scene.repository("garbage"), "garbage", { graceMs: 0 });
  await scene.deleteBlob(scene.repository("garbage"), blob.digest, { graceMs: 0 });
  return blob;
}

async function commitOf(
  scene: Scene,
  repository: RepositoryName,
  blob: PushedBlob,
): Promise<CommandInput<"commitUpload">> {
  const upload = await scene.begin(repository, { writer: "one", leaseMs: hourMs });
  return scene.commitInput(upload, blob, { graceMs: 0 });
}

describe("a commit and a collector", () => {
  test("who links a blob is seen by the claim that waited for it", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const { digest, ...blob } = await garbage(scene);
    const commit = await commitOf(scene, scene.repository(), { digest, ...blob });
    const [committed, claimed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("commitUpload", /^commit$/),
      [here("commitUpload", commit), there("claimBlob", { digest, claim: scene.claimId("1") })],
    );
    assert.deepEqual([committed.outcome, claimed.outcome], ["committed", "in-use"]);
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
  });

  test("a commit that waited for a claim takes the blob back", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = await garbage(scene);
    const { digest } = blob;
    const commit = await commitOf(scene, scene.repository(), blob);
    const [claimed, committed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("claimBlob", /^commit$/),
      [here("claimBlob", { digest, claim: scene.claimId("1") }), there("commitUpload", commit)],
    );
    assert.deepEqual([claimed.outcome, committed.outcome], ["claimed", "committed"]);
    assert.equal(await scene.deleteClaimed("1"), "lost");
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
  });

  test("a commit that relies on bytes which a claim was quicker to take begins anew", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = await garbage(scene);
    const { digest } = blob;
    const commit = { ...(await commitOf(scene, scene.repository(), blob)), reuse: true };
    const [, committed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("claimBlob", /^commit$/),
      [here("claimBlob", { digest, claim: scene.claimId("1") }), there("commitUpload", commit)],
    );
    assert.equal(committed.outcome, "moved");
    assert.equal(await scene.deleteClaimed("1"), "deleted");
  });

  test("a commit that waited for the row's deletion makes it anew", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = await garbage(scene);
    const { digest } = blob;
    assert.equal(await scene.claim(digest, "1"), "claimed");
    const commit = await commitOf(scene, scene.repository(), blob);
    const [deleted, committed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("deleteClaimedBlob", /^commit$/),
      [here("deleteClaimedBlob", { claim: scene.claimId("1") }), there("commitUpload", commit)],
    );
    assert.deepEqual([deleted.outcome, committed.outcome], ["deleted", "committed"]);
    assert.equal(await scene.hasBlob(scene.repository(), digest), true);
  });

  test("the same new content of two repositories is one blob", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = scene.content("new");
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const commits = [await commitOf(scene, a, blob), await commitOf(scene, b, blob)] as const;
    await oneWaitsForTheOther(nodes, nodes.gates.hold("commitUpload", /^commit$/), [
      here("commitUpload", commits[0]),
      there("commitUpload", commits[1]),
    ]);
    const [inA, inB] = [await scene.blob(a, blob.digest), await scene.blob(b, blob.digest)];
    assert.equal(inA.blobId, inB.blobId);
  });

  test("the first of two that fails leaves the row to the second", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = scene.content("new");
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const broken = { ...(await commitOf(scene, a, blob)), origin: brokenOrigin };
    const good = await commitOf(scene, b, blob);
    // Its last statement fails: the row that the other one waits for is taken back.
    const held = nodes.gates.hold("commitUpload", /^insert into "changes"/);
    const failing = here("commitUpload", broken);
    await oneWaitsForTheOther(nodes, held, [
      () => assert.rejects(failing()),
      there("commitUpload", good),
    ]);
    assert.equal(await scene.hasBlob(a, blob.digest), false);
    assert.equal(await scene.hasBlob(b, blob.digest), true);
  });
});

describe("a sweeper", () => {
  const orphan = (scene: Scene, blob: PushedBlob): CommandInput<"claimOrphan"> => {
    const { digest, key, size } = blob;
    return { digest, key, size, claim: scene.claimId("orphan") };
  };

  test("bytes whose commit it waited for are known", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = scene.content("new");
    const commit = await commitOf(scene, scene.repository(), blob);
    const [, claimed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("commitUpload", /^commit$/),
      [here("commitUpload", commit), there("claimOrphan", orphan(scene, blob))],
    );
    assert.equal(claimed.outcome, "known");
  });

  test("a commit that waited for its claim takes the bytes back", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = scene.content("new");
    const commit = await commitOf(scene, scene.repository(), blob);
    const [claimed, committed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("claimOrphan", /^commit$/),
      [here("claimOrphan", orphan(scene, blob)), there("commitUpload", commit)],
    );
    assert.deepEqual([claimed.outcome, committed.outcome], ["claimed", "committed"]);
    assert.equal(await scene.deleteClaimed("orphan"), "lost");
    assert.equal(await scene.hasBlob(scene.repository(), blob.digest), true);
  });

  test("its lease is not taken over while a claim relies on it", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = await garbage(scene);
    const lease = { name: scene.claimId("job"), holder: "one", leaseMs: 0 };
    const taken = await scene.store.execute("acquireLease", lease);
    assert(taken.outcome === "acquired");
    const proof = { name: lease.name, epoch: taken.epoch };
    const claim = { digest: blob.digest, claim: scene.claimId("1"), lease: proof };
    const [claimed, acquired] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("claimBlob", /^update "blobs"/),
      [here("claimBlob", claim), there("acquireLease", { ...lease, holder: "two" })],
    );
    assert.deepEqual([claimed.outcome, acquired.outcome], ["claimed", "acquired"]);
    const later = { ...claim, claim: scene.claimId("2") };
    assert.equal((await scene.store.execute("claimBlob", later)).outcome, "lease-lost");
  });
});

describe("a mount and a collector", () => {
  const mountOf = (scene: Scene, blob: PushedBlob): CommandInput<"mountBlob"> => ({
    repository: scene.repository("to"),
    digest: blob.digest,
    graceMs: 0,
    origin: scene.origin,
  });

  test("what was mounted is seen by the deletion of its last link, and by the claim", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const from = scene.repository("from");
    const blob = await scene.push(from, "blob", { graceMs: 0 });
    const { digest } = blob;
    const deletion = { repository: from, digest, force: false, graceMs: 0, origin: scene.origin };
    const [mounted, deleted] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("mountBlob", /^insert into "repository_blobs"/),
      [here("mountBlob", mountOf(scene, blob)), there("deleteBlob", deletion)],
    );
    assert.deepEqual([mounted.outcome, deleted.outcome], ["mounted", "deleted"]);
    assert.equal(await scene.claim(digest, "1"), "in-use");
    const [row] = await nodes.database.query<{ review_after: string | null }>(
      "select review_after from blobs where digest = $1",
      [digest],
    );
    assert.equal(row?.review_after, null, "its last link was not the last one");
  });

  test("a mount that waited for a claim finds nothing", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const blob = await garbage(scene);
    const { digest } = blob;
    // A link that the claim does not see yet is what a mount relies on: there is none to be had.
    const [claimed, mounted] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("claimBlob", /^commit$/),
      [
        here("claimBlob", { digest, claim: scene.claimId("1") }),
        there("mountBlob", mountOf(scene, blob)),
      ],
    );
    assert.deepEqual([claimed.outcome, mounted.outcome], ["claimed", "unknown"]);
    assert.equal(await scene.deleteClaimed("1"), "deleted");
  });
});

describe("a manifest put", () => {
  test("against the deletion and the claim of its blob", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const config = await scene.push(repository, "config", { graceMs: 0 });
    const { digest } = config;
    const image = scene.image({ config });
    const deletion = { repository, digest, force: false, graceMs: 0, origin: scene.origin };
    // It has seen the blob, and written nothing yet.
    const held = nodes.gates.hold("putManifest", /^insert into "payloads"/);
    const claims: string[] = [];
    const [put, deleted] = await oneWaitsForTheOther(nodes, held, [
      here("putManifest", scene.putInput(repository, image)),
      async () => {
        const claim = { digest, claim: scene.claimId("1") };
        claims.push((await scene.other.execute("claimBlob", claim)).outcome);
        return await there("deleteBlob", deletion)();
      },
    ]);
    assert.deepEqual(claims, ["in-use"]);
    assert.deepEqual([put.outcome, deleted.outcome], ["stored", "referenced"]);
    assert.equal(await scene.hasBlob(repository, digest), true);
  });

  test("against the deletion of the child of its index", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const child = await scene.put(repository, scene.index({ note: "child" }));
    const index = scene.index({ note: "index", children: [child] });
    const { digest } = child;
    const deletion = { repository, digest, force: false, graceMs: 0, origin: scene.origin };
    const [deleted, put] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("deleteManifest", /^delete from "manifests"/),
      [here("deleteManifest", deletion), there("putManifest", scene.putInput(repository, index))],
    );
    assert.deepEqual([deleted.outcome, put.outcome], ["deleted", "missing"]);
  });

  test("keeps its bytes while another repository deletes the same manifest", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "shared" });
    await scene.put(b, index);
    const { digest } = index;
    const deletion = { repository: b, digest, force: false, graceMs: 0, origin: scene.origin };
    // It has found the bytes stored, and its own row cannot be seen yet.
    const held = nodes.gates.hold("putManifest", /^insert into "manifests"/);
    await oneWaitsForTheOther(nodes, held, [
      here("putManifest", scene.putInput(a, index)),
      there("deleteManifest", deletion),
    ]);
    assert.deepEqual((await scene.manifest(a, digest)).bytes, index.bytes);
    assert.equal(await scene.lookUp(b, digest), undefined);
  });

  test("stores bytes again that another repository is about to delete", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const index = scene.index({ note: "shared" });
    await scene.put(b, index);
    const { digest } = index;
    const deletion = { repository: b, digest, force: false, graceMs: 0, origin: scene.origin };
    const held = nodes.gates.hold("deleteManifest", /^delete from "payloads"/);
    await oneWaitsForTheOther(nodes, held, [
      here("deleteManifest", deletion),
      there("putManifest", scene.putInput(a, index)),
    ]);
    assert.deepEqual((await scene.manifest(a, digest)).bytes, index.bytes);
  });

  test("two that move one tag make one history", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const [first, second, third] = ["1", "2", "3"].map((note) => scene.index({ note }));
    assert(first !== undefined && second !== undefined && third !== undefined);
    await scene.put(repository, first, { tags: ["latest"] });
    // It has read what the tag points to, and not moved it yet.
    const held = nodes.gates.hold("putManifest", /^insert into "tags"/);
    await oneWaitsForTheOther(nodes, held, [
      here("putManifest", scene.putInput(repository, second, { tags: ["latest"] })),
      there("putManifest", scene.putInput(repository, third, { tags: ["latest"] })),
    ]);
    assert.equal(await scene.lookUp(repository, "latest"), third.digest);
    const changes = await scene.changes();
    assert.deepEqual(
      changes.map(({ digest, oldDigest }) => [oldDigest, digest]),
      [
        [undefined, first.digest],
        [first.digest, second.digest],
        [second.digest, third.digest],
      ],
    );
    const open = await nodes.database.query(
      `select from tag_history join repositories on repositories.id = repository
       where repositories.name = $1 and until_at is null`,
      [repository],
    );
    assert.equal(open.length, 1);
  });
});

describe("a repository's first pushes", () => {
  test("two uploads begun at once are in one repository", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const create = () => ({ repository, id: scene.id(), algorithm: "sha256", state: "" });
    const held = nodes.gates.hold("createUpload", /^insert into "uploads"/);
    const [one, two] = await oneWaitsForTheOther(nodes, held, [
      here("createUpload", create()),
      there("createUpload", create()),
    ]);
    assert.equal(one.repositoryId, two.repositoryId);
  });

  test("the second makes it where the first one failed", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const { digest } = await scene.push(scene.repository("from"), "blob");
    const mount = { repository, digest, graceMs: 0, origin: scene.origin };
    const failing = here("mountBlob", { ...mount, origin: brokenOrigin });
    const held = nodes.gates.hold("mountBlob", /^insert into "changes"/);
    const create = { repository, id: scene.id(), algorithm: "sha256", state: "" };
    const [, upload] = await oneWaitsForTheOther(nodes, held, [
      () => assert.rejects(failing()),
      there("createUpload", create),
    ]);
    assert.deepEqual(await scene.store.findUpload(repository, create.id), upload);
  });
});

describe("an upload's lease", () => {
  test("who succeeds a writer is told whom, also after another takeover", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const { id, repository } = await scene.begin(scene.repository(), { writer: "a", leaseMs: 0 });
    const acquire = (writer: string) => ({ id, repository, writer, leaseMs: 0 });
    const [second, third] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("acquireUpload", /^update "uploads"/),
      [here("acquireUpload", acquire("b")), there("acquireUpload", acquire("c"))],
    );
    assert(second.outcome === "acquired" && third.outcome === "acquired");
    assert.deepEqual([second.previousWriter, third.previousWriter], ["a", "b"]);
    assert.equal(third.upload.writerEpoch, second.upload.writerEpoch + 1);
  });

  test("a commit that waited for a takeover has lost", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const upload = await scene.begin(scene.repository(), { writer: "a", leaseMs: 0 });
    const { id, repository } = upload;
    const [, committed] = await oneWaitsForTheOther(
      nodes,
      nodes.gates.hold("acquireUpload", /^commit$/),
      [
        here("acquireUpload", { id, repository, writer: "b", leaseMs: hourMs }),
        there("commitUpload", scene.commitInput(upload, scene.content("blob"))),
      ],
    );
    assert.equal(committed.outcome, "lost");
    assert.equal(await scene.hasBlob(repository, scene.content("blob").digest), false);
  });
});

describe("commands that need several rows", () => {
  test("manifests with the same blobs in opposite order do not wait for each other", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const [a, b] = [scene.repository("a"), scene.repository("b")];
    const blobs = await Promise.all(["1", "2", "3"].map((text) => scene.push(a, text)));
    for (const { digest } of blobs) await scene.mount(b, digest);
    const config = await scene.push(a, "config");
    await scene.mount(b, config.digest);
    const images = [blobs, blobs.toReversed()].map((layers) => scene.image({ config, layers }));
    const [one, two] = images;
    assert(one !== undefined && two !== undefined);
    const held = nodes.gates.hold("putManifest", /^commit$/);
    const first = here("putManifest", scene.putInput(a, one))();
    await held.reached;
    assert.equal((await there("putManifest", scene.putInput(b, two))()).outcome, "stored");
    held.release();
    assert.equal((await first).outcome, "stored");
  });

  test("a deadlock that somebody else brought about is no error", async () => {
    const scene = nodes.scene();
    const { there } = commandsOf(scene);
    const blob = await scene.push(scene.repository("a"), "blob");
    const { digest } = blob;
    const to = scene.repository("to");
    const mount = { repository: to, digest, graceMs: 0, origin: scene.origin };
    const stranger = await nodes.stranger();
    // The stranger holds the row and wants the lock of the repository, the command the other way.
    // Only the command's session looks for deadlocks soon, so it is the one that is taken back.
    await stranger.query("set deadlock_timeout = '10min'");
    await stranger.query("begin");
    await stranger.query("select from blobs where digest = $1 for update", [digest]);
    const mounted = there("mountBlob", mount)();
    await nodes.someWait();
    await stranger.query("select pg_advisory_xact_lock(hashtextextended($1, 1))", [to]);
    await stranger.query("commit");
    assert.equal((await mounted).outcome, "mounted");
    assert.equal((await scene.changes()).filter(({ kind }) => kind === "blob.mount").length, 1);
  });

  test("pulls that two nodes record in opposite order all count", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const ids: number[] = [];
    for (const note of ["1", "2", "3"]) {
      const { digest } = await scene.put(repository, scene.index({ note }));
      ids.push((await scene.manifest(repository, digest)).manifestId);
    }
    const pulls = (at: number, order: readonly number[]) => ({
      pulls: order.map((manifestId) => ({ manifestId, at })),
    });
    const held = nodes.gates.hold("recordPulls", /^commit$/);
    await oneWaitsForTheOther(nodes, held, [
      here("recordPulls", pulls(2000, ids)),
      there("recordPulls", pulls(3000, ids.toReversed())),
    ]);
    const rows = await nodes.database.query<{ pulled_at: string }>(
      "select pulled_at from manifest_pulls where manifest = any($1)",
      [ids],
    );
    assert.deepEqual(
      rows.map(({ pulled_at }) => pulled_at),
      ["3000", "3000", "3000"],
    );
  });

  test("a pull of a manifest that is being deleted does not fail the others", async () => {
    const scene = nodes.scene();
    const { here, there } = commandsOf(scene);
    const repository = scene.repository();
    const kept = await scene.put(repository, scene.index({ note: "kept" }));
    const doomed = await scene.put(repository, scene.index({ note: "doomed" }));
    const [{ manifestId: keptId }, { manifestId: doomedId }] = [
      await scene.manifest(repository, kept.digest),
      await scene.manifest(repository, doomed.digest),
    ];
    const { digest } = doomed;
    const deletion = { repository, digest, force: false, graceMs: 0, origin: scene.origin };
    const pulls = [keptId, doomedId].map((manifestId) => ({ manifestId, at: 1000 }));
    const held = nodes.gates.hold("deleteManifest", /^commit$/);
    await oneWaitsForTheOther(nodes, held, [
      here("deleteManifest", deletion),
      there("recordPulls", { pulls }),
    ]);
    const rows = await nodes.database.query<{ manifest: string }>(
      "select manifest from manifest_pulls where manifest = any($1)",
      [[keptId, doomedId]],
    );
    assert.deepEqual(
      rows.map(({ manifest }) => Number(manifest)),
      [keptId],
    );
  });
});

test("bytes that were put back lie where their committer says, whoever claimed them", async () => {
  const scene = nodes.scene();
  const { here, there } = commandsOf(scene);
  const { digest, key } = await garbage(scene);
  const elsewhere = `${key}/again` as BlobKey;
  const [, confirmed] = await oneWaitsForTheOther(
    nodes,
    nodes.gates.hold("claimBlob", /^commit$/),
    [
      here("claimBlob", { digest, claim: scene.claimId("1") }),
      there("confirmBlob", { digest, key: elsewhere }),
    ],
  );
  assert.equal(confirmed.outcome, "confirmed");
  assert.equal(await scene.deleteClaimed("1"), "lost");
});
