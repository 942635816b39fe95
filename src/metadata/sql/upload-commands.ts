/**
 * Commands on uploads in progress (invariant I6). None of them is in the change log: nothing
 * happened yet.
 */
import { sql, type Selectable } from "kysely";
import type { CommandInput, CommandResult } from "../commands.ts";
import { ensureRepository, findRepository, type CommandContext } from "./context.ts";
import { first, run, send, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";
import { toUploadRecord } from "./rows.ts";
import type { Database } from "./schema.ts";

/** Lets an interface be the places of a statement. */
type Row = Record<string, unknown>;

const insertUpload = statement((db, place: Selectable<Database["uploads"]> & Row) =>
  db.insertInto("uploads").values({
    id: place.id,
    repository: place.repository,
    offset: place.offset,
    algorithm: place.algorithm,
    digests_so_far: place.digests_so_far,
    store_state: place.store_state,
    writer: place.writer,
    writer_epoch: place.writer_epoch,
    writer_until: place.writer_until,
    created_at: place.created_at,
    updated_at: place.updated_at,
  }),
);

export function* createUpload(
  ctx: CommandContext,
  input: CommandInput<"createUpload">,
): Plan<CommandResult<"createUpload">> {
  const repository = yield* ensureRepository(ctx, input.repository);
  const leased = input.writer !== undefined && input.leaseMs !== undefined;
  const row = {
    id: input.id,
    repository: repository.id,
    offset: 0,
    algorithm: input.algorithm,
    digests_so_far: "",
    store_state: input.state,
    writer: leased ? input.writer : null,
    writer_epoch: leased ? 1 : 0,
    writer_until: leased ? ctx.now + input.leaseMs : null,
    created_at: ctx.now,
    updated_at: ctx.now,
  };
  yield* send(insertUpload(ctx, row));
  return toUploadRecord(row, input.repository);
}

const uploadById = statement((db, place: { repository: string; id: string }, { hold }) =>
  hold(
    db
      .selectFrom("uploads")
      .innerJoin("repositories", "repositories.id", "uploads.repository")
      .selectAll("uploads")
      .where("uploads.id", "=", place.id)
      .where("repositories.name", "=", place.repository),
    "uploads",
    "update",
  ),
);

/** Takes the lease, unless another writer holds it. */
const takeLease = statement(
  (db, place: { id: string; writer: string; until: number; now: number }) =>
    db
      .updateTable("uploads")
      .set({
        writer: place.writer,
        writer_epoch: sql<number>`writer_epoch + 1`,
        writer_until: place.until,
      })
      .where("id", "=", place.id)
      .where((where) =>
        where.or([
          where("writer", "is", null),
          where("writer", "=", place.writer),
          where("writer_until", "<=", place.now),
        ]),
      )
      .returningAll(),
);

export function* acquireUpload(
  ctx: CommandContext,
  input: CommandInput<"acquireUpload">,
): Plan<CommandResult<"acquireUpload">> {
  const { now } = ctx;
  const { id, repository, writer } = input;
  // Held: whom this writer succeeds must be the one whose lease it takes.
  const found = yield* first(uploadById(ctx, { repository, id }));
  if (found === undefined) return { outcome: "unknown" };
  const taken = yield* first(takeLease(ctx, { id, writer, until: now + input.leaseMs, now }));
  if (taken === undefined) {
    const retryAfterMs = Math.max(1, (found.writer_until ?? now) - now);
    return { outcome: "busy", offset: found.offset, retryAfterMs };
  }
  const previous = found.writer === input.writer ? null : found.writer;
  return {
    outcome: "acquired",
    upload: toUploadRecord(taken, input.repository),
    previousWriter: previous ?? undefined,
  };
}

interface SavePlaces extends Row {
  id: string;
  epoch: number;
  now: number;
}

interface Progress extends Row {
  offset: number;
  digests: string;
  state: string;
}

/** What a lease becomes, and what was appended where something was: one statement for each. */
function saving(lease: "keep" | "prolong" | "release") {
  const set = (place: SavePlaces & { until: number }) => ({
    updated_at: place.now,
    ...(lease === "release" && { writer: null, writer_until: null }),
    ...(lease === "prolong" && { writer_until: place.until }),
  });
  const alone = statement((db, place: SavePlaces & { until: number }) =>
    db
      .updateTable("uploads")
      .set(set(place))
      .where("id", "=", place.id)
      .where("writer_epoch", "=", place.epoch),
  );
  const appended = statement((db, place: SavePlaces & Progress & { until: number }) =>
    db
      .updateTable("uploads")
      .set({
        ...set(place),
        offset: place.offset,
        digests_so_far: place.digests,
        store_state: place.state,
      })
      .where("id", "=", place.id)
      .where("writer_epoch", "=", place.epoch),
  );
  return { alone, appended };
}

const saves = { keep: saving("keep"), prolong: saving("prolong"), release: saving("release") };

export function* saveUpload(
  ctx: CommandContext,
  input: CommandInput<"saveUpload">,
): Plan<CommandResult<"saveUpload">> {
  const { appended, epoch, id, lease } = input;
  const { now } = ctx;
  const statements = saves[typeof lease === "string" ? lease : "prolong"];
  const mine = { id, epoch, now, until: typeof lease === "string" ? now : now + lease.forMs };
  if (appended === undefined) {
    const changed = yield* run(statements.alone(ctx, mine));
    return { outcome: changed === 1 ? "saved" : "lost" };
  }
  const { digestsSoFar, offset, state } = appended;
  const progress = { offset, digests: digestsSoFar.join(" "), state };
  const changed = yield* run(statements.appended(ctx, { ...mine, ...progress }));
  return { outcome: changed === 1 ? "saved" : "lost" };
}

export function* deleteUpload(
  ctx: CommandContext,
  input: CommandInput<"deleteUpload">,
): Plan<CommandResult<"deleteUpload">> {
  const repository = yield* findRepository(ctx, input.repository);
  if (repository === undefined) return { outcome: "unknown" };
  let query = ctx.db
    .deleteFrom("uploads")
    .where("id", "=", input.id)
    .where("repository", "=", repository.id);
  if (input.epoch !== undefined) query = query.where("writer_epoch", "=", input.epoch);
  if (input.idleMs !== undefined) {
    query = query
      .where("updated_at", "<=", ctx.now - input.idleMs)
      .where((where) =>
        where.or([where("writer", "is", null), where("writer_until", "<=", ctx.now)]),
      );
  }
  return { outcome: (yield* run(query)) === 1 ? "deleted" : "unknown" };
}
