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
import type { BlobRecord, Origin, StoreIdentity, UploadRecord } from "./records.ts";

/** What an append left in the store. */
export interface UploadAppended {
  readonly offset: number;
  /**
   * Digests of the first `offset` bytes, which must be durable; none when nobody hashed them all.
   */
  readonly digestsSoFar: readonly Digest[];
  readonly state: string;
}

/** A job's command does nothing unless the lease under which it works is still its own. */
export interface LeaseProof {
  readonly name: string;
  readonly epoch: number;
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
    input: {
      readonly repository: RepositoryName;
      readonly id: string;
      readonly epoch?: number;
      /** Only if nobody has written to it for so long, and nobody holds its lease. */
      readonly idleMs?: number;
    };
    result: { readonly outcome: "deleted" | "unknown" };
  };

  /**
   * Turns an upload whose bytes lie under `key` into a blob of its repository. An existing row of
   * that content is revived if it was being collected or was missing, and gets this key.
   *
   * With `reuse` the bytes under `key` are those of a blob that somebody pushed before, and which
   * the caller has just looked at: unless its row is still live and of that key nothing is done,
   * and the outcome is `moved`.
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
      readonly reuse: boolean;
      readonly graceMs: number;
      readonly origin: Origin;
    };
    result:
      | { readonly outcome: "lost" | "moved" }
      | {
          readonly outcome: "committed";
          readonly repositoryId: number;
          readonly blobId: number;
        };
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
   * A committer put bytes back that were gone, to where `key` says: the row is live, whatever was
   * said of it meanwhile.
   */
  confirmBlob: {
    input: { readonly digest: Digest; readonly key: BlobKey };
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
    input: { readonly digest: Digest; readonly claim: string; readonly lease?: LeaseProof };
    result:
      | { readonly outcome: "in-use" | "unknown" | "lease-lost" }
      | { readonly outcome: "claimed"; readonly key: BlobKey };
  };

  /**
   * The sweeper's first step, for bytes at a content key that no row speaks of: inserts a
   * `deleting` row under this claim, so that a commit of the same content sees it.
   */
  claimOrphan: {
    input: {
      readonly digest: Digest;
      readonly key: BlobKey;
      readonly size: number;
      readonly claim: string;
      readonly lease?: LeaseProof;
    };
    /** `known`: there is a row of that digest or key by now, or a manifest of that digest. */
    result: { readonly outcome: "claimed" | "known" | "lease-lost" };
  };

  /** The collector's last step: deletes the row where the claim is still the collector's own. */
  deleteClaimedBlob: {
    input: { readonly claim: string };
    result: { readonly outcome: "deleted" | "lost" };
  };

  /**
   * Takes a job's lease, or goes on holding it: one node does the work at a time. A new holder gets
   * a new epoch. The database's clock decides.
   */
  acquireLease: {
    input: { readonly name: string; readonly holder: string; readonly leaseMs: number };
    result:
      | { readonly outcome: "acquired"; readonly epoch: number }
      | { readonly outcome: "busy"; readonly retryAfterMs: number };
  };

  /** Gives a lease back, if it is still this epoch's. */
  releaseLease: { input: LeaseProof; result: { readonly outcome: "released" | "lost" } };

  /**
   * Says which storage root this database belongs to. Where it was said before, that stays and is
   * returned.
   */
  adoptStore: { input: StoreIdentity; result: StoreIdentity };

  /** When manifests were last pulled, gathered in memory and written in batches. */
  recordPulls: {
    input: { readonly pulls: readonly { readonly manifestId: number; readonly at: number }[] };
    result: { readonly outcome: "recorded" };
  };
}

export type CommandName = keyof Commands;
export type CommandInput<K extends CommandName> = Commands[K]["input"];
export type CommandResult<K extends CommandName> = Commands[K]["result"];
