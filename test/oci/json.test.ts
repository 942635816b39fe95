import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OciError } from "../../src/oci/errors.ts";
import {
  foldedKeys,
  jsonContainersMax,
  jsonDepthMax,
  parseJsonObject,
  refuseLookalikes,
} from "../../src/oci/json.ts";
import { assertQuick } from "./timing.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function assertRefused(bytes: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => parseJsonObject(bytes),
    (error) =>
      error instanceof OciError && error.code === "MANIFEST_INVALID" && reason.test(error.message),
  );
}

test("an object is read as JSON.parse reads it", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
      const text = JSON.stringify(object);
      assert.deepEqual(parseJsonObject(encode(` ${text}\n`)), JSON.parse(text));
    }),
  );
});

test("what is no object, no JSON, no UTF-8, or has something behind it, is refused", () => {
  for (const text of ["[]", "null", "1", '"{}"', "true"]) {
    assertRefused(encode(text), /not a JSON object/);
  }
  for (const text of [
    "",
    "{",
    "{}{}",
    "{} x",
    "{'a':1}",
    '{"a":1,}',
    '{"a":"',
    "\ufeff{}",
    "{}\u0000",
  ]) {
    assertRefused(encode(text), /not JSON/);
  }
  assertRefused(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d), /not UTF-8/);
  assertRefused(Uint8Array.of(0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00), /not UTF-8/);
});

test("depth and number of objects are bounded, brackets within strings are not counted", () => {
  const nested = (depth: number): string =>
    `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  assert.ok(parseJsonObject(encode(nested(jsonDepthMax))));
  assertRefused(encode(nested(jsonDepthMax + 1)), /levels deep/);
  const flat = (count: number): string =>
    `{"a":[${Array(count - 2)
      .fill("[]")
      .join()}]}`;
  assert.ok(parseJsonObject(encode(flat(jsonContainersMax))));
  assertRefused(encode(flat(jsonContainersMax + 1)), /objects and arrays/);
  const text = `\\"${"[{".repeat(1000)}\\\\`;
  assert.ok(parseJsonObject(encode(`{"a":"${text}","b":"${text}"}`)));
});

test("a key that Go takes for another is refused", () => {
  const known = foldedKeys(["layers", "mediaType", "kind"]);
  for (const key of ["Layers", "LAYERS", "layer\u017f", "mediatype", "\u212aind"]) {
    assert.throws(() => refuseLookalikes({ [key]: 1 }, known, ""), OciError, key);
  }
  refuseLookalikes(
    { layers: 1, mediaType: 2, layer: 3, "org.example": 4, constructor: 5 },
    known,
    "",
  );
});

test("no bytes make it throw anything but MANIFEST_INVALID", () => {
  const texts = fc.oneof(fc.json(), fc.string({ unit: fc.constantFrom(...'{}[]":,\\a1 ') }));
  const inputs = fc.oneof(fc.uint8Array({ maxLength: 100 }), texts.map(encode));
  fc.assert(
    fc.property(inputs, (bytes) => {
      try {
        parseJsonObject(bytes);
      } catch (error) {
        assert.ok(error instanceof OciError && error.code === "MANIFEST_INVALID");
      }
    }),
    { numRuns: 2000 },
  );
});

test("megabytes of brackets, quotes and backslashes take no time", () => {
  for (const shape of ["[", "{", '{"":', '"', "\\", '"\\', "[]", "[],", "0", " "]) {
    const bytes = encode(shape.repeat((4 << 20) / shape.length));
    assertQuick(() => assert.throws(() => parseJsonObject(bytes), OciError));
  }
});
