/**
 * The write side of port 2: each command is one atomic transaction, which also writes what it
 * changed to the change log (invariant I7). Commands and results are plain data: they cross
 * threads.
 *
 * An outcome that the caller has to handle is a value (`outcome`), never an exception; an
 * exception means that nothing was written.
 */
import type { Digest } from "../oci/digest.ts";
import type { Manifest } from "../oci/manifest.ts";
import type { RepositoryName, Tag } from "../oci/names.ts";
import type { BlobKey } from "../storage/blob-store.ts";
import type { BlobRecord, Origin, UploadRecord } from "./records.ts";

/** What an append left in the store. */
export interface UploadAppended {
  readonly offset: number;
  /**
   * Digests of the first `offset` bytes, which must be durable; none when nobody hashed them all.
   */
  readonly digestsSoFar: readonly Digest[];
  readonly state: string;
}

/** Every command's input and result, by name. */
export interface Commands {
  /**
   * Begins an upload, and its repository if need be. With `writer` the creator holds the lease at
   * once.
   */
  createUpload: {
    input: {
      readonly repository: RepositoryName;
      readonly id: string;
      readonly algorithm: string;
      readonly state: string;
      readonly writer?: string;
      readonly leaseMs?: number;
    };
    result: UploadRecord;
  };

  /**
   * Takes the lease to write to an upload (invariant I6). Refused while another writer's lease
   * runs. The epoch that it returns is the only one whose later writes count. `previousWriter` held
   * the lease until it ran out: it may be alive, so its successor must not write where it writes.
   */
  acquireUpload: {
    input: {
      readonly repository: RepositoryName;
      readonly id: string;
      readonly writer: string;
      readonly leaseMs: number;
    };
    result:
      | { readonly outcome: "unknown" }
      | { readonly outcome: "busy"; readonly offset: number; readonly retryAfterMs: number }
      | {
          readonly outcome: "acquired";
          readonly upload: UploadRecord;
          readonly previousWriter: string | undefined;
        };
  };

  /** What the holder of an epoch says: its lease goes on or ends, and what an append left. */
  saveUpload: {
    input: {
      readonly id: string;
      readonly epoch: number;
      readonly lease: { readonly forMs: number } | "keep" | "release";
      readonly appended?: UploadAppended;
    };
    result: { readonly outcome: "saved" | "lost" };
  };

  /** Ends an upload without a blob. */
  deleteUpload: {
    input: { readonly repository: RepositoryName; readonly id: string; readonly epoch?: number };
    result: { readonly outcome: "deleted" | "unknown" };
  };

  /**
   * Turns an upload whose bytes lie under `key` into a blob of its repository. An existing row of
   * that content is revived if it was being collected or was missing. `key` in the result is where
   * the content is to be read from.
   */
  commitUpload: {
    input: {
      readonly id: string;
      readonly epoch: number;
      readonly digest: Digest;
      /** Other digests of the same bytes. */
      readonly aliases: readonly Digest[];
      readonly size: number;
      readonly key: BlobKey;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result: { readonly outcome: "lost" } | { readonly outcome: "committed"; readonly key: BlobKey };
  };

  /** Links a blob of another repository (`from`), or of any (`from` absent), into this one. */
  mountBlob: {
    input: {
      readonly repository: RepositoryName;
      readonly from?: RepositoryName;
      readonly digest: Digest;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result:
      | { readonly outcome: "unknown" }
      | { readonly outcome: "mounted"; readonly blob: BlobRecord };
  };

  /**
   * Takes a blob's link away. Refused while a manifest of the repository uses it, unless `force`.
   */
  deleteBlob: {
    input: {
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly force: boolean;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result:
      | { readonly outcome: "deleted" | "unknown" }
      | { readonly outcome: "referenced"; readonly manifests: readonly Digest[] };
  };

  /**
   * A reader found a live row without bytes: `missing` from now on, until somebody pushes it again.
   */
  markBlobMissing: {
    input: {
      readonly blobId: number;
      /** As the reader knew the blob: who has pushed it since knows better. */
      readonly verifiedAt: number;
    };
    result: { readonly outcome: "marked" | "unchanged" };
  };

  /**
   * A committer put bytes back that were gone: the row is live, whatever was said of it meanwhile.
   */
  confirmBlob: {
    input: { readonly digest: Digest };
    result: { readonly outcome: "confirmed" | "unknown" };
  };

  /**
   * Stores a manifest with its edges, its subject and its tags. Each reference with `required` must
   * be there in the repository, checked inside the transaction (invariant I2).
   */
  putManifest: {
    input: {
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly bytes: Uint8Array;
      readonly manifest: Manifest;
      /** Digests that need not exist: foreign layers, children of a sparse index. */
      readonly optional: readonly Digest[];
      readonly tags: readonly Tag[];
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result:
      | { readonly outcome: "stored" }
      | { readonly outcome: "missing"; readonly digests: readonly Digest[] };
  };

  /**
   * Deletes a manifest and every tag on it, in one step. Refused while an index uses it, unless
   * `force`.
   */
  deleteManifest: {
    input: {
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly force: boolean;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result:
      | { readonly outcome: "deleted" | "unknown" }
      | { readonly outcome: "referenced"; readonly manifests: readonly Digest[] };
  };

  deleteTag: {
    input: {
      readonly repository: RepositoryName;
      readonly tag: Tag;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result: { readonly outcome: "deleted" | "unknown" };
  };

  /** Renews the promise that a link or manifest stays for the grace (invariant I4). */
  touch: {
    input: {
      readonly repositoryId: number;
      readonly target: { readonly blobId: number } | { readonly manifestId: number };
      readonly graceMs: number;
    };
    result: { readonly outcome: "touched" | "unknown" };
  };

  /**
   * The collector's first step: `live` becomes `deleting` under this claim, if nothing links the
   * blob any more.
   */
  claimBlob: {
    input: { readonly digest: Digest; readonly claim: string };
    result:
      | { readonly outcome: "in-use" | "unknown" }
      | { readonly outcome: "claimed"; readonly key: BlobKey };
  };

  /** The collector's last step: deletes the row where the claim is still the collector's own. */
  deleteClaimedBlob: {
    input: { readonly claim: string };
    result: { readonly outcome: "deleted" | "lost" };
  };

  /** When manifests were last pulled, gathered in memory and written in batches. */
  recordPulls: {
    input: { readonly pulls: readonly { readonly manifestId: number; readonly at: number }[] };
    result: { readonly outcome: "recorded" };
  };
}

export type CommandName = keyof Commands;
export type CommandInput<K extends CommandName> = Commands[K]["input"];
export type CommandResult<K extends CommandName> = Commands[K]["result"];
