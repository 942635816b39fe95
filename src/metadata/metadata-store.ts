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
import type { CommandInput, CommandName, CommandResult } from "./commands.ts";
import type {
  BlobRecord,
  ChangeRecord,
  ManifestRecord,
  Page,
  ReferrerRecord,
  UploadRecord,
} from "./records.ts";

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

  execute<K extends CommandName>(name: K, input: CommandInput<K>): Promise<CommandResult<K>>;

  close(): Promise<void>;
}
