/** What the metadata store returns: plain records, already parsed, safe to send between threads. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName, Tag } from "../oci/names.ts";
import type { BlobKey } from "../storage/blob-store.ts";

/** A manifest as one repository holds it. */
export interface ManifestRecord {
  readonly repositoryId: number;
  readonly manifestId: number;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Until when it is promised to stay although nothing uses it; ms UTC, `undefined` while in use.
   */
  readonly reviewAfter: number | undefined;
  /** The manifest's exact bytes; only where they were asked for. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** A blob as one repository may serve it. */
export interface BlobRecord {
  readonly repositoryId: number;
  readonly blobId: number;
  /** The canonical digest (sha256 unless the content never had one). */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly key: BlobKey;
  /** When its bytes were last known to be there; ms UTC, larger after each push. */
  readonly verifiedAt: number;
  /** When the link's promise ends; ms UTC, `undefined` while in use. */
  readonly reviewAfter: number | undefined;
}

/** A blob that no repository links any more, and whose time is over. */
export interface UnusedBlob {
  readonly blobId: number;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly key: BlobKey;
}

export interface ClaimedBlob extends UnusedBlob {
  readonly claim: string;
}

/** Which storage root a database belongs to; a restore of either raises the epoch. */
export interface StoreIdentity {
  readonly id: string;
  readonly epoch: number;
}

export interface UploadRecord {
  readonly id: string;
  readonly repositoryId: number;
  readonly repository: RepositoryName;
  /** Bytes acknowledged so far. */
  readonly offset: number;
  /** The algorithm announced with `digest-algorithm`; sha256 is computed beside it in any case. */
  readonly algorithm: string;
  /**
   * Digests of the first `offset` bytes, one for each algorithm, or none when they have to be read
   * again.
   */
  readonly digestsSoFar: readonly Digest[];
  /** The blob store's own state. */
  readonly state: string;
  readonly writer: string | undefined;
  readonly writerEpoch: number;
  readonly createdAt: number;
}

/** One page of names. `more` says whether anything follows the last of them. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly more: boolean;
}

export interface ReferrerRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** The manifest's artifactType, or its config's media type where the spec says so. */
  readonly artifactType: string | undefined;
  /** JSON text, as an object, or `undefined` without annotations. */
  readonly annotationsJson: string | undefined;
}

export type ChangeKind =
  | "blob.push"
  | "blob.mount"
  | "blob.delete"
  | "manifest.push"
  | "manifest.delete"
  | "tag.delete";

/** Who caused a change. Only `client`, `retention` and `gc` reach webhooks. */
export type ChangeCause = "client" | "import" | "reconcile" | "retention" | "gc";

/** The request behind a change, for the log's readers. */
export interface RequestRecord {
  readonly id: string;
  readonly addr: string;
  readonly host: string;
  readonly method: string;
  readonly useragent: string;
}

/** Where a command comes from; copied into each change that it makes. */
export interface Origin {
  readonly cause: ChangeCause;
  readonly actor?: string;
  readonly request?: RequestRecord;
}

export interface ReferenceRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
}

/**
 * A row of the change log: self-contained, so that a reader needs no other table (invariant I7).
 */
export interface ChangeRecord {
  readonly seq: number;
  readonly position: number;
  /** Milliseconds UTC. */
  readonly at: number;
  readonly kind: ChangeKind;
  readonly cause: ChangeCause;
  readonly repositoryId: number;
  readonly repository: RepositoryName;
  readonly fromRepository: RepositoryName | undefined;
  readonly digest: Digest | undefined;
  readonly mediaType: string | undefined;
  readonly size: number | undefined;
  readonly references: readonly ReferenceRecord[];
  readonly tag: Tag | undefined;
  /** What the tag pointed to before. */
  readonly oldDigest: Digest | undefined;
  readonly actor: string | undefined;
  readonly request: RequestRecord | undefined;
  /** Version of this row's shape. */
  readonly version: number;
}
