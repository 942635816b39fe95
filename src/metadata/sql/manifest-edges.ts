/**
 * The edges from a manifest to the blobs and manifests it refers to, and to what is not here (yet).
 *
 * Nothing here is held row by row: whoever reads or writes a repository's edges has the
 * repository's lock. A blob that the repository links cannot be claimed, and only its own commands
 * take the link away; a manifest of the repository likewise.
 */
import type { ExpressionBuilder } from "kysely";
import type { Digest } from "../../oci/digest.ts";
import type { Reference } from "../../oci/manifest.ts";
import type { CommandContext } from "./context.ts";
import { all, send, type Plan } from "./plan.ts";
import { listStatement, statement } from "./prepared.ts";
import type { Database } from "./schema.ts";

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

interface InRepository extends Record<string, unknown> {
  repository: number;
}

interface Named {
  readonly digest: string;
}

const blobsByDigest = listStatement((db, rows: readonly Named[], place: InRepository) =>
  db
    .selectFrom("blobs")
    .select(["blobs.id", "blobs.digest"])
    .where("blobs.state", "=", "live")
    .where("blobs.digest", "in", digestsOf(rows))
    .where("blobs.id", "=", (from) => ownLink(from, place)),
);

const blobsByAlias = listStatement((db, rows: readonly Named[], place: InRepository) =>
  db
    .selectFrom("blob_aliases")
    .innerJoin("blobs", "blobs.id", "blob_aliases.blob")
    .select(["blobs.id", "blob_aliases.digest"])
    .where("blobs.state", "=", "live")
    .where("blob_aliases.digest", "in", digestsOf(rows))
    .where("blobs.id", "=", (from) => ownLink(from, place)),
);

const manifestsByDigest = listStatement((db, rows: readonly Named[], place: InRepository) =>
  db
    .selectFrom("manifests")
    .select(["id", "digest"])
    .where("repository", "=", place.repository)
    .where("digest", "in", digestsOf(rows)),
);

/**
 * The blob at hand, if the repository links it. Asked for each one: in a join PostgreSQL might read
 * all the links of the repository.
 */
function ownLink(from: ExpressionBuilder<Database, "blobs">, { repository }: InRepository) {
  return from
    .selectFrom("repository_blobs")
    .select("repository_blobs.blob")
    .where("repository_blobs.repository", "=", repository)
    .whereRef("repository_blobs.blob", "=", "blobs.id");
}

function digestsOf(rows: readonly Named[]): readonly string[] {
  return rows.map(({ digest }) => digest);
}

type FindByDigest = typeof manifestsByDigest;

/** Adds the ids of what a statement finds, by the digest that it was asked for. */
function* findIds(
  ctx: CommandContext,
  query: FindByDigest,
  wanted: { readonly repository: number; readonly digests: readonly Digest[] },
  found: Map<string, number>,
): Plan<void> {
  const { digests, repository } = wanted;
  const named = digests.map((digest) => ({ digest }));
  for (const batch of query(ctx, named, { repository })) {
    for (const row of yield* all(batch)) found.set(row.digest, row.id);
  }
}

/** Ids of the live blobs which a repository links, by each digest they were asked for. */
function* linkedBlobs(
  ctx: CommandContext,
  repository: number,
  digests: readonly Digest[],
): Plan<Map<string, number>> {
  const found = new Map<string, number>();
  yield* findIds(ctx, blobsByDigest, { repository, digests }, found);
  const rest = digests.filter((digest) => !digest.startsWith("sha256:") && !found.has(digest));
  yield* findIds(ctx, blobsByAlias, { repository, digests: rest }, found);
  return found;
}

function* knownManifests(
  ctx: CommandContext,
  repository: number,
  digests: readonly Digest[],
): Plan<Map<string, number>> {
  const found = new Map<string, number>();
  yield* findIds(ctx, manifestsByDigest, { repository, digests }, found);
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

interface OfManifest extends Record<string, unknown> {
  repository: number;
  manifest: number;
}

const insertBlobEdges = listStatement((db, rows: ResolvedReferences["blobs"], place: OfManifest) =>
  db
    .insertInto("manifest_blobs")
    .values(rows.map(({ blob, kind }) => ({ manifest: place.manifest, blob, kind })))
    .onConflict((conflict) => conflict.doNothing()),
);

const insertChildren = listStatement((db, rows: readonly { child: number }[], place: OfManifest) =>
  db
    .insertInto("manifest_children")
    .values(rows.map(({ child }) => ({ manifest: place.manifest, child })))
    .onConflict((conflict) => conflict.doNothing()),
);

const insertMissing = listStatement((db, rows: readonly Unresolved[], place: OfManifest) =>
  db
    .insertInto("manifest_missing")
    .values(
      rows.map(({ digest, kind }) => ({
        repository: place.repository,
        digest,
        manifest: place.manifest,
        kind,
      })),
    )
    .onConflict((conflict) => conflict.doNothing()),
);

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
  const { manifest, repository, resolved } = edges;
  const place = { repository, manifest };
  const children = resolved.children.map((child) => ({ child }));
  const missing = [...resolved.missing, ...resolved.blobChildren];
  for (const batch of insertBlobEdges(ctx, resolved.blobs, place)) yield* send(batch);
  for (const batch of insertChildren(ctx, children, place)) yield* send(batch);
  for (const batch of insertMissing(ctx, missing, place)) yield* send(batch);
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
