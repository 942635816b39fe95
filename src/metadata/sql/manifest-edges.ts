/**
 * The edges from a manifest to the blobs and manifests it refers to, and to what is not here (yet).
 *
 * Nothing here is held row by row: whoever reads or writes a repository's edges has the
 * repository's lock. A blob that the repository links cannot be claimed, and only its own commands
 * take the link away; a manifest of the repository likewise.
 */
import type { Digest } from "../../oci/digest.ts";
import type { Reference } from "../../oci/manifest.ts";
import type { CommandContext } from "./context.ts";
import { all, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";

type BlobKind = "config" | "layer";

interface Unresolved {
  readonly digest: Digest;
  readonly kind: Reference["kind"];
}

export interface ResolvedReferences {
  readonly blobs: readonly { readonly blob: number; readonly kind: BlobKind }[];
  readonly children: readonly number[];
  readonly missing: readonly Unresolved[];
  /**
   * Children of an index that are blobs here. A manifest of that digest may still come in their
   * place.
   */
  readonly blobChildren: readonly Unresolved[];
}

/**
 * What a blob is to a manifest. The blobs among an index's children (build caches have some) are
 * layers.
 */
export function blobKind(kind: Reference["kind"]): BlobKind {
  return kind === "config" ? "config" : "layer";
}

/** Ids of the live blobs which a repository links, by each digest they were asked for. */
function* linkedBlobs(
  ctx: CommandContext,
  repository: number,
  digests: readonly Digest[],
): Plan<Map<string, number>> {
  const { db } = ctx;
  const found = new Map<string, number>();
  if (digests.length === 0) return found;
  const canonical = yield* all(
    db
      .selectFrom("blobs")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(["blobs.id", "blobs.digest"])
      .where("repository_blobs.repository", "=", repository)
      .where("blobs.state", "=", "live")
      .where("blobs.digest", "in", digests),
  );
  for (const row of canonical) found.set(row.digest, row.id);
  const rest = digests.filter((digest) => !digest.startsWith("sha256:") && !found.has(digest));
  if (rest.length === 0) return found;
  const aliased = yield* all(
    db
      .selectFrom("blob_aliases")
      .innerJoin("blobs", "blobs.id", "blob_aliases.blob")
      .innerJoin("repository_blobs", "repository_blobs.blob", "blobs.id")
      .select(["blobs.id", "blob_aliases.digest"])
      .where("repository_blobs.repository", "=", repository)
      .where("blobs.state", "=", "live")
      .where("blob_aliases.digest", "in", rest),
  );
  for (const row of aliased) found.set(row.digest, row.id);
  return found;
}

function* knownManifests(
  ctx: CommandContext,
  repository: number,
  digests: readonly Digest[],
): Plan<Map<string, number>> {
  const found = new Map<string, number>();
  if (digests.length === 0) return found;
  const rows = yield* all(
    ctx.db
      .selectFrom("manifests")
      .select(["id", "digest"])
      .where("repository", "=", repository)
      .where("digest", "in", digests),
  );
  for (const row of rows) found.set(row.digest, row.id);
  return found;
}

/** Looks every reference up in the repository. */
export function* resolveReferences(
  ctx: CommandContext,
  repository: number,
  references: readonly Reference[],
): Plan<ResolvedReferences> {
  const wanted = new Set<Digest>();
  for (const { descriptor, kind } of references) {
    if (kind === "manifest") wanted.add(descriptor.digest);
  }
  const manifestIds = yield* knownManifests(ctx, repository, [...wanted]);
  const rest = references.filter(
    ({ descriptor, kind }) => kind !== "manifest" || !manifestIds.has(descriptor.digest),
  );
  const digests = new Set(rest.map(({ descriptor }) => descriptor.digest));
  const blobIds = yield* linkedBlobs(ctx, repository, [...digests]);
  const blobs: { blob: number; kind: BlobKind }[] = [];
  const [blobChildren, missing]: [Unresolved[], Unresolved[]] = [[], []];
  for (const { descriptor, kind } of rest) {
    const { digest } = descriptor;
    const blob = blobIds.get(digest);
    if (blob === undefined) missing.push({ digest, kind });
    else blobs.push({ blob, kind: blobKind(kind) });
    if (blob !== undefined && kind === "manifest") blobChildren.push({ digest, kind });
  }
  return { blobs, children: [...manifestIds.values()], missing, blobChildren };
}

/**
 * Writes a manifest's edges. Repeating it changes nothing: the same digest has the same references.
 */
export function* writeEdges(
  ctx: CommandContext,
  edges: {
    readonly repository: number;
    readonly manifest: number;
    readonly resolved: ResolvedReferences;
  },
): Plan<void> {
  const { db } = ctx;
  const { manifest, repository, resolved } = edges;
  for (const batch of batches(resolved.blobs)) {
    yield* send(
      db
        .insertInto("manifest_blobs")
        .values(batch.map(({ blob, kind }) => ({ manifest, blob, kind })))
        .onConflict((conflict) => conflict.doNothing()),
    );
  }
  for (const batch of batches(resolved.children)) {
    yield* send(
      db
        .insertInto("manifest_children")
        .values(batch.map((child) => ({ manifest, child })))
        .onConflict((conflict) => conflict.doNothing()),
    );
  }
  for (const batch of batches([...resolved.missing, ...resolved.blobChildren])) {
    yield* send(
      db
        .insertInto("manifest_missing")
        .values(batch.map(({ digest, kind }) => ({ repository, digest, manifest, kind })))
        .onConflict((conflict) => conflict.doNothing()),
    );
  }
}

/** Rows of one insert: statements stay short and far below any database's limit on parameters. */
const rowsPerInsert = 100;

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += rowsPerInsert) {
    yield items.slice(at, at + rowsPerInsert);
  }
}

const indexesWaitingFor = statement((db, place: { repository: number; digest: string }) =>
  db
    .selectFrom("manifest_missing")
    .select("manifest")
    .where("repository", "=", place.repository)
    .where("digest", "=", place.digest)
    .where("kind", "=", "manifest"),
);

/** Gives a manifest that has just arrived to the indexes which were pushed before it. */
export function* resolveMissingManifest(
  ctx: CommandContext,
  repository: number,
  manifest: number,
  digest: Digest,
): Plan<void> {
  const { db } = ctx;
  const waiting = yield* all(indexesWaitingFor(ctx, { repository, digest }));
  if (waiting.length === 0) return;
  for (const parent of waiting) {
    yield* send(
      db
        .insertInto("manifest_children")
        .values({ manifest: parent.manifest, child: manifest })
        .onConflict((conflict) => conflict.doNothing()),
    );
  }
  yield* send(
    db
      .deleteFrom("manifest_missing")
      .where("repository", "=", repository)
      .where("digest", "=", digest)
      .where("kind", "=", "manifest"),
  );
}
