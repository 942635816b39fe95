/**
 * Commands of background jobs: leases, the store's identity, and bytes that no row speaks of
 * (invariant I4).
 */
import { sql } from "kysely";
import type { CommandInput, CommandResult, LeaseProof } from "../commands.ts";
import { holdBlobRow } from "./blob-commands.ts";
import type { CommandContext } from "./context.ts";
import { first, only, run, type Plan } from "./plan.ts";
import { statement } from "./prepared.ts";

/** The holder of a lease that was given back. Its row stays, so that no epoch comes twice. */
const nobody = "";

const takeLease = statement(
  (db, place: { name: string; holder: string; now: number; until: number }) =>
    db
      .insertInto("leases")
      .values({ name: place.name, holder: place.holder, epoch: 1, until_at: place.until })
      .onConflict((conflict) =>
        conflict
          .column("name")
          .doUpdateSet({
            holder: sql<string>`excluded.holder`,
            epoch: sql<number>`case when leases.holder = excluded.holder
              then leases.epoch else leases.epoch + 1 end`,
            until_at: sql<number>`excluded.until_at`,
          })
          .where((where) =>
            where.or([
              where("leases.holder", "=", place.holder),
              where("leases.until_at", "<=", place.now),
            ]),
          ),
      )
      .returning("epoch"),
);

const leaseByName = statement((db, place: { name: string }, { hold }) =>
  hold(
    db.selectFrom("leases").select(["holder", "epoch", "until_at"]).where("name", "=", place.name),
    "leases",
    "share",
  ),
);

export function* acquireLease(
  ctx: CommandContext,
  input: CommandInput<"acquireLease">,
): Plan<CommandResult<"acquireLease">> {
  const { now } = ctx;
  const { holder, leaseMs, name } = input;
  const taken = yield* first(takeLease(ctx, { name, holder, now, until: now + leaseMs }));
  if (taken !== undefined) return { outcome: "acquired", epoch: taken.epoch };
  const held = yield* only(leaseByName(ctx, { name }));
  return { outcome: "busy", retryAfterMs: Math.max(1, held.until_at - now) };
}

export function* releaseLease(
  ctx: CommandContext,
  { epoch, name }: CommandInput<"releaseLease">,
): Plan<CommandResult<"releaseLease">> {
  const changed = yield* run(
    ctx.db
      .updateTable("leases")
      .set({ holder: nobody, until_at: ctx.now })
      .where("name", "=", name)
      .where("epoch", "=", epoch)
      .where("holder", "<>", nobody),
  );
  return { outcome: changed === 1 ? "released" : "lost" };
}

/**
 * Whether the job still holds its lease: nobody has taken it since, and nobody will until the
 * command has ended. That its time is over is no loss as long as nobody else works.
 */
export function* holdsLease(ctx: CommandContext, lease: LeaseProof | undefined): Plan<boolean> {
  if (lease === undefined) return true;
  const held = yield* first(leaseByName(ctx, { name: lease.name }));
  return held !== undefined && held.epoch === lease.epoch && held.holder !== nobody;
}

export function* claimOrphan(
  ctx: CommandContext,
  input: CommandInput<"claimOrphan">,
): Plan<CommandResult<"claimOrphan">> {
  const { db, now } = ctx;
  const { claim, digest, key, lease, size } = input;
  if (!(yield* holdsLease(ctx, lease))) return { outcome: "lease-lost" };
  const found = yield* holdBlobRow(ctx, digest, "share");
  // Of the same claim: it was made already, and its answer got lost.
  if (found !== undefined) return { outcome: found.claim === claim ? "claimed" : "known" };
  const manifest = db.selectFrom("manifests").select("id").where("digest", "=", digest).limit(1);
  if ((yield* first(manifest)) !== undefined) return { outcome: "known" };
  // A commit of the same content may come between, and then its row stays.
  const inserted = yield* first(
    db
      .insertInto("blobs")
      .values({
        digest,
        size,
        key,
        state: "deleting",
        claim,
        created_at: now,
        verified_at: now,
        // Should it be revived without a link, it is nobody's at once.
        review_after: now,
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning("id"),
  );
  return { outcome: inserted === undefined ? "known" : "claimed" };
}

export function* adoptStore(
  ctx: CommandContext,
  input: CommandInput<"adoptStore">,
): Plan<CommandResult<"adoptStore">> {
  const { db } = ctx;
  const { epoch, id } = input;
  // The table takes one row (`store_one`): of two nodes that start at once one decides.
  const insert = db.insertInto("store").values({ id, epoch });
  yield* run(insert.onConflict((conflict) => conflict.doNothing()));
  const adopted = yield* only(db.selectFrom("store").select(["id", "epoch"]));
  return { id: adopted.id, epoch: adopted.epoch };
}
