/**
 * Whether this database and this storage root belong together (invariant I4). Both carry the same
 * mark; otherwise the registry serves what it finds, and deletes nothing: the bytes may be those of
 * another registry, or of a database that was lost.
 */
import type { MetadataStore } from "../metadata/metadata-store.ts";
import type { StoreIdentity } from "../metadata/records.ts";
import type { BlobStore } from "../storage/blob-store.ts";

export interface RootVerdict {
  readonly mayDelete: boolean;
  /** Why not, and what to do about it. */
  readonly warning?: string;
}

interface RootTools {
  readonly store: BlobStore;
  readonly metadata: MetadataStore;
  /** A new identity: a UUID. */
  readonly newId: () => string;
}

/** Where the marker lies in every store, below its root. */
const markerName = "longshore/store.json";

/** Another node may be about to mark the root: it is looked at again before it is refused. */
const looksMax = 2;

/**
 * Looks at both marks, and makes them where both are absent and the root is empty. Of two nodes
 * that start at once the database decides for one identity, which both write. A crash between the
 * two marks leaves an identity in a new database and an empty root: then the other one follows.
 */
export async function adoptRoot(tools: RootTools): Promise<RootVerdict> {
  let verdict: RootVerdict = { mayDelete: false };
  for (let look = 0; look < looksMax && !verdict.mayDelete; look += 1) {
    verdict = await decide(tools);
  }
  return verdict;
}

async function decide({ metadata, newId, store }: RootTools): Promise<RootVerdict> {
  const identity = await metadata.upkeep.storeIdentity();
  const marker = await store.upkeep.readMarker();
  if (marker !== undefined) return compared(store, identity, marker);
  if (!(await store.upkeep.holdsContent())) {
    if (identity !== undefined && (await holdsMetadata(metadata))) return lostRoot(store, identity);
    await store.upkeep.writeMarker(textOf(await adopt(metadata, newId)));
    return { mayDelete: true };
  }
  return unmarkedRoot(store, identity ?? (await adopt(metadata, newId)));
}

async function adopt(metadata: MetadataStore, newId: () => string): Promise<StoreIdentity> {
  return await metadata.execute("adoptStore", { id: newId(), epoch: 1 });
}

/**
 * Whether this database was served from before: then a root that cannot be looked at right now is
 * no reason not to serve.
 */
export async function hasServed({ metadata }: RootTools): Promise<boolean> {
  const identity = await metadata.upkeep.storeIdentity();
  return identity !== undefined && (await holdsMetadata(metadata));
}

/** Whether anything was ever pushed: then its bytes should lie somewhere. */
async function holdsMetadata(metadata: MetadataStore): Promise<boolean> {
  const changes = await metadata.listChanges({ after: 0, limit: 1 });
  if (changes.length > 0) return true;
  return (await metadata.listRepositories({ after: "", limit: 1 })).items.length > 0;
}

function compared(
  { name }: BlobStore,
  identity: StoreIdentity | undefined,
  marker: string,
): RootVerdict {
  const marked = parsed(marker);
  if (marked !== undefined && identity !== undefined) {
    if (marked.id === identity.id && marked.epoch === identity.epoch) return { mayDelete: true };
  }
  const owner = marked === undefined ? "something unknown" : `the database of ${told(marked)}`;
  const mine =
    identity === undefined ? "belongs to no storage yet" : `is that of ${told(identity)}`;
  const choice =
    identity === undefined
      ? `If that one is lost for good, delete ${markerName} in the root and start again.`
      : `If this database is the right one, write ${textOf(identity)} to ${markerName} there.`;
  return refused(
    `the ${name} storage is marked as that of ${owner}, and this database ${mine}`,
    `Start with the database that belongs to it. ${choice}`,
  );
}

function lostRoot({ name }: BlobStore, identity: StoreIdentity): RootVerdict {
  return refused(
    `the ${name} storage is empty and not marked, and this database knows content`,
    "Check that the configured storage is the right one. If it is, and its content is lost or is " +
      `being restored, write ${textOf(identity)} to ${markerName} there.`,
  );
}

function unmarkedRoot({ name }: BlobStore, identity: StoreIdentity): RootVerdict {
  return refused(
    `the ${name} storage has content that no marker speaks of`,
    "It may belong to another registry. If it is this database's alone, and nothing else in it " +
      `is needed, write ${textOf(identity)} to ${markerName} there.`,
  );
}

function refused(what: string, remedy: string): RootVerdict {
  return { mayDelete: false, warning: `nothing is deleted: ${what}. ${remedy}` };
}

function textOf({ epoch, id }: StoreIdentity): string {
  return JSON.stringify({ store: id, epoch });
}

function told({ epoch, id }: StoreIdentity): string {
  return `store ${id}, epoch ${epoch}`;
}

function parsed(marker: string): StoreIdentity | undefined {
  let value: unknown;
  try {
    value = JSON.parse(marker);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (!("store" in value) || !("epoch" in value)) return undefined;
  const { epoch, store } = value;
  return typeof store === "string" && typeof epoch === "number" ? { id: store, epoch } : undefined;
}
