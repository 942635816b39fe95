/**
 * The contract suite of `ObjectBucket`: what the store on top relies on, as tests. An adapter's own
 * test is
 *
 *     await objectBucketContract("my bucket", async () => createMyBucket());
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { ByteSpan } from "../blob-store.ts";
import { readAll, sameBytes, someBytes } from "../contract-support.ts";
import { bucketPartCases } from "./contract-bucket-parts.ts";
import { contentAt, type BucketCases, type BucketScene } from "./contract-bucket-support.ts";
import { BucketError, type ObjectBucket } from "./object-bucket.ts";

export interface BucketContractOptions {
  /**
   * What begins the keys of a test; a bucket that is used by several runs gives each its own.
   * Default: nothing.
   */
  readonly prefix?: string;
  /**
   * A completion that is repeated with other parts makes the object anew, as Swift does. A request
   * that was given up and comes very late could then shorten what was committed since: its size
   * tells. Default false.
   */
  readonly isRewriting?: boolean;
}

/** Declares the suite. The bucket serves all tests, which use keys of their own, and is closed. */
export async function objectBucketContract(
  name: string,
  createBucket: () => Promise<ObjectBucket>,
  { isRewriting = false, prefix = "" }: BucketContractOptions = {},
): Promise<void> {
  // Only here, so that whoever merely imports this file does not become a test run.
  const { after, before, describe, test } = await import("node:test");
  describe(`${name}, a bucket`, () => {
    let bucket: ObjectBucket | undefined;
    before(async () => {
      bucket = await createBucket();
    });
    after(async () => await bucket?.close());
    const runCase = async (run: BucketCases[string]): Promise<void> => {
      assert.ok(bucket && run);
      await run({ bucket, at: `${prefix}${randomUUID()}/`, isRewriting });
    };
    const cases: BucketCases = { ...objectCases, ...listCases, ...bucketPartCases };
    for (const [title, run] of Object.entries(cases)) test(title, () => runCase(run));
  });
}

const objectCases: BucketCases = {
  "what is absent is undefined, and its deletion no error": async ({ at, bucket }) => {
    const key = `${at}absent`;
    assert.equal(await bucket.head(key, {}), undefined);
    assert.equal(await bucket.get(key, undefined, {}), undefined);
    assert.equal(await bucket.get(key, { start: 0, end: 9 }, {}), undefined);
    await bucket.put(`${at}there`, [someBytes(3)], {});
    await bucket.delete([key, `${at}there`, `${at}absent too`], {});
    await bucket.delete([key], {});
    await bucket.delete([], {});
    assert.equal(await bucket.head(`${at}there`, {}), undefined);
  },

  "an object comes back as it was put, in one piece or in many": async ({ at, bucket }) => {
    for (const sizes of [[], [0], [1], [5, 0, 70_000, 1], Array<number>(40).fill(65_536)]) {
      const pieces = sizes.map((size, index) => someBytes(size, index + 1));
      const bytes = Buffer.concat(pieces);
      const key = `${at}${sizes.length}-${bytes.byteLength}`;
      await bucket.put(key, pieces, {});
      const opened = await bucket.get(key, undefined, {});
      assert.equal(opened?.size, bytes.byteLength);
      assert.ok(sameBytes(await readAll(opened.body), bytes), `${bytes.byteLength} bytes`);
      assert.equal((await bucket.head(key, {}))?.size, bytes.byteLength);
    }
  },

  "head tells the key, the size and the time": async ({ at, bucket }) => {
    const before = Date.now();
    const key = `${at}of size 7`;
    await bucket.put(key, [someBytes(7)], {});
    const found = await bucket.head(key, {});
    assert.equal(found?.key, key);
    assert.equal(found.size, 7);
    // Some servers tell whole seconds, and their clock is theirs.
    assert.ok(Math.abs(found.modifiedAt - before) < 60_000, String(found.modifiedAt));
  },

  "an object that is put again is replaced as a whole": async ({ at, bucket }) => {
    const key = `${at}twice`;
    for (const bytes of [someBytes(2000, 1), someBytes(10, 2), someBytes(0), someBytes(300, 3)]) {
      await bucket.put(key, [bytes], {});
      assert.ok(sameBytes(await contentAt(bucket, key), bytes));
    }
  },

  "a span gives its bytes and no others, cut off at the end": async ({ at, bucket }) => {
    const bytes = someBytes(200_000);
    const key = `${at}spans`;
    await bucket.put(key, [bytes], {});
    const spans: readonly ByteSpan[] = [
      { start: 0, end: 0 },
      { start: 1, end: 65_536 },
      { start: 0, end: 199_999 },
      { start: 199_999, end: 199_999 },
      { start: 199_990, end: 300_000 },
    ];
    for (const span of spans) {
      const expected = bytes.subarray(span.start, span.end + 1);
      const opened = await bucket.get(key, span, {});
      assert.equal(opened?.size, expected.byteLength);
      assert.ok(sameBytes(await readAll(opened.body), expected), JSON.stringify(span));
    }
    await assert.rejects(bucket.get(key, { start: 200_000, end: 200_001 }, {}), BucketError);
  },

  "a body can be left unread": async ({ at, bucket }) => {
    const bytes = someBytes(3_000_000);
    const key = `${at}large`;
    await bucket.put(key, [bytes], {});
    const opened = await bucket.get(key, undefined, {});
    assert.ok(opened);
    const reader = opened.body.getReader();
    await reader.read();
    await reader.cancel("enough");
    const untouched = await bucket.get(key, undefined, {});
    await untouched?.body.cancel();
    assert.ok(sameBytes(await contentAt(bucket, key), bytes));
  },

  "an aborted signal ends a call with its reason, and a body": async ({ at, bucket }) => {
    const key = `${at}large`;
    await bucket.put(key, [someBytes(8_000_000)], {});
    const reason = new Error("gone");
    const signal = AbortSignal.abort(reason);
    await assert.rejects(bucket.get(key, undefined, { signal }), reason);
    await assert.rejects(bucket.put(key, [someBytes(10)], { signal }), reason);
    await assert.rejects(bucket.list(at, undefined, { signal }), reason);
    const abort = new AbortController();
    const opened = await bucket.get(key, undefined, { signal: abort.signal });
    assert.ok(opened);
    const reader = opened.body.getReader();
    await reader.read();
    abort.abort(reason);
    const rest = async (): Promise<void> => {
      while (!(await reader.read()).done);
    };
    await assert.rejects(rest());
    assert.equal((await bucket.head(key, {}))?.size, 8_000_000);
  },

  "memory is not read any more once a call has ended": async ({ at, bucket }) => {
    const bytes = someBytes(4_000_000);
    const ends = await Promise.all(
      [0, 1, 3, 10, 30].map(async (afterMs) => {
        const key = `${at}${afterMs}`;
        const pieces = [bytes.slice(0, 2_000_000), bytes.slice(2_000_000)];
        const signal = AbortSignal.timeout(afterMs);
        const end = await bucket.put(key, pieces, { signal }).then(
          () => "put",
          () => "aborted",
        );
        // Whoever called uses it for something else now.
        for (const piece of pieces) piece.fill(0);
        return { key, end };
      }),
    );
    for (const { end, key } of ends) {
      const content = await contentAt(bucket, key);
      if (end === "aborted" && content === undefined) continue;
      assert.ok(sameBytes(content, bytes), `${key}: ${end}`);
    }
  },

  "a URL is undefined, or absolute and for this object": async ({ at, bucket }) => {
    const key = `${at}linked`;
    await bucket.put(key, [someBytes(3)], {});
    for (const method of ["GET", "HEAD"] as const) {
      const url = await bucket.url(key, method);
      assert.ok(url === undefined || decodeURIComponent(new URL(url).pathname).endsWith(key));
    }
  },
};

/** Names that sort otherwise than words do, and that URLs have to escape. */
const names = ["-", "0", "A", "B/1", "B/1/x", "B0", "_", "a", "a b", "a%2Fb", "a+b", "a.b", "é"];

const listCases: BucketCases = {
  "a listing is in byte order, and has what begins with its prefix": async (scene) => {
    const { at, bucket } = scene;
    for (const name of names) await bucket.put(`${at}${name}`, [someBytes(name.length)], {});
    const inOrder = (list: readonly string[]): readonly string[] =>
      list.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(await listed(scene, ""), inOrder(names));
    const inA = names.filter((name) => name.startsWith("a"));
    assert.deepEqual(await listed(scene, "a"), inOrder(inA));
    assert.deepEqual(await listed(scene, "B/1"), ["B/1", "B/1/x"]);
    assert.deepEqual(await listed(scene, "c"), []);
    const { items } = await bucket.list(`${at}B/`, undefined, {});
    assert.deepEqual(
      items.map(({ size }) => size),
      [3, 5],
    );
    assert.ok(items.every(({ modifiedAt }) => Math.abs(modifiedAt - Date.now()) < 60_000));
  },

  "a listing goes on after any key, be it there or not": async (scene) => {
    for (const name of names) await scene.bucket.put(`${scene.at}${name}`, [], {});
    const all = await listed(scene, "");
    for (const [index, name] of all.entries()) {
      assert.deepEqual(await listed(scene, "", name), all.slice(index + 1));
      const between = `${name}!`;
      const rest = all.filter(
        (other) => Buffer.compare(Buffer.from(other), Buffer.from(between)) > 0,
      );
      assert.deepEqual(await listed(scene, "", between), rest);
    }
    assert.deepEqual(await listed(scene, "", "~~~"), ["é"]);
    assert.deepEqual(await listed(scene, "a", "0"), await listed(scene, "a"));
  },

  "objects that come and go do not disturb a listing's order": async (scene) => {
    const { at, bucket } = scene;
    for (const name of ["b", "d", "f"]) await bucket.put(`${at}${name}`, [], {});
    await listed(scene, "");
    await bucket.delete([`${at}d`], {});
    for (const name of ["c", "e"]) await bucket.put(`${at}${name}`, [], {});
    assert.deepEqual(await listed(scene, "", "b"), ["c", "e", "f"]);
    assert.deepEqual(await listed(scene, "", "d"), ["e", "f"]);
  },
};

/** Names below `at`, page by page. */
async function listed(
  { at, bucket }: BucketScene,
  prefix: string,
  start?: string,
): Promise<readonly string[]> {
  const found: string[] = [];
  let after = start === undefined ? undefined : `${at}${start}`;
  for (;;) {
    const { items, more } = await bucket.list(`${at}${prefix}`, after, {});
    found.push(...items.map(({ key }) => key.slice(at.length)));
    after = items.at(-1)?.key;
    if (!more || after === undefined) return found;
  }
}
