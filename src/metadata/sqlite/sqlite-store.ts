/**
 * The metadata store on SQLite: reads on the calling thread, from a connection that can only read;
 * commands on a thread of their own, so that waiting for the disk stalls nobody.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName, Tag } from "../../oci/names.ts";
import type { ManifestReference } from "../../oci/reference.ts";
import type { CommandInput, CommandName, CommandResult } from "../commands.ts";
import type { MetadataStore } from "../metadata-store.ts";
import type {
  BlobRecord,
  ChangeRecord,
  ManifestRecord,
  Page,
  ReferrerRecord,
  UploadRecord,
} from "../records.ts";
import {
  toBlobRecord,
  toChangeRecord,
  toManifestRecord,
  toReferrerPage,
  toUploadRecord,
  type PreparedReads,
} from "../sql/rows.ts";
import { Connection, inMemory } from "./connection.ts";
import { refuseNetworkFilesystem } from "./network-filesystem.ts";
import { ThreadWriter, type Writer } from "./writers.ts";

/** Opens the database, makes it where there is none, and brings it up to date. */
export async function openSqliteStore(options: {
  /** A file's path, or `:memory:`. */
  readonly path: string;
}): Promise<MetadataStore> {
  const { path } = options;
  if (path === inMemory) {
    // Brings the query builder into this thread, which a database in a file does not need here.
    const { openMemoryEngine } = await import("./memory-engine.ts");
    const { connection, reads, writer } = openMemoryEngine();
    return new SqliteStore(connection, reads, writer);
  }
  // Without a pause up to here: the thread loads its code while the caller goes on with its own.
  prepareFolder(dirname(path));
  const writer = new ThreadWriter(path);
  const reads = await writer.ready;
  try {
    return new SqliteStore(new Connection(path, { readOnly: true }), reads, writer);
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/**
 * Makes the folder, and its entry durable: a database that a power cut takes away was never opened.
 */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  refuseNetworkFilesystem(folder);
  for (const path of [folder, dirname(folder)]) {
    const descriptor = openSync(path, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

class SqliteStore implements MetadataStore {
  readonly name = "sqlite";
  readonly #reader: Connection;
  readonly #reads: PreparedReads;
  readonly #writer: Writer;

  constructor(reader: Connection, reads: PreparedReads, writer: Writer) {
    this.#reader = reader;
    this.#reads = reads;
    this.#writer = writer;
  }

  async findManifest(
    repository: RepositoryName,
    reference: ManifestReference,
    options: { readonly bytes: boolean },
  ): Promise<ManifestRecord | undefined> {
    const reads = this.#reads;
    const row =
      "tag" in reference
        ? this.#reader.first(options.bytes ? reads.manifestBytesByTag : reads.manifestByTag, {
            repository,
            tag: reference.tag,
          })
        : this.#reader.first(options.bytes ? reads.manifestBytesByDigest : reads.manifestByDigest, {
            repository,
            digest: reference.digest,
          });
    return row === undefined ? undefined : toManifestRecord(row);
  }

  async findBlob(repository: RepositoryName, digest: Digest): Promise<BlobRecord | undefined> {
    const query = digest.startsWith("sha256:")
      ? this.#reads.blobByDigest
      : this.#reads.blobByAnyDigest;
    const row = this.#reader.first(query, { repository, digest });
    return row === undefined ? undefined : toBlobRecord(row);
  }

  async findBlobAnywhere(digest: Digest): Promise<BlobRecord | undefined> {
    const row = this.#reader.first(this.#reads.blobAnywhere, { digest });
    return row === undefined ? undefined : toBlobRecord(row);
  }

  async findUpload(repository: RepositoryName, id: string): Promise<UploadRecord | undefined> {
    const row = this.#reader.first(this.#reads.upload, { repository, id });
    return row === undefined ? undefined : toUploadRecord(row, repository);
  }

  async listTags(
    repository: RepositoryName,
    options: { readonly after: string; readonly limit: number },
  ): Promise<Page<Tag> | undefined> {
    const { after, limit } = options;
    const rows = this.#reader.all(this.#reads.tags, { repository, after, limit: limit + 1 });
    if (rows.length === 0) return undefined;
    const names = rows.flatMap(({ name }) => (name === null ? [] : [name as Tag]));
    return pageOf(names, limit);
  }

  async listRepositories(options: {
    readonly after: string;
    readonly limit: number;
  }): Promise<Page<RepositoryName>> {
    const { after, limit } = options;
    const rows = this.#reader.all(this.#reads.repositories, { after, limit: limit + 1 });
    const names = rows.map(({ name }) => name as RepositoryName);
    return pageOf(names, limit);
  }

  async listReferrers(
    repository: RepositoryName,
    subject: Digest,
    options: Parameters<MetadataStore["listReferrers"]>[2],
  ): Promise<Page<ReferrerRecord>> {
    const { after, artifactType, limit, bytesMax } = options;
    const places = { repository, subject, after, limit: limit + 1 };
    const rows =
      artifactType === undefined
        ? this.#reader.all(this.#reads.referrers, places)
        : this.#reader.all(this.#reads.referrersOfType, { ...places, artifactType });
    const annotationsOf = (digest: string): string | undefined =>
      this.#reader.first(this.#reads.annotationsOf, { repository, digest })?.annotations ??
      undefined;
    return toReferrerPage(rows, { limit, bytesMax }, annotationsOf);
  }

  async listChanges(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ChangeRecord[]> {
    return this.#reader.all(this.#reads.changes, { ...options }).map(toChangeRecord);
  }

  async execute<K extends CommandName>(name: K, input: CommandInput<K>): Promise<CommandResult<K>> {
    const outcome = await this.#writer.execute({ name, input });
    if (!outcome.ok) throw outcome.error;
    return outcome.result;
  }

  async close(): Promise<void> {
    await this.#writer.close();
    this.#reader.close();
  }
}

function pageOf<T>(items: readonly T[], limit: number): Page<T> {
  return { items: items.slice(0, limit), more: items.length > limit };
}
