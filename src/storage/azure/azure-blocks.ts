/**
 * Names of blocks. A blob that is being put together is nothing but the blocks that were sent for
 * it; so whose they are, and since when, is in their names, which Azure wants to be equally long.
 */
import { createHash } from "node:crypto";

/** Digits of a time in base 36: until the year 5188. */
const timeDigits = 9;
const targetPattern = /^([0-9a-z]{9})-([\w-]{16})$/;
const blockPattern = /^([0-9a-z]{9}-[\w-]{16})\.\d{5}\.[\w-]{12}$/;

/**
 * Begins each block's name of one target. `now` in milliseconds UTC; `id` is a word that never
 * comes again, as for `newBlock`.
 */
export function newTarget(now: number, id: string): string {
  const time = now.toString(36).padStart(timeDigits, "0");
  return `${time}-${wordOf(id, 16)}`;
}

/**
 * A name of its own for each block that is sent: a part that was sent twice is two blocks, and a
 * list of blocks says which of them is meant.
 */
export function newBlock(target: string, number: number, id: string): string {
  return `${target}.${String(number).padStart(5, "0")}.${wordOf(id, 12)}`;
}

/** Milliseconds UTC. */
export function targetStartedAt(target: string): number {
  return Number.parseInt(targetPattern.exec(target)?.[1] ?? "0", 36);
}

/** The target whose block this is; `undefined` when somebody else has sent it. */
export function targetOf(block: string): string | undefined {
  return blockPattern.exec(block)?.[1];
}

/** Azure's ids are base64. */
export function toBlockId(block: string): string {
  return Buffer.from(block, "latin1").toString("base64");
}

export function fromBlockId(id: string): string {
  return Buffer.from(id, "base64").toString("latin1");
}

/** Of the same length, however long the id is. */
function wordOf(id: string, length: number): string {
  return createHash("sha256").update(id).digest("base64url").slice(0, length);
}
