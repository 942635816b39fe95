import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
/** Bytes pushed as manifests, JSON of all kinds and none: kept as they came, or refused. */
import fc from "fast-check";
import { expectAnswer, expectError, type Answer } from "../http/answer.ts";
import {
  content,
  descriptor,
  digestOf,
  emptyConfig,
  image,
  index,
  referrer,
  type Content,
} from "../http/content.ts";
import { pushBlob, pushImage, putManifest } from "../http/pushing.ts";
import { nasty } from "./corpus.ts";
import { expectRefused, expectSane, startTarget, type Target } from "./target.ts";

const repository = "team/app";
const ociManifest = "application/vnd.oci.image.manifest.v1+json";
const types: readonly string[] = [
  ociManifest,
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

const configText = JSON.stringify(descriptor(emptyConfig));
const open = `{"schemaVersion":2,"mediaType":"${ociManifest}","config":${configText},"layers":[]`;

/** Not JSON, or not what the protocol takes for a manifest. */
const refusedTexts: readonly (readonly [what: string, text: string])[] = [
  ["nothing", ""],
  ["a space", " "],
  ["null", "null"],
  ["a number", "42"],
  ["a string", '"manifest"'],
  ["an array", "[]"],
  ["an empty object", "{}"],
  ["two documents", `${open}}${open}}`],
  ["something behind the end", `${open}} x`],
  ["no end", open],
  ["a trailing comma", `${open},}`],
  ["a comment", `${open}/* */}`],
  ["single quotes", open.replaceAll('"', "'")],
  ["a byte order mark", `\ufeff${open}}`],
  ["a NUL behind the end", `${open}}\u0000`],
  ["a NUL within a string", `${open},"annotations":{"a":"\u0000"}}`],
  ["a newline within a string", `${open},"annotations":{"a":"\n"}}`],
  ["a bad escape", `${open},"annotations":{"a":"\\x41"}}`],
  ["NaN", `${open},"x":NaN}`],
  ["a plus sign", `${open},"x":+1}`],
  ["a leading zero", `${open},"x":01}`],
  ["a deep array", `${open},"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
  ["a deep object", `${open},"x":${'{"x":'.repeat(50_000)}1${"}".repeat(50_000)}}`],
  ["an open array", "[".repeat(1_000_000)],
  ["an open object", '{"x":'.repeat(500_000)],
  ["many empty arrays", `${open},"x":[${"[],".repeat(1_000_000)}[]]}`],
  ["many layers", `${open.slice(0, -1)}${`${configText},`.repeat(20_000)}${configText}]}`],
  ["a second schemaVersion", `${open},"schemaVersion":1}`],
  ["a huge schemaVersion", open.replace(":2,", ":2e400,").concat("}")],
  ["a schemaVersion that is nearly 2", open.replace(":2,", ":2.0000001,").concat("}")],
  ["a huge size", open.replace(`"size":2`, `"size":1e400`).concat("}")],
  ["a size beyond 2^53", open.replace(`"size":2`, `"size":9007199254740993`).concat("}")],
  ["a size as text", open.replace(`"size":2`, `"size":"2"`).concat("}")],
  ["a long mediaType", open.replace(emptyConfig.mediaType, "x".repeat(100_000)).concat("}")],
  ["a mediaType with a newline", open.replace(emptyConfig.mediaType, "a\\nb").concat("}")],
  ["a lone surrogate as mediaType", open.replace(emptyConfig.mediaType, "\\ud800").concat("}")],
  ["annotations that are a list", `${open},"annotations":[]}`],
  ["annotations in annotations", `${open},"annotations":{"a":{}}}`],
  ["annotations under __proto__", `${open},"annotations":{"__proto__":{"a":"b"}}}`],
  ["a subject in the prototype", `${open},"subject":{"__proto__":${configText}}}`],
  ["the document in the prototype", `{"__proto__":${open}}}`],
];

/** Odd, and yet a manifest. */
const takenTexts: readonly (readonly [what: string, text: string])[] = [
  ["unknown fields", `${open},"x":[1e400,-0,1.5e-400,12345678901234567890,true,null,{}]}`],
  ["keys of prototypes", `${open},"__proto__":{"a":1},"constructor":{"prototype":1},"toString":1}`],
  ["the same key twice", `${open},"x":1,"x":2,"annotations":{"a":"b"},"annotations":{"a":"c"}}`],
  ["NUL in an annotation", `${open},"annotations":{"a\\u0000":"\\u0000"}}`],
  ["lone surrogates", `${open},"annotations":{"\\ud800":"\\udfff\\ud800"}}`],
  ["prototype keys as annotations", `${open},"annotations":{"__proto__":"x","toString":"y"}}`],
  ["empty annotations", `${open},"annotations":{"":""}}`],
  ["an annotation of a megabyte", `${open},"annotations":{"a":"${"é".repeat(500_000)}"}}`],
  ["levels within reason", `${open},"x":${"[".repeat(50)}${"]".repeat(50)}}`],
  ["spaces", `${" \n\t\r".repeat(10_000)}${open}}`],
];

async function push(target: Target, document: Content): Promise<Answer> {
  const answer = await putManifest(target.client, repository, document, "tag");
  expectSane(answer, JSON.stringify(new TextDecoder().decode(document.bytes.slice(0, 200))));
  return answer;
}

/** What was taken is served as it came, and can be deleted. */
async function expectKept(target: Target, document: Content): Promise<void> {
  const { client } = target;
  const path = `/v2/${repository}/manifests/${document.digest}`;
  const answer = await client.get(path, { Accept: "*/*" });
  expectAnswer(answer, 200, { "content-type": document.mediaType });
  assert(Buffer.from(answer.bytes).equals(document.bytes));
  expectAnswer(await client.delete(path), 202);
}

describe("A manifest", () => {
  let target: Target;

  before(async () => {
    target = await startTarget();
    await pushBlob(target.client, repository, emptyConfig);
  });
  after(() => target.close());

  const refuses = (what: string, text: string): void => {
    it(`is refused when it is ${what}`, async () => {
      const answer = await push(target, content(text, ociManifest));
      expectRefused(answer, what);
      expectError(answer, 400, "MANIFEST_INVALID");
    });
  };
  for (const [what, text] of refusedTexts) refuses(what, text);

  const takes = (what: string, text: string): void => {
    it(`may have ${what}`, async () => {
      const document = content(text, ociManifest);
      expectAnswer(await push(target, document), 201);
      await expectKept(target, document);
    });
  };
  for (const [what, text] of takenTexts) takes(what, text);

  it("is refused when it is not UTF-8", async () => {
    const text = new TextEncoder().encode(`${open},"annotations":{"a":"?"}}`);
    const at = text.indexOf(0x3f);
    for (const bad of [
      [0xff],
      [0xc0, 0xaf],
      [0xed, 0xa0, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xc3],
    ]) {
      const bytes = new Uint8Array([...text.slice(0, at), ...bad, ...text.slice(at + 1)]);
      expectError(await push(target, content(bytes, ociManifest)), 400, "MANIFEST_INVALID");
    }
    const utf16 = new Uint8Array(Buffer.from(`${open}}`, "utf16le"));
    expectError(await push(target, content(utf16, ociManifest)), 400, "MANIFEST_INVALID");
  });

  it("is refused wherever it is cut off", async () => {
    const bytes = new TextEncoder().encode(`${open}}`);
    for (let end = 0; end < bytes.byteLength; end += 1) {
      const answer = await push(target, content(bytes.slice(0, end), ociManifest));
      expectError(answer, 400, "MANIFEST_INVALID");
    }
  });

  it("is refused when it is any bytes, or any JSON", async () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => new Uint8Array(array));
    const text = fc.json({ maxDepth: 5 }).map((value) => new TextEncoder().encode(value));
    const property = fc.asyncProperty(
      fc.oneof(bytes, text),
      fc.constantFrom(...types),
      async (body, type) => {
        expectError(await push(target, content(body, type)), 400, "MANIFEST_INVALID");
      },
    );
    await fc.assert(property, { numRuns: 500 });
  });
});

type Path = readonly (string | number)[];

/** Every place in a document. */
function placesIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, each]) => placesIn(each, [...path, key]));
  return path.length === 0 ? inner : [path, ...inner];
}

/** A copy with something else at a place. */
function replaced(value: unknown, path: Path, put: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return put;
  const pairs = Object.entries(Object(value) as object);
  const changed = pairs.map(([name, each]): [string, unknown] =>
    name === String(key) ? [name, replaced(each, rest, put)] : [name, each],
  );
  if (Array.isArray(value)) return changed.map(([, each]) => each);
  return Object.fromEntries(changed);
}

const anyValue = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(...nasty),
  fc.constantFrom(-1, 1.5, 1e300, Number.MAX_SAFE_INTEGER + 2, "", null, [], {}, undefined),
);

describe("A manifest with something else in one place", () => {
  const child = image({ seed: "child", layers: 2 });
  const annotations = { a: "b" };
  const made = { seed: "r", artifactType: "a/b", fields: { annotations } };
  const platform = { os: "linux", architecture: "amd64" };
  const documents: readonly Content[] = [
    child,
    image({ seed: "docker", docker: true }),
    referrer(descriptor(child), made),
    index([{ ...descriptor(child), platform, annotations, urls: ["https://a.example/"] }]),
    index([{ ...descriptor(child), platform }], { docker: true }),
  ];
  let target: Target;

  before(async () => {
    target = await startTarget();
    await pushImage(target.client, repository, child);
    await pushBlob(target.client, repository, emptyConfig);
    for (const blob of image({ seed: "docker", docker: true }).blobs) {
      await pushBlob(target.client, repository, blob);
    }
  });
  after(() => target.close());

  it("is stored as it is, or refused as a whole", async () => {
    const changed = fc.constantFrom(...documents).chain((document) => {
      const value: unknown = JSON.parse(new TextDecoder().decode(document.bytes));
      return fc
        .tuple(fc.constantFrom(...placesIn(value)), anyValue)
        .map(([path, put]) =>
          content(JSON.stringify(replaced(value, path, put)), document.mediaType),
        );
    });
    const property = fc.asyncProperty(changed, async (document) => {
      fc.pre(document.digest !== child.digest);
      const answer = await push(target, document);
      if (answer.status === 201) {
        await expectKept(target, document);
        return;
      }
      const { code } = expectError(answer, 400, answerCode(answer));
      assert.match(code, /^MANIFEST_(?:INVALID|BLOB_UNKNOWN)$/);
      const found = await target.client.head(`/v2/${repository}/manifests/${document.digest}`);
      expectAnswer(found, 404);
    });
    await fc.assert(property, { numRuns: 1500 });
  });

  function answerCode(answer: Answer): string {
    const { errors } = answer.json() as { readonly errors: readonly { readonly code: string }[] };
    return errors[0]?.code ?? "";
  }
});

/** By keys: the order of a descriptor's fields says nothing. */
function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

describe("Odd annotations and types of a referrer", () => {
  let target: Target;

  before(async () => {
    target = await startTarget();
    await pushBlob(target.client, repository, emptyConfig);
  });
  after(() => target.close());

  it("are listed as they were pushed", async () => {
    const { client } = target;
    const texts = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(...nasty));
    const annotations = fc.dictionary(texts, texts, { maxKeys: 5, noNullPrototype: false });
    const property = fc.asyncProperty(annotations, async (pairs) => {
      const subject = descriptor(content(JSON.stringify(pairs), ociManifest));
      const own = Object.fromEntries(Object.entries(pairs));
      const made = { seed: "odd", artifactType: "a/b", fields: { annotations: own } };
      const manifest = referrer(subject, made);
      expectAnswer(await push(target, manifest), 201);
      const answer = await client.get(`/v2/${repository}/referrers/${subject.digest}`);
      const list = answer.json() as { readonly manifests: readonly object[] };
      const expected = { ...descriptor(manifest), artifactType: "a/b", annotations: own };
      assert.equal(JSON.stringify(list.manifests.map(sorted)), JSON.stringify([sorted(expected)]));
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it("do not make a filter that finds what it should not", async () => {
    const { client } = target;
    const subject = digestOf(new TextEncoder().encode("nothing"));
    for (const text of nasty) {
      const query = `artifactType=${encodeURIComponent(text.toWellFormed())}`;
      const answer = await client.get(`/v2/${repository}/referrers/${subject}?${query}`);
      const list = answer.json() as { readonly manifests: readonly object[] };
      assert.deepEqual(list.manifests, []);
    }
  });
});
