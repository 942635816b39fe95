/**
 * A scene: what one case of the contract suite plays in. The store is shared with other cases;
 * the names and the content that a scene makes are its own.
 */
import assert from "node:assert/strict";
import type { Digest, DigestAlgorithm } from "../oci/digest.ts";
import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from "../oci/names.ts";
import type { ManifestReference } from "../oci/reference.ts";
import type { BlobKey } from "../storage/blob-store.ts";
import type { CommandInput, CommandResult } from "./commands.ts";
import {
  digestOfBytes,
  imageDocument,
  indexDocument,
  type Content,
  type ImageParts,
  type IndexParts,
  type ManifestDocument,
} from "./contract-documents.ts";
import type { MetadataStore } from "./metadata-store.ts";
import type {
  BlobRecord,
  ChangeCause,
  ChangeRecord,
  ManifestRecord,
  Origin,
  UploadRecord,
} from "./records.ts";

/** Named by the sentence that each one holds. */
export type ContractCases = Readonly<Record<string, (scene: Scene) => Promise<void>>>;

export const hourMs: number = 60 * 60 * 1000;

/** A cause that no database takes: a command of this origin fails at its last write, the log's. */
export const brokenOrigin: Origin = { cause: null as unknown as ChangeCause };

export interface PushedBlob extends Content {
  readonly key: BlobKey;
  readonly text: string;
  /** Another digest of the same bytes. */
  readonly sha512: Digest;
}

export class Scene {
  readonly store: MetadataStore;
  /** Another store on the same database where the adapter has one, else the same. */
  readonly other: MetadataStore;
  readonly origin: Origin = { cause: "client", actor: "alice" };
  readonly #name: string;
  /** The log's position when the scene began. */
  readonly #logBegin: number;
  #uploads = 0;

  constructor(
    name: string,
    store: MetadataStore,
    more: { readonly other?: MetadataStore | undefined; readonly logBegin?: number } = {},
  ) {
    this.#name = name;
    this.store = store;
    this.other = more.other ?? store;
    this.#logBegin = more.logBegin ?? 0;
  }

  /** A repository's name; names of one scene sort as their last parts do. */
  repository(name = "r"): RepositoryName {
    const repository = parseRepositoryName(`${this.#name}/${name}`);
    assert(repository !== undefined);
    return repository;
  }

  /** An upload's id, another one each time. */
  id(): string {
    this.#uploads += 1;
    return `${this.#name}-${this.#uploads}`;
  }

  /** What a blob of that text is, wherever it lies or does not lie. */
  content(text: string): PushedBlob {
    const bytes = new TextEncoder().encode(`${this.#name} ${text}`);
    const digest = digestOfBytes(bytes);
    const key = `blobs/${digest}` as BlobKey;
    return { digest, key, sha512: digestOfBytes(bytes, "sha512"), size: bytes.byteLength, text };
  }

  /** The database's clock, ms UTC. */
  async now(): Promise<number> {
    return (await this.begin(this.repository("clock"))).createdAt;
  }

  async begin(
    repository: RepositoryName,
    lease?: { readonly writer: string; readonly leaseMs: number },
  ): Promise<UploadRecord> {
    return await this.store.execute("createUpload", {
      repository,
      id: this.id(),
      algorithm: "sha256",
      state: "empty",
      ...lease,
    });
  }

  async acquire(
    upload: UploadRecord,
    writer: string,
    leaseMs: number = hourMs,
  ): Promise<{ readonly upload: UploadRecord; readonly previousWriter: string | undefined }> {
    const { id, repository } = upload;
    const input = { id, repository, writer, leaseMs };
    const done = await this.store.execute("acquireUpload", input);
    assert(done.outcome === "acquired", `the upload is ${done.outcome}`);
    return done;
  }

  /** What a commit of an upload with that content is. */
  commitInput(
    upload: UploadRecord,
    content: PushedBlob,
    more: Partial<CommandInput<"commitUpload">> = {},
  ): CommandInput<"commitUpload"> {
    const { digest, key, size } = content;
    return {
      id: upload.id,
      epoch: upload.writerEpoch,
      digest,
      aliases: [],
      size,
      key,
      reuse: false,
      graceMs: hourMs,
      origin: this.origin,
      ...more,
    };
  }

  /** Pushes a blob, and says where it is to be read from. */
  async push(
    repository: RepositoryName,
    content: PushedBlob | string,
    more: Partial<CommandInput<"commitUpload">> = {},
  ): Promise<PushedBlob> {
    const pushed = typeof content === "string" ? this.content(content) : content;
    const upload = await this.begin(repository, { writer: "writer", leaseMs: hourMs });
    const input = this.commitInput(upload, pushed, more);
    const done = await this.store.execute("commitUpload", input);
    assert(done.outcome === "committed");
    return { ...pushed, key: input.key };
  }

  async mount(
    repository: RepositoryName,
    digest: Digest,
    more: Partial<CommandInput<"mountBlob">> = {},
  ): Promise<CommandResult<"mountBlob">> {
    const input = { repository, digest, graceMs: hourMs, origin: this.origin, ...more };
    return await this.store.execute("mountBlob", input);
  }

  /** The record of a blob that must be there. */
  async blob(repository: RepositoryName, digest: Digest): Promise<BlobRecord> {
    const found = await this.store.findBlob(repository, digest);
    assert(found !== undefined, `${repository} lacks the blob ${digest}`);
    return found;
  }

  async hasBlob(repository: RepositoryName, digest: Digest): Promise<boolean> {
    return (await this.store.findBlob(repository, digest)) !== undefined;
  }

  image(parts: ImageParts): ManifestDocument {
    return imageDocument(parts);
  }

  /** Without parts: a manifest that refers to nothing, another one for each note. */
  index(parts: IndexParts & { readonly note: string }): ManifestDocument {
    return indexDocument({ ...parts, note: `${this.#name} ${parts.note}` });
  }

  tag(text: string): Tag {
    const tag = parseTag(text);
    assert(tag !== undefined);
    return tag;
  }

  putInput(
    repository: RepositoryName,
    document: ManifestDocument,
    more: PutOptions = {},
  ): CommandInput<"putManifest"> {
    const { bytes, digest, manifest } = document;
    const { tags = [], ...rest } = more;
    return {
      repository,
      digest,
      bytes,
      manifest,
      optional: [],
      tags: tags.map((tag) => this.tag(tag)),
      graceMs: hourMs,
      origin: this.origin,
      ...rest,
    };
  }

  async tryPut(
    repository: RepositoryName,
    document: ManifestDocument,
    more: PutOptions = {},
  ): Promise<CommandResult<"putManifest">> {
    return await this.store.execute("putManifest", this.putInput(repository, document, more));
  }

  async put<T extends ManifestDocument>(
    repository: RepositoryName,
    document: T,
    more: PutOptions = {},
  ): Promise<T> {
    const done = await this.tryPut(repository, document, more);
    assert.deepEqual(done, { outcome: "stored" });
    return document;
  }

  /** An image of one config and one layer, all pushed. */
  async putImage(
    repository: RepositoryName,
    text: string,
    more: PutOptions = {},
  ): Promise<{ image: ManifestDocument; config: PushedBlob; layer: PushedBlob }> {
    const config = await this.push(repository, `${text}: config`);
    const layer = await this.push(repository, `${text}: layer`);
    const image = await this.put(repository, this.image({ config, layers: [layer] }), more);
    return { image, config, layer };
  }

  /** The record of a manifest that must be there. */
  async manifest(repository: RepositoryName, by: Digest | string): Promise<ManifestRecord> {
    const found = await this.store.findManifest(repository, this.reference(by), { bytes: true });
    assert(found !== undefined, `${repository} lacks the manifest ${by}`);
    return found;
  }

  /** The digest behind a tag or a digest. */
  async lookUp(repository: RepositoryName, by: Digest | string): Promise<Digest | undefined> {
    const reference = this.reference(by);
    return (await this.store.findManifest(repository, reference, { bytes: false }))?.digest;
  }

  reference(by: Digest | string): ManifestReference {
    return by.includes(":") ? { digest: by as Digest } : { tag: this.tag(by) };
  }

  async deleteBlob(
    repository: RepositoryName,
    digest: Digest,
    more: Partial<CommandInput<"deleteBlob">> = {},
  ): Promise<CommandResult<"deleteBlob">> {
    const input = { repository, digest, force: false, graceMs: hourMs, origin: this.origin };
    return await this.store.execute("deleteBlob", { ...input, ...more });
  }

  async deleteManifest(
    repository: RepositoryName,
    digest: Digest,
    more: Partial<CommandInput<"deleteManifest">> = {},
  ): Promise<CommandResult<"deleteManifest">> {
    const input = { repository, digest, force: false, graceMs: hourMs, origin: this.origin };
    return await this.store.execute("deleteManifest", { ...input, ...more });
  }

  async deleteTag(
    repository: RepositoryName,
    tag: string,
    more: Partial<CommandInput<"deleteTag">> = {},
  ): Promise<CommandResult<"deleteTag">> {
    const input = { repository, tag: this.tag(tag), graceMs: hourMs, origin: this.origin };
    return await this.store.execute("deleteTag", { ...input, ...more });
  }

  /** Every tag of a repository, or `undefined` where it is unknown. */
  async tags(repository: RepositoryName): Promise<readonly string[] | undefined> {
    const page = await this.store.listTags(repository, { after: "", limit: 10_000 });
    return page?.items;
  }

  async claim(digest: Digest, claim: string): Promise<CommandResult<"claimBlob">["outcome"]> {
    const done = await this.store.execute("claimBlob", { digest, claim: this.claimId(claim) });
    return done.outcome;
  }

  async deleteClaimed(claim: string): Promise<CommandResult<"deleteClaimedBlob">["outcome"]> {
    const input = { claim: this.claimId(claim) };
    return (await this.store.execute("deleteClaimedBlob", input)).outcome;
  }

  claimId(claim: string): string {
    return `${this.#name} ${claim}`;
  }

  /** This scene's changes, oldest first. */
  async changes(store: MetadataStore = this.store): Promise<readonly ChangeRecord[]> {
    const all = await changesAfter(store, this.#logBegin);
    return all.filter(({ repository }) => repository.startsWith(`${this.#name}/`));
  }

  /** The changes that `act` makes. */
  async changesOf(act: () => Promise<unknown>): Promise<readonly ChangeRecord[]> {
    const before = await this.changes();
    await act();
    return (await this.changes()).slice(before.length);
  }

  digestsOf(text: string, algorithm: DigestAlgorithm): Digest {
    return digestOfBytes(new TextEncoder().encode(`${this.#name} ${text}`), algorithm);
  }
}

export type PutOptions = Partial<Omit<CommandInput<"putManifest">, "tags">> & {
  readonly tags?: readonly string[];
};

/** Asserts that a promise of `graceMs` was given at some time since `since`; ms UTC. */
export function assertPromised(
  reviewAfter: number | undefined,
  promise: { readonly since: number; readonly graceMs?: number },
): void {
  assert(reviewAfter !== undefined, "nothing is promised");
  const givenAt = reviewAfter - (promise.graceMs ?? hourMs);
  const late = givenAt - promise.since;
  assert(late >= 0 && late < 60_000, `promised ${late} ms after it should have been`);
}

/** The position of the log's last change; none is looked for at or before `after`. */
export async function endOfLog(store: MetadataStore, after: number): Promise<number> {
  return (await changesAfter(store, after)).at(-1)?.position ?? after;
}

async function changesAfter(
  store: MetadataStore,
  position: number,
): Promise<readonly ChangeRecord[]> {
  const all: ChangeRecord[] = [];
  for (let after = position; ;) {
    const page = await store.listChanges({ after, limit: 1000 });
    all.push(...page);
    const last = page.at(-1);
    if (last === undefined) return all;
    after = last.position;
  }
}
