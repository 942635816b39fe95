/** The contract of referrers: the manifests that name a subject. */
import assert from "node:assert/strict";
import type { Digest } from "../oci/digest.ts";
import { configType, type Content, type ManifestDocument } from "./contract-documents.ts";
import type { ContractCases, Scene } from "./contract-scene.ts";
import type { ReferrerRecord } from "./records.ts";

const all = { after: "", limit: 1000, bytesMax: 1_000_000 };

async function list(
  scene: Scene,
  subject: Content,
  options: Partial<typeof all> & { readonly artifactType?: string } = {},
) {
  const repository = scene.repository();
  return await scene.store.listReferrers(repository, subject.digest, { ...all, ...options });
}

async function digests(...[scene, subject, options]: Parameters<typeof list>) {
  return (await list(scene, subject, options)).items.map(({ digest }) => digest);
}

function sorted(documents: readonly Content[]): readonly Digest[] {
  return documents.map(({ digest }) => digest).toSorted();
}

/** Indexes that refer to a subject. */
async function referrers(
  scene: Scene,
  subject: Content,
  parts: readonly Omit<Parameters<Scene["index"]>[0], "note" | "subject">[],
): Promise<readonly ManifestDocument[]> {
  const documents: ManifestDocument[] = [];
  for (const [index, part] of parts.entries()) {
    const document = scene.index({ ...part, subject, note: `referrer ${index}` });
    documents.push(await scene.put(scene.repository(), document));
  }
  return documents;
}

/** What a client is sent for a record. */
function descriptorBytes(record: ReferrerRecord): number {
  const { annotationsJson, ...rest } = record;
  const annotations: unknown = JSON.parse(annotationsJson ?? "null");
  return Buffer.byteLength(JSON.stringify({ ...rest, annotations }));
}

const listing: ContractCases = {
  "a referrer is described as the spec wants it": async (scene) => {
    const repository = scene.repository();
    const subject = scene.index({ note: "subject" });
    const config = await scene.push(repository, "config");
    const annotations = { "org.example.key": 'value "quoted" ü' };
    const own = scene.image({ config, subject, artifactType: "text/own", annotations });
    const fallback = scene.image({ config, subject, configType: "text/config" });
    const none = scene.index({ note: "none", subject });
    for (const document of [own, fallback, none]) await scene.put(repository, document);
    const { items, more } = await list(scene, subject);
    assert.equal(more, false);
    const found = new Map(items.map((item) => [item.digest, item]));
    const expected = [
      { document: own, artifactType: "text/own", annotations },
      { document: fallback, artifactType: "text/config", annotations: undefined },
      { document: none, artifactType: undefined, annotations: undefined },
    ];
    assert.equal(items.length, expected.length);
    for (const { document, artifactType, annotations } of expected) {
      const { digest, mediaType, size } = document;
      const record = found.get(digest);
      assert(record !== undefined);
      const { annotationsJson, ...rest } = record;
      assert.deepEqual(rest, { digest, mediaType, size, artifactType });
      const read: unknown = annotationsJson && JSON.parse(annotationsJson);
      assert.deepEqual(read, annotations);
    }
  },

  "a subject has its referrers before it is there, while it is, and after": async (scene) => {
    const repository = scene.repository();
    const subject = scene.index({ note: "subject" });
    const documents = await referrers(scene, subject, [{}, {}]);
    assert.deepEqual(await digests(scene, subject), sorted(documents));
    await scene.put(repository, subject);
    assert.deepEqual(await digests(scene, subject), sorted(documents));
    await scene.deleteManifest(repository, subject.digest);
    assert.deepEqual(await digests(scene, subject), sorted(documents));
  },

  "a referrer that is deleted is listed no more": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const [gone, stays] = await referrers(scene, subject, [{}, {}]);
    assert(gone !== undefined && stays !== undefined);
    await scene.deleteManifest(scene.repository(), gone.digest);
    assert.deepEqual(await digests(scene, subject), [stays.digest]);
  },

  "nobody refers to what nobody knows": async (scene) => {
    const empty = { items: [], more: false };
    const subject = scene.index({ note: "subject" });
    assert.deepEqual(await list(scene, subject), empty);
    await referrers(scene, scene.index({ note: "other" }), [{}]);
    assert.deepEqual(await list(scene, subject), empty);
  },

  "referrers are of one repository": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const other = scene.index({ note: "elsewhere", subject });
    await scene.put(scene.repository("other"), other);
    const documents = await referrers(scene, subject, [{}]);
    assert.deepEqual(await digests(scene, subject), sorted(documents));
  },

  "an image put again is one referrer": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const [document] = await referrers(scene, subject, [{}]);
    assert(document !== undefined);
    await scene.put(scene.repository(), document);
    assert.deepEqual(await digests(scene, subject), [document.digest]);
  },
};

const filtering: ContractCases = {
  "a filter takes artifact types, and configs' types where there is none": async (scene) => {
    const repository = scene.repository();
    const subject = scene.index({ note: "subject" });
    const config = await scene.push(repository, "config");
    const parts = { config, subject };
    const own = scene.image({ ...parts, artifactType: "text/a", configType: "text/b" });
    const fallback = scene.image({ ...parts, configType: "text/a" });
    const usual = scene.image(parts);
    const index = scene.index({ note: "index", subject, artifactType: "text/a" });
    const none = scene.index({ note: "none", subject });
    for (const each of [own, fallback, usual, index, none]) await scene.put(repository, each);
    const of = (artifactType: string) => digests(scene, subject, { artifactType });
    assert.deepEqual(await of("text/a"), sorted([own, fallback, index]));
    assert.deepEqual(await of(configType), [usual.digest]);
    assert.deepEqual(await of("text/b"), []);
    assert.deepEqual(await of("text/A"), []);
    assert.deepEqual(await of("text"), []);
  },

  "pages of a filter hold only what it takes": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const types = Array.from({ length: 12 }, (_value, index) =>
      index % 3 === 0 ? { artifactType: "text/a" } : { artifactType: "text/b" },
    );
    const documents = await referrers(scene, subject, types);
    const wanted = sorted(documents.filter((_document, index) => index % 3 === 0));
    const artifactType = "text/a";
    const first = await list(scene, subject, { artifactType, limit: 3 });
    assert.equal(first.more, true);
    assert.deepEqual(
      first.items.map(({ digest }) => digest),
      wanted.slice(0, 3),
    );
    const after = wanted[2] ?? "";
    const last = await list(scene, subject, { artifactType, limit: 1, after });
    assert.deepEqual(last, { items: last.items, more: false });
    assert.deepEqual(last.items[0]?.digest, wanted[3]);
  },
};

const paging: ContractCases = {
  "pages of every size give each referrer once, in digest order": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const expected = sorted(
      await referrers(
        scene,
        subject,
        Array.from({ length: 7 }, () => ({})),
      ),
    );
    for (let limit = 1; limit <= 8; limit += 1) {
      const found: Digest[] = [];
      for (let more = true; more;) {
        const page = await list(scene, subject, { limit, after: found.at(-1) ?? "" });
        found.push(...page.items.map(({ digest }) => digest));
        more = page.more;
        assert.equal(more, found.length < expected.length);
      }
      assert.deepEqual(found, expected);
    }
  },

  "a page may begin after a referrer that does not exist": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const expected = sorted(await referrers(scene, subject, [{}, {}, {}]));
    const after = `${expected[0]?.slice(0, -1)}~`;
    assert.deepEqual(await digests(scene, subject, { after }), expected.slice(1));
  },

  "a page's descriptors fit into its bytes": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const parts = Array.from({ length: 12 }, (_value, index) => ({
      artifactType: `text/${'"'.repeat(index * 20)}`,
      annotations: { text: "ü€\n".repeat(index * 30) },
      algorithm: index % 2 === 0 ? ("sha256" as const) : ("sha512" as const),
    }));
    const expected = sorted(await referrers(scene, subject, parts));
    for (const bytesMax of [3000, 5000, 20_000]) {
      const found: Digest[] = [];
      for (let more = true; more;) {
        const page = await list(scene, subject, { bytesMax, after: found.at(-1) ?? "" });
        const sizes = page.items.map(descriptorBytes);
        let total = 0;
        for (const size of sizes) total += size;
        assert(sizes.length === 1 || total <= bytesMax, `${total} bytes, not ${bytesMax}`);
        assert.notEqual(sizes.length, 0);
        found.push(...page.items.map(({ digest }) => digest));
        more = page.more;
      }
      assert.deepEqual(found, expected);
    }
  },

  "a page holds one referrer, however large it is": async (scene) => {
    const subject = scene.index({ note: "subject" });
    const large = { annotations: { text: "x".repeat(10_000) } };
    const expected = sorted(await referrers(scene, subject, [large, large]));
    const first = await list(scene, subject, { bytesMax: 1 });
    assert.equal(first.items[0]?.digest, expected[0]);
    assert.deepEqual([first.items.length, first.more], [1, true]);
    const after = expected[0] ?? "";
    const last = await list(scene, subject, { bytesMax: 1, after });
    assert.equal(last.items[0]?.digest, expected[1]);
    assert.deepEqual([last.items.length, last.more], [1, false]);
  },
};

export const referrerCases: ContractCases = { ...listing, ...filtering, ...paging };
