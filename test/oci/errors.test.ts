import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OciError, errorCatalogue, errorEnvelope } from "../../src/oci/errors.ts";
import type { ErrorCode } from "../../src/oci/errors.ts";
import { anyText } from "./arbitraries.ts";

const codes = Object.keys(errorCatalogue) as ErrorCode[];

/** What a reader of the JSON gets: without `undefined`, and with what JSON makes of odd numbers. */
function throughJson(value: unknown): unknown {
  const text = JSON.stringify(value);
  return JSON.parse(text);
}

test("every code of the spec is there, by the spec's rules", () => {
  const spec =
    "BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN " +
    "MANIFEST_INVALID MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED " +
    "DENIED UNSUPPORTED TOOMANYREQUESTS";
  for (const code of spec.split(" ")) assert.ok(code in errorCatalogue, code);
  for (const code of codes) {
    const { status, message, description } = errorCatalogue[code];
    assert.match(code, /^[A-Z_]+$/);
    assert.ok(status >= 400 && status <= 599);
    assert.ok(message.length > 0 && description.endsWith("."), code);
  }
});

test("statuses are the ones that Distribution's clients know", () => {
  const statuses = Object.fromEntries(codes.map((code) => [code, errorCatalogue[code].status]));
  assert.deepEqual(statuses, {
    BLOB_UNKNOWN: 404,
    BLOB_UPLOAD_INVALID: 404,
    BLOB_UPLOAD_UNKNOWN: 404,
    DENIED: 403,
    DIGEST_INVALID: 400,
    MANIFEST_BLOB_UNKNOWN: 400,
    MANIFEST_INVALID: 400,
    MANIFEST_UNKNOWN: 404,
    MANIFEST_UNVERIFIED: 400,
    NAME_INVALID: 400,
    NAME_UNKNOWN: 404,
    PAGINATION_NUMBER_INVALID: 400,
    RANGE_INVALID: 416,
    SIZE_INVALID: 400,
    TAG_INVALID: 400,
    TOOMANYREQUESTS: 429,
    UNAUTHORIZED: 401,
    UNAVAILABLE: 503,
    UNKNOWN: 500,
    UNSUPPORTED: 405,
  });
});

test("an error takes message and status from the catalogue, unless it brings its own", () => {
  const plain = new OciError("BLOB_UNKNOWN");
  assert.equal(plain.message, "blob unknown to registry");
  assert.equal(plain.status, 404);
  assert.equal(plain.detail, undefined);
  assert.equal(plain.cause, undefined);
  assert.ok(!("cause" in plain));
  assert.equal(plain.name, "OciError");
  assert.ok(plain instanceof Error);

  const cause = new Error("why");
  const own = new OciError("MANIFEST_INVALID", {
    message: "too large",
    status: 413,
    detail: 1,
    cause,
  });
  assert.deepEqual([own.message, own.status, own.detail], ["too large", 413, 1]);
  assert.equal(own.cause, cause);
});

test("an envelope lists its errors, with a detail only where there is one", () => {
  const text = errorEnvelope([
    new OciError("MANIFEST_BLOB_UNKNOWN", { detail: { digest: "x" } }),
    new OciError("UNSUPPORTED"),
  ]);
  assert.equal(
    text,
    '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry",' +
      '"detail":{"digest":"x"}},{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}',
  );
});

test("an envelope is JSON that says what the errors said", () => {
  const errors = fc.array(
    fc.record({
      code: fc.constantFrom(...codes),
      message: anyText(),
      detail: fc.jsonValue(),
    }),
  );
  fc.assert(
    fc.property(errors, (given) => {
      const parsed: unknown = JSON.parse(
        errorEnvelope(
          given.map(({ code, message, detail }) => new OciError(code, { message, detail })),
        ),
      );
      assert.deepEqual(parsed, throughJson({ errors: given }));
    }),
  );
});
