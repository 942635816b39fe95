/** The contract of `upkeep`. */
import assert from "node:assert/strict";
import type { BlobKey, BlobStore } from "./blob-store.ts";
import {
  collected,
  committed,
  contentOf,
  digest,
  sameBytes,
  someBytes,
} from "./contract-support.ts";
import type { ContractCases } from "./contract-support.ts";

export const upkeepCases: ContractCases = {
  "a root has the marker that was written last, for every store on it": async (
    store,
    { second },
  ) => {
    assert.equal(await store.upkeep.readMarker(), undefined);
    await store.upkeep.writeMarker('{"store":"one"}');
    const other = await second();
    assert.equal(await other.upkeep.readMarker(), '{"store":"one"}');
    await other.upkeep.writeMarker('{"store":"two","name":"größer"}');
    assert.equal(await store.upkeep.readMarker(), '{"store":"two","name":"größer"}');
  },

  "a root holds content once something was committed, and a marker is none": async (store) => {
    assert.equal(await store.upkeep.holdsContent(), false);
    await store.upkeep.writeMarker("{}");
    assert.equal(await store.upkeep.holdsContent(), false);
    await committed(store, someBytes(10));
    assert.equal(await store.upkeep.holdsContent(), true);
  },

  "nothing stays set aside by a removal that came to its end": async (store) => {
    if (!store.upkeep.removes) return;
    for (const answer of [true, false]) {
      const key = await committed(store, someBytes(10));
      await store.remove(key, `claim-${answer}`, async () => answer);
    }
    assert.deepEqual(await collected(store.upkeep.listSetAside()), []);
  },

  "what a remover leaves is settled by another one, and the first one is too late": async (
    store,
    { second },
  ) => {
    if (!store.upkeep.removes) return;
    const bytes = someBytes(100);
    const other = await second();
    for (const [answer, late] of [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ] as const) {
      const key = await committed(store, bytes);
      const { asked, removal, wake } = standingStill(store, key, `of-${answer}-${late}`);
      await asked;
      const asides = await collected(other.upkeep.listSetAside());
      // Where nothing is set aside there is nothing to settle.
      if (asides.length > 0) {
        const [aside] = asides;
        assert.ok(aside !== undefined && asides.length === 1);
        const { claim, digest: of } = aside;
        assert.deepEqual([aside.key, claim, of], [key, `of-${answer}-${late}`, digest(bytes)]);
        await aside.settle(`mine-${answer}-${late}`, async () => answer);
        assert.equal((await other.stat(key)) === undefined, answer);
        await aside.settle("again", async () => assert.fail("it is settled"));
      }
      // Whatever the first one is told when it wakes, newer bytes are not in its hands.
      await committed(other, bytes);
      wake(late && asides.length > 0);
      await removal;
      assert.ok(sameBytes(await contentOf(store, key), bytes));
      assert.deepEqual(await collected(store.upkeep.listSetAside()), []);
      await store.remove(key, `end-${answer}-${late}`, async () => true);
    }
  },
};

/** A remover that stands still where it asks whether the content is unwanted. */
function standingStill(
  store: BlobStore,
  key: BlobKey,
  claim: string,
): {
  readonly asked: Promise<void>;
  readonly removal: Promise<void>;
  readonly wake: (answer: boolean) => void;
} {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<boolean>();
  const removal = store.remove(key, claim, async () => {
    asked.resolve();
    return await answer.promise;
  });
  return { asked: asked.promise, removal, wake: answer.resolve };
}
