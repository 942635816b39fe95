/** The metadata store on any database that speaks our SQL: reads, and commands sent to a writer. */
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName, Tag } from "../../oci/names.ts";
import type { ManifestReference } from "../../oci/reference.ts";
import type { CommandInput, CommandName, CommandResult } from "../commands.ts";
import type { MetadataStore, UpkeepReads } from "../metadata-store.ts";
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
} from "./rows.ts";
import type { SqlReader } from "./sql-reader.ts";
import { SqlUpkeepReads } from "./upkeep-rows.ts";

export interface PendingCommand<K extends CommandName = CommandName> {
  readonly name: K;
  readonly input: CommandInput<K>;
}

export type CommandOutcome<K extends CommandName = CommandName> =
  | { readonly ok: true; readonly result: CommandResult<K> }
  | { readonly ok: false; readonly error: unknown };

/** Runs commands, each one in a transaction. */
export interface SqlWriter {
  execute(command: PendingCommand): Promise<CommandOutcome>;
  close(): Promise<void>;
}

export class SqlStore implements MetadataStore {
  readonly name: string;
  readonly upkeep: UpkeepReads;
  readonly #reader: SqlReader;
  readonly #reads: PreparedReads;
  readonly #writer: SqlWriter;
  readonly #numberChanges: (() => Promise<boolean>) | undefined;
  readonly #closed: (() => void) | undefined;

  constructor(
    name: string,
    parts: {
      readonly reader: SqlReader;
      readonly reads: PreparedReads;
      readonly writer: SqlWriter;
      /**
       * Gives a position to each change that can be seen and has none, and says whether there was
       * one. Only where `seq` is not the order in which changes become visible (invariant I7).
       */
      readonly numberChanges?: () => Promise<boolean>;
      /** Called when everything is closed. */
      readonly closed?: () => void;
    },
  ) {
    this.name = name;
    this.#reader = parts.reader;
    this.#reads = parts.reads;
    this.#writer = parts.writer;
    this.#numberChanges = parts.numberChanges;
    this.#closed = parts.closed;
    this.upkeep = new SqlUpkeepReads(parts.reader, parts.reads.upkeep);
  }

  async findManifest(
    repository: RepositoryName,
    reference: ManifestReference,
    options: { readonly bytes: boolean },
  ): Promise<ManifestRecord | undefined> {
    const reads = this.#reads;
    const row =
      "tag" in reference
        ? await this.#reader.first(options.bytes ? reads.manifestBytesByTag : reads.manifestByTag, {
            repository,
            tag: reference.tag,
          })
        : await this.#reader.first(
            options.bytes ? reads.manifestBytesByDigest : reads.manifestByDigest,
            {
              repository,
              digest: reference.digest,
            },
          );
    return row === undefined ? undefined : toManifestRecord(row);
  }

  async findBlob(repository: RepositoryName, digest: Digest): Promise<BlobRecord | undefined> {
    const query = digest.startsWith("sha256:")
      ? this.#reads.blobByDigest
      : this.#reads.blobByAnyDigest;
    const row = await this.#reader.first(query, { repository, digest });
    return row === undefined ? undefined : toBlobRecord(row);
  }

  async findBlobAnywhere(digest: Digest): Promise<BlobRecord | undefined> {
    const row = await this.#reader.first(this.#reads.blobAnywhere, { digest });
    return row === undefined ? undefined : toBlobRecord(row);
  }

  async findUpload(repository: RepositoryName, id: string): Promise<UploadRecord | undefined> {
    const row = await this.#reader.first(this.#reads.upload, { repository, id });
    return row === undefined ? undefined : toUploadRecord(row, repository);
  }

  async listTags(
    repository: RepositoryName,
    options: { readonly after: string; readonly limit: number },
  ): Promise<Page<Tag> | undefined> {
    const { limit } = options;
    const after = storable(options.after);
    const rows = await this.#reader.all(this.#reads.tags, { repository, after, limit: limit + 1 });
    if (rows.length === 0) return undefined;
    const names = rows.flatMap(({ name }) => (name === null ? [] : [name as Tag]));
    return pageOf(names, limit);
  }

  async listRepositories(options: {
    readonly after: string;
    readonly limit: number;
  }): Promise<Page<RepositoryName>> {
    const { limit } = options;
    const after = storable(options.after);
    const rows = await this.#reader.all(this.#reads.repositories, { after, limit: limit + 1 });
    const names = rows.map(({ name }) => name as RepositoryName);
    return pageOf(names, limit);
  }

  async listReferrers(
    repository: RepositoryName,
    subject: Digest,
    options: Parameters<MetadataStore["listReferrers"]>[2],
  ): Promise<Page<ReferrerRecord>> {
    const { artifactType, limit, bytesMax } = options;
    const after = storable(options.after);
    if (artifactType?.includes(nul) === true) return { items: [], more: false };
    const places = { repository, subject, after, limit: limit + 1 };
    const rows =
      artifactType === undefined
        ? await this.#reader.all(this.#reads.referrers, places)
        : await this.#reader.all(this.#reads.referrersOfType, { ...places, artifactType });
    return await toReferrerPage(rows, { limit, bytesMax }, async (digest) => {
      const row = await this.#reader.first(this.#reads.annotationsOf, { repository, digest });
      return row?.annotations ?? undefined;
    });
  }

  async listChanges(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ChangeRecord[]> {
    const rows = await this.#reader.all(this.#reads.changes, { ...options });
    // A full page is what it is, whatever comes after it.
    if (rows.length === options.limit || (await this.#numberChanges?.()) !== true) {
      return rows.map(toChangeRecord);
    }
    const more = await this.#reader.all(this.#reads.changes, { ...options });
    return more.map(toChangeRecord);
  }

  async execute<K extends CommandName>(name: K, input: CommandInput<K>): Promise<CommandResult<K>> {
    const outcome = await this.#writer.execute({ name, input });
    if (!outcome.ok) throw outcome.error;
    return outcome.result;
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#reader.close();
    this.#closed?.();
  }
}

function pageOf<T>(items: readonly T[], limit: number): Page<T> {
  return { items: items.slice(0, limit), more: items.length > limit };
}

/** PostgreSQL's texts cannot hold it, and so no name does. */
const nul = "\u0000";

/** What sorts the same among names: nothing lies between a text and what begins with it and NUL. */
function storable(after: string): string {
  const at = after.indexOf(nul);
  return at === -1 ? after : after.slice(0, at);
}
