/** Every command's plan, by name. */
import type { CommandInput, CommandName, CommandResult } from "../commands.ts";
import { commitUpload, deleteBlob, mountBlob } from "./blob-commands.ts";
import {
  claimBlob,
  confirmBlob,
  deleteClaimedBlob,
  markBlobMissing,
} from "./blob-state-commands.ts";
import type { CommandContext } from "./context.ts";
import type { SqlDialect } from "./dialect.ts";
import { acquireLease, adoptStore, claimOrphan, releaseLease } from "./job-commands.ts";
import type { CommandLock } from "./locks.ts";
import { deleteManifest, deleteTag, putManifest } from "./manifest-commands.ts";
import { only, type Plan } from "./plan.ts";
import { recordPulls, touch } from "./upkeep-commands.ts";
import { acquireUpload, createUpload, deleteUpload, saveUpload } from "./upload-commands.ts";

type CommandPlans = {
  readonly [K in CommandName]: (
    ctx: CommandContext,
    input: CommandInput<K>,
  ) => Plan<CommandResult<K>>;
};

const plans: CommandPlans = {
  createUpload,
  acquireUpload,
  saveUpload,
  deleteUpload,
  commitUpload,
  mountBlob,
  deleteBlob,
  markBlobMissing,
  putManifest,
  deleteManifest,
  deleteTag,
  touch,
  confirmBlob,
  claimBlob,
  claimOrphan,
  deleteClaimedBlob,
  acquireLease,
  releaseLease,
  adoptStore,
  recordPulls,
};

/**
 * What a command waits for before it begins: those that change what a repository holds, and those
 * that ask what time it is. The others rely on one row each, which they change in one statement, or
 * hold.
 */
const locks: { readonly [K in CommandName]?: (input: CommandInput<K>) => CommandLock } = {
  acquireUpload: ({ id }) => ({ upload: id }),
  saveUpload: ({ id }) => ({ upload: id }),
  commitUpload: ({ id }) => ({ repositoryOfUpload: id }),
  mountBlob: ({ repository }) => ({ repository }),
  deleteBlob: ({ repository }) => ({ repository }),
  putManifest: ({ digest, repository }) => ({ repository, digest }),
  deleteManifest: ({ digest, repository }) => ({ repository, digest }),
  deleteTag: ({ repository }) => ({ repository }),
  acquireLease: ({ name }) => ({ lease: name }),
};

/**
 * Commands whose loss in a power cut is no broken promise: an upload is then unknown or further
 * back, and nobody was told 201. They need not wait for the disk; the next command that must takes
 * them along.
 */
const relaxed: ReadonlySet<CommandName> = new Set([
  "createUpload",
  "acquireUpload",
  "saveUpload",
  "deleteUpload",
  "recordPulls",
]);

export function mustSync(name: CommandName): boolean {
  return !relaxed.has(name);
}

/** A command as a plan: its lock and the clock first, then the command itself. */
export function* commandPlan<K extends CommandName>(
  dialect: SqlDialect,
  name: K,
  input: CommandInput<K>,
): Plan<CommandResult<K>> {
  const db = dialect.builder;
  const lock: ((input: CommandInput<K>) => CommandLock) | undefined = locks[name];
  const clock = yield* only(dialect.begin(lock?.(input)));
  const plan: (ctx: CommandContext, input: CommandInput<K>) => Plan<CommandResult<K>> = plans[name];
  return yield* plan({ db, dialect, now: clock.now }, input);
}
