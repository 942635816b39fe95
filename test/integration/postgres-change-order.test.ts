/** The change log's order on PostgreSQL (invariant I7): whoever follows it misses nothing. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MetadataStore } from "../../src/metadata/metadata-store.ts";
import type { ChangeRecord } from "../../src/metadata/records.ts";
import { twoNodes } from "./support/interleaving.ts";

const nodes = await twoNodes();

/** Follows the log from `after` to where it ends at the moment, in small pages. */
async function follow(store: MetadataStore, after: number): Promise<readonly ChangeRecord[]> {
  const all: ChangeRecord[] = [];
  for (let position = after; ;) {
    const page = await store.listChanges({ after: position, limit: 7 });
    const last = page.at(-1);
    if (last === undefined) return all;
    all.push(...page);
    position = last.position;
  }
}

async function end(store: MetadataStore): Promise<number> {
  return (await follow(store, 0)).at(-1)?.position ?? 0;
}

describe("the change log", () => {
  test("a lower seq that commits later has the later position", async () => {
    const scene = nodes.scene();
    const before = await end(scene.store);
    const held = nodes.gates.hold("putManifest", /^commit$/);
    const slow = scene.put(scene.repository("slow"), scene.index({ note: "slow" }));
    await held.reached;
    const index = scene.index({ note: "quick" });
    await scene.other.execute("putManifest", scene.putInput(scene.repository("quick"), index));
    const [quick, ...none] = await follow(scene.other, before);
    assert.deepEqual([quick?.repository, none], [scene.repository("quick"), []]);
    assert(quick !== undefined);
    held.release();
    await slow;
    // Whoever has read the quick one finds the slow one behind it.
    const [late, ...nothing] = await follow(scene.other, quick.position);
    assert.deepEqual([late?.repository, nothing], [scene.repository("slow"), []]);
    assert(late !== undefined && late.seq < quick.seq && late.position > quick.position);
    assert.deepEqual(await follow(scene.store, before), [quick, late]);
  });

  test("what was taken back leaves nothing behind, and holds up nobody", async () => {
    const scene = nodes.scene();
    const before = await end(scene.store);
    const stranger = await nodes.stranger();
    await stranger.query("begin");
    await stranger.query(
      `insert into changes (at, kind, cause, repository_id, repository, version)
       values (0, 'blob.push', 'client', 1, 'taken-back', 1)`,
    );
    await scene.put(scene.repository(), scene.index({ note: "1" }));
    assert.equal((await follow(scene.store, before)).length, 1);
    await stranger.query("rollback");
    await scene.put(scene.repository(), scene.index({ note: "2" }));
    const changes = await follow(scene.store, before);
    assert.deepEqual(
      new Set(changes.map(({ repository }) => repository)),
      new Set([scene.repository()]),
    );
    assert.equal(changes.length, 2);
  });

  test("a node that numbers waits for another one that does, and finds its work done", async () => {
    const scene = nodes.scene();
    const before = await end(scene.store);
    await scene.put(scene.repository(), scene.index({ note: "1" }));
    const sequencer = await nodes.stranger();
    await sequencer.query("begin");
    await sequencer.query("select pg_advisory_xact_lock(x'6c6f6e6773686f72'::bigint)");
    const readers = [scene.store, scene.other].map((store) => follow(store, before));
    await nodes.someWait(2);
    await sequencer.query(
      "update changes set position = nextval('changes_positions') where position is null",
    );
    await sequencer.query("commit");
    const [here, there] = await Promise.all(readers);
    assert.deepEqual(here, there);
    assert.equal(here?.length, 1);
  });

  test("no position comes twice, also when its row has gone", async () => {
    const scene = nodes.scene();
    await scene.put(scene.repository(), scene.index({ note: "1" }));
    const last = await end(scene.store);
    await nodes.database.query("delete from changes");
    await scene.put(scene.repository(), scene.index({ note: "2" }));
    const [change] = await follow(scene.store, last);
    assert(change !== undefined && change.position > last);
  });

  test("readers that follow while many write miss nothing and read nothing twice", async () => {
    const scene = nodes.scene();
    const before = await end(scene.store);
    const writers = 12;
    const rounds = 40;
    let writing = true;
    const read = async (store: MetadataStore): Promise<readonly ChangeRecord[]> => {
      const all: ChangeRecord[] = [];
      for (let position = before, last = false; !last;) {
        // Looks once more after the last write.
        last = !writing;
        const page = await follow(store, position);
        all.push(...page);
        position = page.at(-1)?.position ?? position;
      }
      return all;
    };
    const stores = [scene.store, scene.other];
    const readers = [...stores, ...stores].map(read);
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        const repository = scene.repository(`r${writer}`);
        for (let round = 0; round < rounds; round += 1) {
          const index = scene.index({ note: `${writer} ${round}` });
          const put = scene.putInput(repository, index, { tags: [`v${round}`] });
          await stores[(writer + round) % 2]?.execute("putManifest", put);
        }
      }),
    );
    writing = false;
    const logs = await Promise.all(readers);
    for (const log of logs) {
      assert.equal(log.length, writers * rounds);
      assert.deepEqual(log, logs[0]);
      assert.equal(new Set(log.map(({ seq }) => seq)).size, log.length);
    }
    // Each repository's changes are in the order in which they were made.
    for (const changes of Map.groupBy(logs[0] ?? [], ({ repository }) => repository).values()) {
      const expected = Array.from({ length: rounds }, (_, round) => `v${round}`);
      assert.deepEqual(
        changes.map(({ tag }) => tag),
        expected,
      );
    }
  });
});
