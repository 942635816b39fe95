/**
 * The order of the change log (invariant I7). A change gets its `seq` when it is written, and can
 * be seen when its command commits, which may be after the commit of a higher one. So readers
 * follow `position`, which is given to changes that can be seen: in the order of `seq` among those
 * that are found together, by one node at a time. A position is seen only after all lower ones.
 */
import type { CompiledSql } from "../sql/plan.ts";
import type { PostgresConnection } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import type { LeasePool } from "./lease-pool.ts";
import type { Retries } from "./retries.ts";

/** Any number that no hash of ours is likely to be: "longshor" in ASCII. */
const sequencerLock = 0x6c6f6e6773686f72n;

/** Changes in one go: a transaction of some 100 ms. */
const batchMax = 10_000;

const anyUnnumbered: CompiledSql = {
  sql: "select exists (select from changes where position is null) as found",
  parameters: [],
  kept: true,
};

/**
 * All in one message: no node can stop in between and keep the others from it. The statement after
 * the lock sees all that was numbered, and all that was committed, before the lock was got.
 */
const number: CompiledSql = {
  sql: `begin isolation level read committed read write;
    select pg_advisory_xact_lock(${sequencerLock});
    with unnumbered as materialized (
      select seq from changes where position is null order by seq limit ${batchMax}),
    numbered as materialized (
      select seq, nextval('changes_positions') as position from unnumbered)
    update changes set position = numbered.position from numbered where changes.seq = numbered.seq;
    commit`,
  parameters: [],
};

/** Whether there was a change without a position. */
export async function numberChanges(pool: LeasePool, retries: Retries): Promise<boolean> {
  try {
    return await retries.run(async () => {
      const connection = await pool.lease();
      try {
        return await numberOn(connection);
      } finally {
        pool.release(connection);
      }
    });
  } catch (error) {
    throw toStoreError(error);
  }
}

/** Numbers a batch of them, if there are any. */
export async function numberOn(connection: PostgresConnection): Promise<boolean> {
  const { rows } = await connection.query(anyUnnumbered);
  const [row] = rows as readonly { readonly found: boolean }[];
  if (row?.found !== true) return false;
  try {
    await connection.query(number);
  } catch (error) {
    // The transaction that it began has failed, and is still open.
    await connection.query({ sql: "rollback", parameters: [] }).catch(() => undefined);
    throw error;
  }
  return true;
}
