/**
 * Port 2: meaning. Which repositories, tags, manifests, blobs and uploads there are, and what
 * changed.
 *
 * - A read is one statement on a consistent snapshot; lists are pages by key, in byte order.
 * - A write is a command: one atomic, durable transaction (`commands.ts`). Uploads' own progress
 *   (`createUpload`, `acquireUpload`, `saveUpload`, `deleteUpload`) survives a crash of the
 *   process; after a power cut an upload may be unknown or further back, never ahead of its bytes.
 * - A finished command is visible to every read that begins after it, in this process and in
 *   others.
 * - Absent is `undefined`; a failing database throws.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName, Tag } from "../oci/names.ts";
import type { ManifestReference } from "../oci/reference.ts";
import type { BlobKey } from "../storage/blob-store.ts";
import type { CommandInput, CommandName, CommandResult } from "./commands.ts";
import type {
  BlobRecord,
  ChangeRecord,
  ClaimedBlob,
  ManifestRecord,
  Page,
  ReferrerRecord,
  StoreIdentity,
  UnusedBlob,
  UploadRecord,
} from "./records.ts";

/** How many names of each kind `known` takes at once: one statement, compiled once. */
export const knownMax = 100;

/** Pages are in order of an id, and end before `limit` rows where nothing follows. */
export interface UpkeepReads {
  /**
   * Which of these are known: keys and digests of a blob row in whatever state, digests of a
   * manifest, ids of an upload. One statement: who is being committed is always one of them.
   * Takes `knownMax` of each kind.
   */
  known(what: {
    readonly keys?: readonly BlobKey[];
    readonly digests?: readonly Digest[];
    readonly uploads?: readonly string[];
  }): Promise<ReadonlySet<string>>;

  /** Blobs that `claimBlob` would give at this moment. */
  listUnused(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly UnusedBlob[]>;

  /** Blobs under a claim: their collector is at work, or has died. */
  listClaims(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ClaimedBlob[]>;

  /** Uploads that nobody has written to for `idleMs`. */
  listIdleUploads(options: {
    readonly idleMs: number;
    readonly after: string;
    readonly limit: number;
  }): Promise<readonly UploadRecord[]>;

  /** Which storage root this database belongs to (invariant I4); `undefined` until it is said. */
  storeIdentity(): Promise<StoreIdentity | undefined>;
}

export interface MetadataStore {
  /** For errors, logs and metrics: `sqlite`, ... */
  readonly name: string;

  findManifest(
    repository: RepositoryName,
    reference: ManifestReference,
    options: { readonly bytes: boolean },
  ): Promise<ManifestRecord | undefined>;

  /** A blob that this repository may serve and whose bytes are there. */
  findBlob(repository: RepositoryName, digest: Digest): Promise<BlobRecord | undefined>;

  /** A blob that any repository may serve: the candidate for a mount without `from`. */
  findBlobAnywhere(digest: Digest): Promise<BlobRecord | undefined>;

  findUpload(repository: RepositoryName, id: string): Promise<UploadRecord | undefined>;

  /** Tags after `after`, in byte order; `undefined` when there is no such repository. */
  listTags(
    repository: RepositoryName,
    options: { readonly after: string; readonly limit: number },
  ): Promise<Page<Tag> | undefined>;

  /** Repositories that hold, or held, a manifest, after `after`, in byte order. */
  listRepositories(options: {
    readonly after: string;
    readonly limit: number;
  }): Promise<Page<RepositoryName>>;

  /**
   * Manifests whose subject is `subject`, in digest order; of one artifact type where it is given.
   */
  listReferrers(
    repository: RepositoryName,
    subject: Digest,
    options: {
      readonly artifactType?: string;
      readonly after: string;
      readonly limit: number;
      /** The page ends before its descriptors' bytes pass this; it holds one at least. */
      readonly bytesMax: number;
    },
  ): Promise<Page<ReferrerRecord>>;

  /** The change log after a position, oldest first. */
  listChanges(options: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly ChangeRecord[]>;

  /** What the registry's upkeep reads; nobody else does. */
  readonly upkeep: UpkeepReads;

  execute<K extends CommandName>(name: K, input: CommandInput<K>): Promise<CommandResult<K>>;

  close(): Promise<void>;
}

/**
 * The database does not answer at the moment: a later try may succeed. Whether a command that fails
 * so was carried out is not known.
 */
export class MetadataUnavailable extends Error {
  override readonly name = "MetadataUnavailable";
  /** When, ms, as far as anybody knows. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}
