/**
 * What every use case stands on. Time and randomness are passed in, so that a test can own them.
 */
import type { MetadataStore } from "../metadata/metadata-store.ts";
import type { BlobStore } from "../storage/blob-store.ts";

export interface RegistryContext {
  readonly metadata: MetadataStore;
  readonly store: BlobStore;
  readonly settings: RegistrySettings;
  /** Milliseconds UTC. */
  readonly now: () => number;
  /** A new upload's id. */
  readonly newId: () => string;
  /** Names this process among those that share the metadata: the holder of its uploads' leases. */
  readonly writer: string;
  /** Failures behind an answer that was given all the same. */
  readonly report: (problem: string, error: unknown) => void;
}

export interface RegistrySettings {
  /** Whether DELETE of tags, manifests and blobs works at all. */
  readonly deleteEnabled: boolean;
  /** Whether what a manifest refers to may be deleted before it. */
  readonly deleteReferenced: "deny" | "allow";
  /** How long a HEAD, a mount or a commit may be relied upon, ms. */
  readonly graceMs: number;
  /** How long an upload's writer may be silent before another one takes over, ms. */
  readonly uploadLeaseMs: number;
}

/** A day: longer than any push between its first HEAD and its manifest. */
const graceMs = 24 * 60 * 60 * 1000;

/**
 * A lease is renewed three times in its life: a process that stands still so long is taken for
 * dead.
 */
const uploadLeaseMs = 10_000;

export const defaultSettings: RegistrySettings = {
  deleteEnabled: true,
  deleteReferenced: "deny",
  graceMs,
  uploadLeaseMs,
};
