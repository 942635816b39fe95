/** Commands on uploads in progress (invariant I6). None of them is in the change log: nothing happened yet. */
import { sql } from "kysely";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/names.ts";
import type { CommandInput, CommandResult } from "../commands.ts";
import type { UploadRecord } from "../records.ts";
import { ensureRepository, findRepository, type CommandContext } from "./context.ts";
import { first, only, run, type Plan } from "./plan.ts";
import type { Database } from "./schema.ts";
import type { Selectable } from "kysely";

export type UploadRow = Selectable<Database["uploads"]>;

export function toUploadRecord(row: UploadRow, repository: RepositoryName): UploadRecord {
  return {
    id: row.id,
    repositoryId: row.repository,
    repository,
    offset: row.offset,
    algorithm: row.algorithm,
    digestsSoFar: row.digests_so_far === "" ? [] : (row.digests_so_far.split(" ") as Digest[]),
    state: row.store_state,
    writer: row.writer ?? undefined,
    writerEpoch: row.writer_epoch,
    createdAt: row.created_at,
  };
}

export function* createUpload(
  ctx: CommandContext,
  input: CommandInput<"createUpload">,
): Plan<CommandResult<"createUpload">> {
  const repository = yield* ensureRepository(ctx, input.repository);
  const leased = input.writer !== undefined && input.leaseMs !== undefined;
  const insert = ctx.db
    .insertInto("uploads")
    .values({
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
    })
    .returningAll();
  return toUploadRecord(yield* only(insert), input.repository);
}

/** The upload of that id, if it is of that repository. */
function* uploadOf(
  ctx: CommandContext,
  key: { readonly repository: RepositoryName; readonly id: string },
): Plan<UploadRow | undefined> {
  const repository = yield* findRepository(ctx, key.repository);
  if (repository === undefined) return undefined;
  return yield* first(
    ctx.db
      .selectFrom("uploads")
      .selectAll()
      .where("id", "=", key.id)
      .where("repository", "=", repository.id),
  );
}

export function* acquireUpload(
  ctx: CommandContext,
  input: CommandInput<"acquireUpload">,
): Plan<CommandResult<"acquireUpload">> {
  const { now } = ctx;
  const found = yield* uploadOf(ctx, input);
  if (found === undefined) return { outcome: "unknown" };
  const taken = yield* first(
    ctx.db
      .updateTable("uploads")
      .set({
        writer: input.writer,
        writer_epoch: sql<number>`writer_epoch + 1`,
        writer_until: now + input.leaseMs,
      })
      .where("id", "=", input.id)
      .where((where) =>
        where.or([
          where("writer", "is", null),
          where("writer", "=", input.writer),
          where("writer_until", "<=", now),
        ]),
      )
      .returningAll(),
  );
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

export function* saveUpload(
  ctx: CommandContext,
  input: CommandInput<"saveUpload">,
): Plan<CommandResult<"saveUpload">> {
  const { appended } = input;
  const lease =
    input.lease === "keep"
      ? {}
      : input.lease === "release"
        ? { writer: null, writer_until: null }
        : { writer_until: ctx.now + input.lease.forMs };
  const progress =
    appended === undefined
      ? {}
      : {
          offset: appended.offset,
          digests_so_far: appended.digestsSoFar.join(" "),
          store_state: appended.state,
        };
  const changed = yield* run(
    ctx.db
      .updateTable("uploads")
      .set({ ...lease, ...progress, updated_at: ctx.now })
      .where("id", "=", input.id)
      .where("writer_epoch", "=", input.epoch),
  );
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
  return { outcome: (yield* run(query)) === 1 ? "deleted" : "unknown" };
}
