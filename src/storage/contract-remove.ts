/** The contract of `remove`. */
import assert from "node:assert/strict";
import { StorageError } from "./blob-store.ts";
import type { BlobStore } from "./blob-store.ts";
import {
  collected,
  committed,
  contentOf,
  digest,
  sameBytes,
  someBytes,
  uploaded,
} from "./contract-support.ts";
import type { ContractCase, ContractCases } from "./contract-support.ts";

const casesWhereItRemoves: ContractCases = {
  "content that is unwanted still is gone": async (store) => {
    const [bytes, other] = [someBytes(100, 1), someBytes(100, 2)];
    const key = await committed(store, bytes);
    const stays = await committed(store, other);
    let asked = 0;
    await store.remove(key, "claim", async () => {
      asked += 1;
      return true;
    });
    assert.equal(asked, 1);
    assert.equal(await store.open(key), undefined);
    const listed = await collected(store.list());
    assert.deepEqual(
      listed.map((stored) => stored.key),
      [stays],
    );
    assert.ok(sameBytes(await contentOf(store, stays), other));
  },

  "content that is wanted again is put back": async (store) => {
    const bytes = someBytes(100_000);
    const key = await committed(store, bytes);
    await store.remove(key, "claim", async () => false);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
    await store.remove(key, "claim", async () => true);
    assert.equal(await store.stat(key), undefined);
  },

  "content is put back when the question fails, and the failure is passed on": async (store) => {
    const bytes = someBytes(100);
    const key = await committed(store, bytes);
    const failure = new Error("the database is away");
    await assert.rejects(
      store.remove(key, "claim", async () => {
        throw failure;
      }),
      failure,
    );
    assert.ok(sameBytes(await contentOf(store, key), bytes));
  },

  "newer bytes that were committed meanwhile stay, whatever the answer": async (store) => {
    const bytes = someBytes(100);
    for (const answer of [true, false]) {
      const key = await committed(store, bytes);
      let newer = key;
      await store.remove(key, `claim-${answer}`, async () => {
        newer = await committed(store, bytes);
        return answer;
      });
      assert.ok(sameBytes(await contentOf(store, newer), bytes));
    }
  },

  "to remove what is absent is no error, and is asked all the same": async (store) => {
    const key = await committed(store, someBytes(100));
    for (const claim of ["one", "one", "two"]) {
      let asked = 0;
      await store.remove(key, claim, async () => {
        asked += 1;
        return true;
      });
      assert.equal(asked, 1);
    }
    await store.remove(key, "three", async () => false);
    assert.equal(await store.stat(key), undefined);
  },

  "a reader goes on while the content is removed": async (store) => {
    const bytes = someBytes(4_000_000);
    const key = await committed(store, bytes);
    const opened = await store.open(key);
    assert.ok(opened?.body instanceof ReadableStream);
    await store.remove(key, "claim", async () => true);
    assert.ok(sameBytes(Buffer.concat(await collected(opened.body)), bytes));
  },

  "commits beside removals at their key succeed, and the last one wins": async (store) => {
    if (store.keys !== "content") return;
    const bytes = someBytes(1000);
    const name = digest(bytes);
    const upload = await uploaded(store, "beside", bytes);
    let key = await store.commit(upload, name, 1000);
    for (let round = 0; round < 50; round += 1) {
      await Promise.all([
        store.commit(upload, name, 1000),
        store.remove(key, `a-${round}`, async () => round % 3 !== 0),
        store.commit(upload, name, 1000),
        store.remove(key, `b-${round}`, async () => true),
      ]);
      key = await store.commit(upload, name, 1000);
      assert.ok(sameBytes(await contentOf(store, key), bytes));
    }
  },
};

/** What a store that cannot remove safely says. */
async function refuses(store: BlobStore): Promise<void> {
  const bytes = someBytes(100);
  const key = await committed(store, bytes);
  const asked = async (): Promise<boolean> => assert.fail("nobody need be asked");
  await assert.rejects(store.remove(key, "claim", asked), StorageError);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
}

export const removeCases: ContractCases = Object.fromEntries(
  Object.entries(casesWhereItRemoves).map(([title, run]): [string, ContractCase] => [
    title,
    (store, scene) => (store.upkeep.removes ? run(store, scene) : refuses(store)),
  ]),
);
