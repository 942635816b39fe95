/** A registry's metadata with something in every table, and what is asked of a copy of it. */
import assert from "node:assert/strict";
import { endOfLog, hourMs, Scene, type PushedBlob } from "../../../src/metadata/contract-scene.ts";
import type { MetadataStore } from "../../../src/metadata/metadata-store.ts";
import type { Digest } from "../../../src/oci/digest.ts";
import type { RepositoryName } from "../../../src/oci/names.ts";

/** More than any list of these tests has. */
const limit = 100_000;

/** A manifest may have 4 MiB; a page holds about as much, and so one of these. */
const largeBytes = 2.5 * 1024 * 1024;

export interface Size {
  readonly repositories: number;
  /** In each repository. */
  readonly images: number;
  readonly referrers: number;
}

/** Some rows are deleted again: ids have gaps, also at their ends. */
export async function fillRegistry(
  store: MetadataStore,
  size: Size,
  name = "copied",
): Promise<void> {
  const scene = new Scene(name, store);
  await store.execute("adoptStore", { id: "6b1f0c8e-1f0e-4d8a-9f5a-0d9a3c1c2b3d", epoch: 1 });
  for (let index = 0; index < size.repositories; index += 1) {
    await fillRepository(scene, scene.repository(`r${index}`), size);
  }
  const repository = scene.repository("r0");
  const note = "x".repeat(largeBytes);
  for (const name of ["a", "b"]) {
    const document = scene.index({
      note: name,
      annotations: { name: `\u{1F600} "${name}"`, note },
    });
    await scene.put(repository, document, { tags: [`large-${name}`] });
  }
  await scene.begin(repository, { writer: "somebody", leaseMs: hourMs });
  await scene.begin(scene.repository("draft"));
  const { manifestId } = await scene.manifest(repository, "tag-0");
  await store.execute("recordPulls", { pulls: [{ manifestId, at: 1_700_000_000_000 }] });
  // The last of each: their ids are given, and their rows are gone.
  const last = await scene.putImage(repository, "last", { tags: ["last"] });
  await scene.deleteManifest(repository, last.image.digest);
}

async function fillRepository(
  scene: Scene,
  repository: RepositoryName,
  { images, referrers }: Size,
): Promise<void> {
  const base = await scene.push(repository, `${repository} base`);
  const config = await scene.push(repository, `${repository} config`);
  const digests: Digest[] = [];
  for (let index = 0; index < images; index += 1) {
    const layer = await scene.push(repository, `${repository} layer ${index}`, {
      aliases: index % 7 === 0 ? [scene.content(`${repository} layer ${index}`).sha512] : [],
    });
    const document = scene.image({ config, layers: [base, layer], note: `${repository} ${index}` });
    await scene.put(repository, document, { tags: [`tag-${index}`, "latest"] });
    digests.push(document.digest);
  }
  const children = await Promise.all(
    digests.slice(0, 3).map(async (digest) => await scene.manifest(repository, digest)),
  );
  await scene.put(repository, scene.index({ note: `${repository} all`, children }), {
    tags: ["all"],
  });
  const absent = scene.content(`${repository} absent`);
  const sparse = scene.index({ note: `${repository} sparse`, children: [absent] });
  await scene.put(repository, sparse, { tags: ["sparse"], optional: [absent.digest] });
  await addReferrers(scene, repository, { config, count: referrers, subject: digests[0] });
  if (digests[1] !== undefined) await scene.deleteTag(repository, "tag-1");
}

async function addReferrers(
  scene: Scene,
  repository: RepositoryName,
  options: {
    readonly config: PushedBlob;
    readonly count: number;
    readonly subject: Digest | undefined;
  },
): Promise<void> {
  const { config, count, subject: digest } = options;
  if (digest === undefined) return;
  const subject = await scene.manifest(repository, digest);
  for (let index = 0; index < count; index += 1) {
    const annotations = { index: String(index), text: "\u00e9\u4e2d" };
    const artifactType = `application/vnd.test.${index % 3}`;
    const note = `${repository} referrer ${index}`;
    const document = scene.image({ config, subject, artifactType, annotations, note });
    await scene.put(repository, document);
  }
}

/** Everything that a registry answers of its metadata, without times that pass. */
export async function answersOf(store: MetadataStore): Promise<unknown> {
  const { items: repositories } = await store.listRepositories({ after: "", limit });
  const found = [];
  for (const repository of repositories) {
    const tags = (await store.listTags(repository, { after: "", limit }))?.items ?? [];
    const pulled = [];
    for (const tag of tags) {
      const manifest = await store.findManifest(repository, { tag }, { bytes: true });
      assert(manifest !== undefined);
      const referrers = await store.listReferrers(repository, manifest.digest, {
        after: "",
        limit,
        bytesMax: Number.MAX_SAFE_INTEGER,
      });
      pulled.push({ tag, manifest, referrers });
    }
    found.push({ repository, pulled });
  }
  const changes = await store.listChanges({ after: 0, limit });
  return { found, changes: changes.map(({ seq: _seq, ...change }) => change) };
}

/** A push to the copy gets ids that its source has never given; its change is the log's last. */
export async function assertFreshIds(
  copy: MetadataStore,
  source: { readonly lastNumbers: Readonly<Record<string, number>> },
): Promise<void> {
  const { lastNumbers } = source;
  const end = lastNumbers["changes"] ?? 0;
  assert.equal(await endOfLog(copy, end), end, "nothing comes after what was copied");
  const scene = new Scene("fresh", copy, { logBegin: end });
  const repository = scene.repository();
  const { image, layer } = await scene.putImage(repository, "fresh", { tags: ["fresh"] });
  const manifest = await scene.manifest(repository, image.digest);
  const blob = await scene.blob(repository, layer.digest);
  const given = [
    ["repositories", manifest.repositoryId],
    ["manifests", manifest.manifestId],
    ["blobs", blob.blobId],
    ["changes", (await scene.changes())[0]?.position],
  ] as const;
  for (const [table, id] of given) {
    assert(id !== undefined && id > (lastNumbers[table] ?? 0), `${table}: ${id} was given before`);
  }
}
