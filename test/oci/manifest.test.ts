import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OciError } from "../../src/oci/errors.ts";
import { manifestBytesMax, manifestReferencesMax, parseManifest } from "../../src/oci/manifest.ts";
import type { Manifest } from "../../src/oci/manifest.ts";
import {
  dockerManifest,
  dockerManifestList,
  manifestMediaTypes,
  ociIndex,
  ociManifest,
} from "../../src/oci/media-types.ts";
import { anyText, digests } from "./arbitraries.ts";
import { assertQuick } from "./timing.ts";

type Fields = Readonly<Record<string, unknown>>;

const digest = `sha256:${"a".repeat(64)}`;
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 0 };
const child = { mediaType: ociManifest, digest, size: 7 };
const image: Fields = { schemaVersion: 2, config, layers: [layer] };
const index: Fields = { schemaVersion: 2, manifests: [child] };

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function parse(document: unknown, contentType?: string): Manifest {
  return parseManifest(encode(document), contentType);
}

function refusal(document: unknown, contentType?: string): OciError {
  try {
    parse(document, contentType);
  } catch (error) {
    assert.ok(error instanceof OciError, String(error));
    assert.equal(error.code, "MANIFEST_INVALID");
    return error;
  }
  throw new assert.AssertionError({ message: "accepted" });
}

function assertPath(document: unknown, path: string, contentType?: string): void {
  const { detail, message, status } = refusal(document, contentType);
  assert.equal((detail as { path?: string }).path ?? "", path, message);
  assert.equal(status, 400);
}

test("an OCI image is read with config, layers, subject, annotations and artifact type", () => {
  const document = {
    ...image,
    mediaType: ociManifest,
    artifactType: "application/vnd.example",
    subject: child,
    annotations: { a: "b" },
    "org.example.custom": [1, { x: null }],
  };
  assert.deepEqual(parse(document, ociManifest), {
    mediaType: ociManifest,
    kind: "image",
    artifactType: "application/vnd.example",
    configMediaType: config.mediaType,
    subject: child,
    annotations: { a: "b" },
    references: [
      { kind: "config", descriptor: config },
      { kind: "layer", descriptor: layer },
    ],
  });
});

test("an OCI index is read with its manifests", () => {
  const manifests = [{ ...child, platform: { architecture: "arm64", os: "linux", variant: "v8" } }];
  const subject = { ...child, mediaType: ociIndex };
  assert.deepEqual(parse({ ...index, manifests, subject, artifactType: "" }, ociIndex), {
    mediaType: ociIndex,
    kind: "index",
    artifactType: undefined,
    configMediaType: undefined,
    subject,
    annotations: undefined,
    references: [
      {
        kind: "manifest",
        descriptor: { ...child, platform: { architecture: "arm64", os: "linux" } },
      },
    ],
  });
  assert.deepEqual(parse({ ...index, manifests: [] }, ociIndex).references, []);
});

test("Docker's types require their mediaType, and have no subject", () => {
  const fields = { subject: { not: "a descriptor" }, annotations: 1, artifactType: 2 };
  const schema2 = parse({ ...image, ...fields, mediaType: dockerManifest }, dockerManifest);
  assert.equal(schema2.kind, "image");
  assert.equal(schema2.configMediaType, config.mediaType);
  assert.equal(schema2.subject, undefined);
  const list = parse({ ...index, ...fields, mediaType: dockerManifestList });
  assert.equal(list.kind, "index");
  assert.equal(list.annotations, undefined);
  assertPath(image, "mediaType", dockerManifest);
  assertPath({ ...index, mediaType: "" }, "mediaType", dockerManifestList);
});

test("Content-Type counts without parameters and case; without it the document decides", () => {
  const type = parse(image, "Application/VND.OCI.image.manifest.v1+JSON ; charset=utf-8").mediaType;
  assert.equal(type, ociManifest);
  for (const absent of [undefined, "", " ", ";charset=utf-8"]) {
    assert.equal(parse(image, absent).mediaType, ociManifest);
    assert.equal(parse(index, absent).mediaType, ociIndex);
    assert.equal(parse({ ...image, mediaType: dockerManifest }, absent).mediaType, dockerManifest);
    assert.equal(parse({ ...index, mediaType: ociIndex }, absent).mediaType, ociIndex);
  }
});

test("Content-Type and the document have to agree", () => {
  for (const declared of manifestMediaTypes) {
    for (const mediaType of manifestMediaTypes) {
      if (declared === mediaType) continue;
      assertPath({ ...image, mediaType }, "mediaType", declared);
      assertPath({ ...index, mediaType }, "mediaType", declared);
    }
  }
  assertPath({ ...image, mediaType: ociManifest.toUpperCase() }, "mediaType", ociManifest);
  assertPath({ ...image, mediaType: 1 }, "mediaType", ociManifest);
});

test("an unknown type is refused with a list of those that are accepted", () => {
  for (const type of [
    "application/json",
    "text/plain",
    "x".repeat(100_000),
    `${ociManifest}, a/b`,
  ]) {
    for (const error of [refusal(image, type), refusal({ ...image, mediaType: type })]) {
      for (const accepted of manifestMediaTypes) assert.ok(error.message.includes(accepted));
      assert.ok(error.message.length < 1000);
    }
  }
});

test("a document cannot be an image to one reader and an index to another", () => {
  assertPath({ ...image, manifests: [] }, "manifests", ociManifest);
  assertPath({ ...image, manifests: [] }, "config");
  assertPath({ ...image, manifests: {} }, "manifests");
  assertPath({ ...image, mediaType: dockerManifest, manifests: [] }, "manifests", dockerManifest);
  assertPath({ ...index, config }, "config", ociIndex);
  assertPath({ ...index, layers: [] }, "layers", ociIndex);
  assertPath({ ...index, mediaType: dockerManifestList, layers: [] }, "layers", dockerManifestList);
  for (const key of [
    "Manifests",
    "MANIFESTS",
    "manifest\u017f",
    "Layers",
    "MediaType",
    "Subject",
  ]) {
    assertPath({ ...image, [key]: [] }, "", ociManifest);
  }
  assert.ok(parse({ ...image, manifests: null }, ociManifest));
  assertPath({ ...image, layers: [{ ...layer, Digest: digest }] }, "layers[0]", ociManifest);
});

test("schema 1 is refused by its name, other versions by their field", () => {
  const schema1 = { schemaVersion: 1, name: "a", tag: "b", fsLayers: [], signatures: [] };
  const type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  for (const error of [
    refusal(schema1),
    refusal(schema1, type),
    refusal({ ...image, mediaType: type }),
  ]) {
    assert.match(error.message, /schema 1 is not supported/);
  }
  assert.match(refusal({ ...image, schemaVersion: 1 }, ociManifest).message, /schema 1/);
  for (const schemaVersion of [undefined, null, 0, 3, "2", 2.5, true, [2]]) {
    assertPath({ ...image, schemaVersion }, "schemaVersion", ociManifest);
  }
});

test("an image needs a config; missing layers are none", () => {
  for (const empty of [undefined, null, []]) {
    assert.equal(parse({ ...image, layers: empty }).references.length, 1);
  }
  for (const none of [undefined, null]) assertPath({ ...image, config: none }, "config");
  for (const bad of [[], 1, "x", [config]]) assertPath({ ...image, config: bad }, "config");
  for (const bad of [{}, 1, "", false]) assertPath({ ...image, layers: bad }, "layers");
  for (const bad of [undefined, null, {}, 1])
    assertPath({ ...index, manifests: bad }, "manifests", ociIndex);
});

test("a bad descriptor is refused with the path of what is wrong", () => {
  const cases: readonly (readonly [Fields, string])[] = [
    [{ digest: undefined }, ".digest"],
    [{ digest: 1 }, ".digest"],
    [{ digest: "sha256:abc" }, ".digest"],
    [{ digest: `md5:${"a".repeat(32)}` }, ".digest"],
    [{ size: undefined }, ".size"],
    [{ size: -1 }, ".size"],
    [{ size: 1.5 }, ".size"],
    [{ size: "1" }, ".size"],
    [{ size: 2 ** 53 }, ".size"],
    [{ mediaType: undefined }, ".mediaType"],
    [{ mediaType: "" }, ".mediaType"],
    [{ mediaType: 1 }, ".mediaType"],
    [{ mediaType: "a/\u0000" }, ".mediaType"],
    [{ mediaType: "a/b\r\nX: y" }, ".mediaType"],
    [{ mediaType: "x".repeat(2000) }, ".mediaType"],
    [{ artifactType: {} }, ".artifactType"],
    [{ data: 1 }, ".data"],
    [{ urls: "http://example.com" }, ".urls"],
    [{ urls: [1] }, ".urls"],
    [{ annotations: [] }, ".annotations"],
    [{ annotations: { a: 1 } }, ".annotations"],
    [{ platform: "linux" }, ".platform"],
    [{ platform: { os: 1 } }, ".platform.os"],
  ];
  for (const [fields, path] of cases) {
    assertPath({ ...image, config: { ...config, ...fields } }, `config${path}`);
    assertPath({ ...image, layers: [layer, { ...layer, ...fields }] }, `layers[1]${path}`);
    assertPath({ ...index, manifests: [{ ...child, ...fields }] }, `manifests[0]${path}`);
    assertPath({ ...index, subject: { ...child, ...fields } }, `subject${path}`);
  }
  for (const bad of [null, 1, "x", []]) assertPath({ ...image, layers: [bad] }, "layers[0]");
  assertPath({ ...image, annotations: { a: null } }, "annotations");
  assertPath({ ...image, artifactType: 1 }, "artifactType");
  assertPath({ ...image, subject: [] }, "subject");
});

test("of a descriptor, urls, annotations and the platform are kept, embedded data is not", () => {
  const kept = {
    ...layer,
    urls: ["https://example.com/a"],
    annotations: { a: "b" },
    artifactType: "a/b",
    platform: { architecture: "amd64", os: "linux" },
  };
  const sent = { ...kept, data: "e30=", unknown: 1 };
  assert.deepEqual(parse({ ...image, layers: [sent] }).references[1]?.descriptor, kept);
  const empty = {
    ...layer,
    urls: null,
    annotations: null,
    artifactType: "",
    platform: { os: "linux" },
    data: null,
  };
  assert.deepEqual(parse({ ...image, layers: [empty] }).references[1]?.descriptor, layer);
  const text = JSON.stringify(image).replace('"size":0', '"size":-0');
  const zero = parseManifest(new TextEncoder().encode(text), undefined).references[1]?.descriptor
    .size;
  assert.ok(Object.is(zero, 0));
});

test("keys such as __proto__ are like any other", () => {
  const text = JSON.stringify({ ...image, annotations: { x: "y" } })
    .replace('"x":"y"', '"__proto__":"z","constructor":"w"')
    .replace("{", '{"__proto__":{"manifests":[],"subject":1},');
  const manifest = parseManifest(new TextEncoder().encode(text), undefined);
  assert.deepEqual(Object.entries(manifest.annotations ?? {}), [
    ["__proto__", "z"],
    ["constructor", "w"],
  ]);
  assert.deepEqual(structuredClone(manifest), manifest);
  assert.equal(Object.hasOwn({}, "manifests"), false);
});

test("a manifest of the largest size is accepted, a larger one is a 413", () => {
  const bare = encode({ ...image, annotations: { a: "" } }).byteLength;
  const padded = (size: number): Fields => ({
    ...image,
    annotations: { a: "x".repeat(size - bare) },
  });
  assert.ok(parse(padded(manifestBytesMax)));
  const error = refusal(padded(manifestBytesMax + 1));
  assert.equal(error.status, 413);
  assert.deepEqual(error.detail, { size: manifestBytesMax + 1, max: manifestBytesMax });
});

test("the number of references is bounded", () => {
  const layers = Array.from({ length: manifestReferencesMax - 1 }, () => layer);
  assert.equal(parse({ ...image, layers }).references.length, manifestReferencesMax);
  assertPath({ ...image, layers: [...layers, layer] }, "layers");
  const manifests = Array.from({ length: manifestReferencesMax }, () => child);
  assert.equal(parse({ ...index, manifests }).references.length, manifestReferencesMax);
  assertPath({ ...index, manifests: [...manifests, child] }, "manifests");
});

const annotations = fc.dictionary(anyText(), anyText(), {
  noNullPrototype: true,
});
const descriptors = fc.record(
  {
    mediaType: fc.constantFrom("a/b", "application/vnd.example+json; x=y"),
    digest: digests,
    size: fc.maxSafeNat(),
    annotations,
    urls: fc.array(fc.webUrl()),
  },
  { requiredKeys: ["mediaType", "digest", "size"], noNullPrototype: true },
);

test("what was written into a manifest is what is read, and survives the way to a thread", () => {
  fc.assert(
    fc.property(
      fc.array(descriptors, { maxLength: 5 }),
      descriptors,
      fc.option(descriptors, { nil: undefined }),
      fc.option(annotations, { nil: undefined }),
      (list, first, subject, notes) => {
        const read = parse({
          schemaVersion: 2,
          config: first,
          layers: list,
          subject,
          annotations: notes,
        });
        const expected = [first, ...list];
        assert.deepEqual(
          read.references.map((reference) => reference.descriptor),
          expected,
        );
        assert.deepEqual(read.subject, subject);
        assert.deepEqual(read.annotations, notes);
        assert.deepEqual(structuredClone(read), read);
        const asIndex = parse({ schemaVersion: 2, manifests: list, subject }, ociIndex);
        assert.deepEqual(
          asIndex.references.map((reference) => reference.descriptor),
          list,
        );
      },
    ),
  );
});

/** Documents with each field right, wrong or absent. */
const documents = fc.record(
  {
    schemaVersion: fc.constantFrom<unknown>(2, 2, 2, 1, "2"),
    mediaType: fc.oneof(fc.constantFrom<unknown>(...manifestMediaTypes), fc.jsonValue()),
    artifactType: fc.jsonValue(),
    config: fc.oneof(descriptors, fc.jsonValue()),
    layers: fc.oneof(fc.array(descriptors), fc.array(fc.jsonValue()), fc.jsonValue()),
    manifests: fc.oneof(fc.array(descriptors), fc.array(fc.jsonValue()), fc.jsonValue()),
    subject: fc.oneof(descriptors, fc.jsonValue()),
    annotations: fc.oneof(annotations, fc.jsonValue()),
  },
  { requiredKeys: ["schemaVersion"] },
);

test("whatever is sent, it is a manifest without confusion or MANIFEST_INVALID", () => {
  const types = fc.oneof(fc.constantFrom(undefined, ...manifestMediaTypes), anyText());
  const bodies = fc.oneof(
    { weight: 4, arbitrary: documents.map(encode) },
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(bodies, types, (bytes, type) => {
      let manifest: Manifest;
      try {
        manifest = parseManifest(bytes, type);
      } catch (error) {
        assert.ok(error instanceof OciError && error.code === "MANIFEST_INVALID", String(error));
        assert.ok(JSON.stringify(error.detail).length < 1000);
        return;
      }
      const kinds = new Set(manifest.references.map((reference) => reference.kind));
      assert.equal(kinds.has("config"), manifest.kind === "image");
      assert.ok(manifest.kind === "image" ? !kinds.has("manifest") : !kinds.has("layer"));
    }),
    { numRuns: 3000 },
  );
});

test("the largest hostile manifests take no time", () => {
  const filler = (text: string): string => text.repeat(Math.floor((4 * 1000 * 1000) / text.length));
  const texts = [
    `{"schemaVersion":2,"layers":[${filler("{},")}{}]}`,
    `{"schemaVersion":2,"layers":[${filler("1,")}1]}`,
    `{"schemaVersion":2,"mediaType":"${filler("x")}"}`,
    `{"schemaVersion":2,"artifactType":"${filler("a/")}","config":{}}`,
    `{"schemaVersion":2,"${filler("\u212a")}":1}`,
    `{"schemaVersion":2,"config":{"digest":"sha256:${filler("a")}"}}`,
  ];
  for (const text of texts) {
    const bytes = new TextEncoder().encode(text);
    assertQuick(() => assert.throws(() => parseManifest(bytes, undefined), OciError));
  }
});
