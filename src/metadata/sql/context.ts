/** What every command is given beside its input. */
import type { Insertable, Kysely } from "kysely";
import type { RepositoryName } from "../../oci/names.ts";
import type { Origin, ReferenceRecord, ChangeKind } from "../records.ts";
import type { SqlDialect } from "./dialect.ts";
import { first, only, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import type { Database, RepositoryState } from "./schema.ts";

export interface CommandContext {
  readonly db: Kysely<Database>;
  readonly dialect: SqlDialect;
  /** The database's clock, read once for the command; ms UTC. */
  readonly now: number;
}

export interface RepositoryRow {
  readonly id: number;
  readonly state: RepositoryState;
}

const repositoryByName = statement((db, place: { name: string }) =>
  db.selectFrom("repositories").select(["id", "state"]).where("name", "=", place.name),
);

const insertRepository = statement((db, place: { name: string; now: number }) =>
  db
    .insertInto("repositories")
    .values({ name: place.name, state: "draft", created_at: place.now })
    .onConflict((conflict) => conflict.column("name").doNothing())
    .returning(["id", "state"]),
);

export function findRepository(
  ctx: CommandContext,
  name: RepositoryName,
): Plan<RepositoryRow | undefined> {
  return first(repositoryByName(ctx, { name }));
}

/** The repository of that name, made as a draft if there is none. */
export function* ensureRepository(ctx: CommandContext, name: RepositoryName): Plan<RepositoryRow> {
  const found = yield* findRepository(ctx, name);
  if (found !== undefined) return found;
  const made = yield* first(insertRepository(ctx, { name, now: ctx.now }));
  if (made !== undefined) return made;
  // Another command has made it meanwhile, and was waited for: a new statement sees it.
  return yield* only(repositoryByName(ctx, { name }));
}

export interface Change {
  readonly kind: ChangeKind;
  readonly repositoryId: number;
  readonly repository: RepositoryName;
  readonly fromRepository?: RepositoryName | undefined;
  readonly digest?: string;
  readonly mediaType?: string;
  readonly size?: number;
  readonly references?: readonly ReferenceRecord[];
  readonly tag?: string | undefined;
  readonly oldDigest?: string | undefined;
}

/** Version of a change row's shape; raise it when a reader would have to know. */
const changeVersion = 1;

type ChangeRow = Insertable<Database["changes"]>;

const insertChange = statement((db, place: Required<Omit<ChangeRow, "seq" | "position">>) =>
  db.insertInto("changes").values({
    at: place.at,
    kind: place.kind,
    cause: place.cause,
    repository_id: place.repository_id,
    repository: place.repository,
    from_repository: place.from_repository,
    digest: place.digest,
    media_type: place.media_type,
    size: place.size,
    refs: place.refs,
    tag: place.tag,
    old_digest: place.old_digest,
    actor: place.actor,
    request: place.request,
    version: place.version,
  }),
);

/** Appends to the change log. A command does this last, in its own transaction (invariant I7). */
export function* recordChange(ctx: CommandContext, origin: Origin, change: Change): Plan<void> {
  const { references } = change;
  yield* send(
    insertChange(ctx, {
      at: ctx.now,
      kind: change.kind,
      cause: origin.cause,
      repository_id: change.repositoryId,
      repository: change.repository,
      from_repository: change.fromRepository ?? null,
      digest: change.digest ?? null,
      media_type: change.mediaType ?? null,
      size: change.size ?? null,
      refs: references === undefined || references.length === 0 ? null : JSON.stringify(references),
      tag: change.tag ?? null,
      old_digest: change.oldDigest ?? null,
      actor: origin.actor ?? null,
      request: origin.request === undefined ? null : JSON.stringify(origin.request),
      version: changeVersion,
    }),
  );
}
