/**
 * What to say of a command whose COMMIT got no answer, and which was therefore run again: the first
 * run may have been carried out, or not. The server could be asked by the transaction's number, but
 * after a crash it gives the same number to another transaction.
 *
 * Repeated, most commands do the same once more, or find it done. The change log then has it twice,
 * as its readers must expect anyway.
 */
import type { CommandName, CommandResult } from "../commands.ts";

type Settle<K extends CommandName> = (
  first: CommandResult<K>,
  second: CommandResult<K>,
) => CommandResult<K> | "unknown";

/** Where the second result alone would mislead. */
const settlements: { readonly [K in CommandName]?: Settle<K> } = {
  deleteUpload: firstIfGone,
  deleteBlob: firstIfGone,
  deleteManifest: firstIfGone,
  deleteTag: firstIfGone,
  // The writer whose lease was taken by the first run is found by the second one only if that was
  // not carried out; and it must be known, since it may still be writing.
  acquireUpload: (first, second) =>
    first.outcome === "acquired" && second.outcome === "acquired"
      ? { ...second, previousWriter: second.previousWriter ?? first.previousWriter }
      : second,
  // Without the upload's row either the first run was carried out, or somebody else ended it.
  commitUpload: (first, second) =>
    first.outcome === "committed" && second.outcome === "lost" ? "unknown" : second,
};

/** What was asked for is gone, whoever did it. */
function firstIfGone<T extends { readonly outcome: string }>(first: T, second: T): T {
  return first.outcome === "deleted" && second.outcome === "unknown" ? first : second;
}

/** `unknown`: the results do not tell. */
export function settle<K extends CommandName>(
  name: K,
  first: CommandResult<K>,
  second: CommandResult<K>,
): CommandResult<K> | "unknown" {
  const settlement: Settle<K> | undefined = settlements[name];
  return settlement === undefined ? second : settlement(first, second);
}
