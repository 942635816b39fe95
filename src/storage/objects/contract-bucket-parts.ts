/** The contract of objects that are put together from parts. */
import assert from "node:assert/strict";
import { sameBytes, someBytes } from "../contract-support.ts";
import { contentAt, type BucketCases, type BucketScene } from "./contract-bucket-support.ts";
import { BucketError, PartsLeftOver, PartsUnknown } from "./object-bucket.ts";
import type { CompletedPart, ObjectBucket, PartsTarget, StartedParts } from "./object-bucket.ts";

async function begun(bucket: ObjectBucket, key: string): Promise<PartsTarget> {
  return { key, id: await bucket.beginParts(key, {}) };
}

async function sent(
  bucket: ObjectBucket,
  target: PartsTarget,
  number: number,
  bytes: Uint8Array,
): Promise<CompletedPart> {
  const half = bytes.byteLength >> 1;
  const pieces = [bytes.subarray(0, half), bytes.subarray(half)];
  return { number, tag: await bucket.putPart(target, number, pieces, {}) };
}

/** Large enough to be followed by another one, each different. */
function partOf(bucket: ObjectBucket, seed: number): Uint8Array {
  return someBytes(bucket.limits.partBytesMin + seed, seed);
}

async function startedBelow({ at, bucket }: BucketScene): Promise<readonly StartedParts[]> {
  const found: StartedParts[] = [];
  let after: PartsTarget | undefined;
  for (;;) {
    const { items, more } = await bucket.listParts(at, after, {});
    found.push(...items);
    after = items.at(-1);
    if (!more || after === undefined) return found;
  }
}

function idsOf(targets: readonly PartsTarget[]): readonly string[] {
  return targets.map(({ id }) => id).toSorted();
}

export const bucketPartCases: BucketCases = {
  "parts that were sent in any order are one object": async ({ at, bucket }) => {
    const target = await begun(bucket, `${at}object`);
    const bytes = [partOf(bucket, 1), partOf(bucket, 2), someBytes(5, 3)];
    const parts = new Map<number, CompletedPart>();
    for (const number of [3, 1, 2]) {
      const part = bytes[number - 1] ?? new Uint8Array();
      parts.set(number, await sent(bucket, target, number, part));
    }
    assert.equal(await bucket.head(target.key, {}), undefined, "nothing before its completion");
    const list = [1, 2, 3].flatMap((number) => parts.get(number) ?? []);
    await bucket.completeParts(target, list, {});
    assert.ok(sameBytes(await contentAt(bucket, target.key), Buffer.concat(bytes)));
  },

  "one part is an object, however small": async ({ at, bucket }) => {
    const target = await begun(bucket, `${at}object`);
    const bytes = someBytes(7);
    await bucket.completeParts(target, [await sent(bucket, target, 1, bytes)], {});
    assert.ok(sameBytes(await contentAt(bucket, target.key), bytes));
  },

  "a tag stands for its bytes, whatever else came under its number": async ({ at, bucket }) => {
    const [first, second, end] = [partOf(bucket, 1), partOf(bucket, 2), someBytes(9, 3)];
    for (const wanted of [first, second]) {
      const target = await begun(bucket, `${at}${wanted.byteLength}`);
      const tags = [await sent(bucket, target, 1, first), await sent(bucket, target, 1, second)];
      const part = tags[wanted === first ? 0 : 1];
      assert.ok(part);
      const parts = [part, await sent(bucket, target, 2, end)];
      const outcome = await bucket.completeParts(target, parts, {}).then(
        () => "completed",
        (error: unknown) => error,
      );
      if (outcome === "completed") {
        const expected = Buffer.concat([wanted, end]);
        assert.ok(sameBytes(await contentAt(bucket, target.key), expected));
      } else {
        assert.ok(outcome instanceof PartsUnknown, String(outcome));
        assert.ok(wanted === first, "the part that came last counts");
      }
    }
  },

  "a part that is left out is not in the object": async ({ at, bucket }) => {
    const target = await begun(bucket, `${at}object`);
    const [first, last] = [partOf(bucket, 1), someBytes(20, 2)];
    const parts = [await sent(bucket, target, 1, first), await sent(bucket, target, 2, last)];
    const completed = await bucket.completeParts(target, parts.slice(0, 1), {}).then(
      () => first,
      (error: unknown) => {
        // The object has them all, and begins with those that were asked for.
        assert.ok(error instanceof PartsLeftOver, String(error));
        return Buffer.concat([first, last]);
      },
    );
    assert.ok(sameBytes(await contentAt(bucket, target.key), completed));
  },

  "what was never begun, or has lost its parts, is unknown": async ({ at, bucket }) => {
    const other = await begun(bucket, `${at}other`);
    const part = await sent(bucket, other, 1, someBytes(10));
    const target = await begun(bucket, `${at}target`);
    await bucket.abortParts(target, {});
    await assert.rejects(bucket.completeParts(target, [part], {}), PartsUnknown);
    assert.equal(await bucket.head(target.key, {}), undefined);
    await bucket.completeParts(other, [part], {});
  },

  "a completion that is repeated changes nothing": async ({ at, bucket, isRewriting }) => {
    const target = await begun(bucket, `${at}object`);
    const [first, last] = [partOf(bucket, 1), someBytes(20, 2)];
    const bytes = Buffer.concat([first, last]);
    const parts = [await sent(bucket, target, 1, first), await sent(bucket, target, 2, last)];
    await bucket.completeParts(target, parts, {});
    // The last one is what another node, which knew of less, sends late.
    for (const late of isRewriting ? [parts] : [parts, parts.slice(0, 1)]) {
      await bucket.completeParts(target, late, {}).catch((error: unknown) => {
        assert.ok(error instanceof PartsUnknown, String(error));
      });
      assert.ok(sameBytes(await contentAt(bucket, target.key), bytes));
    }
  },

  "what is sent after a completion is refused, or can be completed": async ({ at, bucket }) => {
    const target = await begun(bucket, `${at}object`);
    const [first, last] = [partOf(bucket, 1), someBytes(20, 2)];
    const part = await sent(bucket, target, 1, first);
    await bucket.completeParts(target, [part], {});
    const completed = async (): Promise<void> => {
      const another = await sent(bucket, target, 2, last);
      await bucket.completeParts(target, [part, another], {});
    };
    const isLonger = await completed().then(
      () => true,
      (error: unknown) => {
        assert.ok(error instanceof PartsUnknown, String(error));
        return false;
      },
    );
    const bytes = isLonger ? Buffer.concat([first, last]) : first;
    assert.ok(sameBytes(await contentAt(bucket, target.key), bytes));
  },

  "a completion replaces an object that lay there": async ({ at, bucket }) => {
    const key = `${at}object`;
    await bucket.put(key, [someBytes(3)], {});
    for (const seed of [1, 2]) {
      const target = await begun(bucket, key);
      const bytes = someBytes(50, seed);
      await bucket.completeParts(target, [await sent(bucket, target, 1, bytes)], {});
      assert.ok(sameBytes(await contentAt(bucket, key), bytes));
    }
  },

  "parts are copied from another object, or the bucket says that it cannot": async (scene) => {
    const { at, bucket } = scene;
    const source = partOf(bucket, 1000);
    await bucket.put(`${at}source`, [source], {});
    const target = await begun(bucket, `${at}object`);
    const { partBytesMin } = bucket.limits;
    const spans = [
      { start: 500, end: 500 + partBytesMin - 1 },
      { start: 3, end: 3 },
    ] as const;
    const parts: CompletedPart[] = [];
    for (const [index, span] of spans.entries()) {
      const from = { key: `${at}source`, span };
      const tag = await bucket.copyPart(target, index + 1, from, {});
      if (tag !== undefined) parts.push({ number: index + 1, tag });
    }
    if (parts.length === 0) return;
    const absent = { key: `${at}absent`, span: { start: 0, end: 9 } };
    await assert.rejects(bucket.copyPart(target, 3, absent, {}), BucketError);
    await bucket.completeParts(target, parts, {});
    const expected = spans.map(({ end, start }) => source.subarray(start, end + 1));
    assert.ok(sameBytes(await contentAt(bucket, target.key), Buffer.concat(expected)));
  },

  "what is aborted is gone, and what was completed stays": async (scene) => {
    const { at, bucket } = scene;
    const target = await begun(bucket, `${at}aborted`);
    const part = await sent(bucket, target, 1, someBytes(30));
    await bucket.abortParts(target, {});
    await bucket.abortParts(target, {});
    await assert.rejects(bucket.completeParts(target, [part], {}), PartsUnknown);
    assert.equal(await bucket.head(target.key, {}), undefined);

    const whole = await begun(bucket, `${at}completed`);
    await bucket.completeParts(whole, [await sent(bucket, whole, 1, someBytes(40))], {});
    await bucket.abortParts(whole, {});
    assert.equal((await bucket.head(whole.key, {}))?.size, 40);
    assert.deepEqual(await startedBelow(scene), []);
  },

  "targets that have parts are listed until they end": async (scene) => {
    const { at, bucket } = scene;
    assert.deepEqual(await startedBelow(scene), []);
    const before = Date.now();
    await bucket.put(`${at}empty`, [], {});
    await bucket.put(`${at}object`, [someBytes(4)], {});
    const targets: PartsTarget[] = [];
    const parts: CompletedPart[] = [];
    for (const name of ["a", "b", "c/d", "c/e"]) {
      const target = await begun(bucket, `${at}${name}`);
      targets.push(target);
      parts.push(await sent(bucket, target, 1, someBytes(10)));
    }
    const found = await startedBelow(scene);
    assert.deepEqual(
      found.map(({ id, key }) => ({ key, id })),
      targets,
    );
    assert.ok(found.every(({ startedAt }) => Math.abs(startedAt - before) < 60_000));
    const below = await bucket.listParts(`${at}c/`, undefined, {});
    assert.deepEqual(idsOf(below.items), idsOf(targets.slice(2)));
    const [first, second] = targets;
    const [, part] = parts;
    assert.ok(first && second && part);
    const rest = await bucket.listParts(at, first, {});
    assert.deepEqual(idsOf(rest.items), idsOf(targets.slice(1)));
    await bucket.abortParts(first, {});
    await bucket.completeParts(second, [part], {});
    assert.deepEqual(idsOf(await startedBelow(scene)), idsOf(targets.slice(2)));
  },

  "two targets of one key do not mix": async (scene) => {
    const { at, bucket } = scene;
    const key = `${at}object`;
    const targets = [await begun(bucket, key), await begun(bucket, key)];
    const contents = [someBytes(100, 1), someBytes(200, 2)];
    const parts: CompletedPart[] = [];
    for (const [index, target] of targets.entries()) {
      parts.push(await sent(bucket, target, 1, contents[index] ?? new Uint8Array()));
    }
    assert.deepEqual(idsOf(await startedBelow(scene)), idsOf(targets));
    const ends = await Promise.allSettled(
      targets.map(async (target, index) => {
        await bucket.completeParts(target, parts.slice(index, index + 1), {});
      }),
    );
    // A vendor may have one list of parts for a key: then whoever comes second has lost its own.
    assert.ok(ends.some(({ status }) => status === "fulfilled"));
    for (const end of ends) {
      assert.ok(end.status === "fulfilled" || end.reason instanceof PartsUnknown);
    }
    const content = await contentAt(bucket, key);
    assert.ok(contents.some((bytes) => sameBytes(content, bytes)));
  },
};
