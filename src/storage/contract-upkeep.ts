/** The contract of `upkeep`. */
import assert from "node:assert/strict";
import { collected, committed, someBytes } from "./contract-support.ts";
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
};
