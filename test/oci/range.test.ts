import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseContentRange, parseRange, rangesMax } from "../../src/oci/range.ts";
import type { RangeResult } from "../../src/oci/range.ts";
import { textNear } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

const whole: RangeResult = { kind: "whole" };
const unsatisfiable: RangeResult = { kind: "unsatisfiable" };

function spans(...pairs: readonly (readonly [start: number, end: number])[]): RangeResult {
  return { kind: "spans", spans: pairs.map(([start, end]) => ({ start, end })) };
}

test("one range, in each of its forms", () => {
  assert.deepEqual(parseRange("bytes=0-9", 100), spans([0, 9]));
  assert.deepEqual(parseRange("bytes=99-99", 100), spans([99, 99]));
  assert.deepEqual(parseRange("bytes=90-200", 100), spans([90, 99]));
  assert.deepEqual(parseRange("bytes=5-", 100), spans([5, 99]));
  assert.deepEqual(parseRange("bytes=-5", 100), spans([95, 99]));
  assert.deepEqual(parseRange("bytes=-500", 100), spans([0, 99]));
  assert.deepEqual(parseRange("BYTES=007-0009", 100), spans([7, 9]));
});

test("several ranges keep their order; those out of reach fall away", () => {
  assert.deepEqual(parseRange("bytes=20-29,0-9", 100), spans([20, 29], [0, 9]));
  assert.deepEqual(parseRange("bytes= 0-9 ,\t, 200-, 9-8, -1,", 100), spans([0, 9], [99, 99]));
});

test("what begins beyond the end, ends before it begins, or is empty, is unsatisfiable", () => {
  for (const header of [
    "bytes=100-",
    "bytes=100-200",
    "bytes=500-0",
    "bytes=-0",
    "bytes=-0,100-",
  ]) {
    assert.deepEqual(parseRange(header, 100), unsatisfiable, header);
  }
  for (const header of ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"]) {
    assert.deepEqual(parseRange(header, 0), unsatisfiable, header);
  }
});

test("no header, another unit or a malformed one is the whole", () => {
  const ignored = [
    null,
    undefined,
    "",
    "bytes",
    "bytes=",
    "bytes=,",
    "bytes=-",
    "bytes=a-b",
    "bytes=1",
    "bytes 0-9",
    "bytes =0-9",
    "items=0-9",
    "bytes=0-9-",
    "bytes=--1",
    "bytes=+0-9",
    "bytes=0x0-9",
    "bytes=0 - 9",
    "bytes=0-9;1-2",
    "bytes=1.0-2",
    "bytes=1e1-20",
    "bytes=0-9,x",
    "bytes=100-,x",
    "0-9",
    "bytes=\u0661-",
  ];
  for (const header of ignored) assert.deepEqual(parseRange(header, 100), whole, String(header));
});

test("numbers beyond what a double holds are as good as the end", () => {
  const huge = "9".repeat(400);
  assert.deepEqual(parseRange(`bytes=0-${huge}`, 100), spans([0, 99]));
  assert.deepEqual(parseRange(`bytes=-${huge}`, 100), spans([0, 99]));
  assert.deepEqual(parseRange(`bytes=${huge}-`, 100), unsatisfiable);
  assert.deepEqual(parseRange(`bytes=${huge}-${huge}`, 100), unsatisfiable);
  const size = Number.MAX_SAFE_INTEGER;
  assert.deepEqual(parseRange("bytes=9007199254740991-", size), unsatisfiable);
  assert.deepEqual(parseRange("bytes=9007199254740990-", size), spans([size - 1, size - 1]));
});

test("ranges that come to more than the content, or are too many, are the whole", () => {
  assert.deepEqual(parseRange("bytes=0-,0-", 100), whole);
  assert.deepEqual(parseRange("bytes=0-60,40-99", 100), whole);
  assert.deepEqual(parseRange("bytes=0-49,50-99", 100), spans([0, 49], [50, 99]));
  const most = Array.from({ length: rangesMax }, (_, index) => `${index}-${index}`);
  assert.equal(parseRange(`bytes=${most.join(",")}`, 1000).kind, "spans");
  assert.deepEqual(parseRange(`bytes=${most.join(",")},-1`, 1000), whole);
});

/** A range as a list of positions, the slow and obvious way; `undefined` is a number left out. */
type Wanted = readonly [first: number | undefined, last: number | undefined];

function positions([first, last]: Wanted, size: number): readonly number[] {
  const all = Array.from({ length: size }, (_, position) => position);
  if (first === undefined) return last === 0 ? [] : all.slice(-(last ?? 0));
  return all.filter((position) => position >= first && (last === undefined || position <= last));
}

const numbers = fc.nat(40);
const wanted: fc.Arbitrary<Wanted> = fc.oneof(
  fc.tuple(numbers, numbers),
  fc.tuple(numbers, fc.constant(undefined)),
  fc.tuple(fc.constant(undefined), numbers),
);

test("a result is what a list of all positions says", () => {
  fc.assert(
    fc.property(fc.array(wanted, { minLength: 1, maxLength: 5 }), fc.nat(30), (ranges, size) => {
      const header = ranges.map(([first, last]) => `${first ?? ""}-${last ?? ""}`).join(", ");
      const lists = ranges.map((range) => positions(range, size)).filter((list) => list.length > 0);
      const kept = lists.map((list) => [list[0] ?? -1, list.at(-1) ?? -1] as const);
      const some = lists.flat().length > size ? whole : spans(...kept);
      const expected = lists.length === 0 ? unsatisfiable : some;
      assert.deepEqual(parseRange(`bytes=${header}`, size), expected);
    }),
    { numRuns: 2000 },
  );
});

test("whatever the header, a result lies within the content and is no more than it", () => {
  const headers = textNear("0123456789-, ").map((text) => `bytes=${text}`);
  fc.assert(
    fc.property(headers, fc.oneof(fc.nat(200), fc.maxSafeNat()), (header, size) => {
      const result = parseRange(header, size);
      if (result.kind !== "spans") return;
      assert.ok(result.spans.length > 0);
      let total = 0;
      for (const { start, end } of result.spans) {
        assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(end));
        assert.ok(start >= 0 && start <= end && end < size);
        total += end - start + 1;
      }
      assert.ok(total <= size);
    }),
    { numRuns: 5000 },
  );
});

test("a chunk's Content-Range comes as the spec has it and as the RFC has it", () => {
  for (const header of ["0-9", "bytes 0-9/*", "bytes 0-9/10", "Bytes 00-09/*"]) {
    assert.deepEqual(parseContentRange(header), { start: 0, end: 9 }, header);
  }
  const refused = [
    "",
    "-",
    "0-",
    "-9",
    "9-0",
    "a-b",
    "0-9/*",
    "0-9/10",
    "bytes 0-9",
    "bytes=0-9",
    "bytes 0-9/9",
    "bytes 0-9/",
    "bytes 9-0/*",
    "bytes */10",
    "0 - 9",
    " 0-9",
    "0-9\n",
    "+0-9",
    "0-9.0",
    "0-1e1",
    "0-9007199254740992",
    `0-${"9".repeat(400)}`,
    "9007199254740993-9007199254740995",
    "0-9,10-19",
  ];
  for (const header of refused) assert.equal(parseContentRange(header), undefined, header);
});

test("a Content-Range that is written is read as the same, and nothing else throws", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      const span = { start: Math.min(a, b), end: Math.max(a, b) };
      const text = `${span.start}-${span.end}`;
      assert.deepEqual(parseContentRange(text), span);
      assert.deepEqual(parseContentRange(`bytes ${text}/*`), span);
    }),
  );
  fc.assert(
    fc.property(textNear("0123456789-/* bytes"), (text) => {
      const span = parseContentRange(text);
      if (span !== undefined) assert.ok(span.start <= span.end);
    }),
  );
});

test("hostile headers take no time", () => {
  for (const shape of ["0", "-", ",", " ", "0-", "0-0,", " ,", "0-0 ", "\t"]) {
    for (const length of [8000, 1 << 20]) {
      const text = shape.repeat(length / shape.length);
      assertQuick(() => {
        for (let round = 0; round < 50; round += 1) {
          parseRange(`bytes=${text}x`, 100);
          parseRange(`bytes=${text}`, 100);
          parseContentRange(text);
          parseContentRange(`bytes 0-${text}`);
        }
      });
    }
  }
});
