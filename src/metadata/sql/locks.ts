/**
 * How commands of several nodes keep out of each other's way (invariants I2, I4). SQLite runs one
 * command at a time and has none of this; PostgreSQL runs them at READ COMMITTED, where each
 * statement sees what was committed before it began, and nothing keeps what it saw from changing.
 *
 * A command takes its locks in this order, so that no two wait for each other:
 *
 * 1. its repository's, by name: the row need not exist yet. Whoever holds it is the only one who
 *    changes what that repository holds (links, manifests, edges, tags), and may rely on what it
 *    reads there. Two names with the same hash only wait for each other.
 * 2. a manifest's digest: its bytes are shared by all repositories that hold it. Who stores them
 *    and who takes them away because nobody else needs them must not do so at once.
 * 3. a job's lease (`share`): nobody takes it over while a command relies on it.
 * 4. one blob's row. `share` is for who links it: it stays, and stays live, until the link can be
 *    seen. `update` is for who changes its state. Nobody takes two.
 * 5. an upload's row.
 *
 * What was read before a lock was waited for is read again, by a new statement: a `where` that is
 * evaluated again after a wait sees its own row anew, but no other table.
 */

/** What a command waits for before it begins, and before it reads the clock. */
export type CommandLock =
  | { readonly repository: string; readonly digest?: string | undefined }
  | { readonly repositoryOfUpload: string }
  /** Whether a lease has run out is asked when nobody can prolong it any more. */
  | { readonly upload: string }
  | { readonly lease: string };

/**
 * - `key`: the row is not deleted.
 * - `share`: nor changed.
 * - `update`: nor held in another way than `key` by anybody else.
 */
export type RowLock = "key" | "share" | "update";
