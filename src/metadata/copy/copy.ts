/**
 * Moves a registry's metadata from one database to another: table by table, a page of rows in each
 * transaction, together with how far it came. So it may be ended at any moment, and goes on where
 * it was. At the end both databases are read from their beginning and compared; only then a
 * registry may open the target.
 */
import { resolve } from "node:path";
import type { PostgresOptions } from "../postgres/postgres-options.ts";
import { migrations } from "../sql/migrations.ts";
import { CopyDiffers, CopyRefused, type CopyDatabase } from "./copy-database.ts";
import {
  beginJournal,
  discardCopy,
  finishJournal,
  occupiedTable,
  readJournal,
  schemaVersion,
  writeJournal,
  type Journal,
  type SourceState,
  type TableProgress,
} from "./copy-journal.ts";
import { makeSqliteDatabase, openSqliteForCopy, sqliteFileExists } from "./sqlite-copy-database.ts";
import { digestTable } from "./table-digest.ts";
import { readPages } from "./table-pages.ts";
import { copiedTables, type CopiedTable } from "./tables.ts";

export type CopyPlace =
  | { readonly sqlite: { readonly path: string } }
  | { readonly postgres: PostgresOptions };

/** What somebody who waits wants to know. */
export type CopyNews =
  | { readonly kind: "opened"; readonly from: string; readonly to: string }
  /** What is to be copied yet, and what was copied before. */
  | { readonly kind: "begun"; readonly rows: number; readonly copiedBefore: number }
  | { readonly kind: "rows"; readonly step: "copy" | "check"; readonly rows: number }
  | {
      readonly kind: "table";
      readonly step: "copy" | "check";
      readonly table: string;
      readonly rows: number;
    };

export interface CopyOptions {
  readonly from: CopyPlace;
  readonly to: CopyPlace;
  /** Looks whether it could be done, and changes nothing. */
  readonly dryRun: boolean;
  /** Takes back what an earlier copy has left unfinished, and begins from the first row. */
  readonly startOver: boolean;
  readonly news: (news: CopyNews) => void;
  /** Ends it after the page that is being written. */
  readonly signal: AbortSignal;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** From 0 up to 1, without 1. */
  readonly random: () => number;
}

export interface CopyResult {
  /** `alreadyDone`: an earlier run has finished it. */
  readonly outcome: "copied" | "alreadyDone" | "possible";
  readonly rows: number;
  /** Which storage root the target now belongs to. */
  readonly store: { readonly id: string; readonly epoch: number } | undefined;
}

interface Total {
  readonly rows: number;
  readonly byTable: Readonly<Record<string, number>>;
}

/** Throws `CopyRefused`, which says what to do, or what the databases throw. */
export async function copyMetadata(options: CopyOptions): Promise<CopyResult> {
  const { dryRun, from, news, now, to } = options;
  refuseSame(from, to);
  const source = await openSource(from, now);
  try {
    await checkVersion(source);
    if (!dryRun) await source.holdStill();
    const state = await sourceState(source);
    const target = await openTarget(to, now);
    let found: TargetState;
    try {
      found = await judge(target, { source: state, startOver: options.startOver });
      news({ kind: "opened", from: source.label, to: target?.label ?? labelOf(to) });
      const total = await countRows(source);
      if (found === "done") return { outcome: "alreadyDone", rows: total.rows, store: undefined };
      if (dryRun) return { outcome: "possible", rows: total.rows, store: undefined };
      if (target !== undefined && found === "discard") await discardCopy(target);
    } finally {
      await target?.close();
    }
    if (found !== "resume") await bringUpToDate(options);
    const ready = await openTarget(to, now);
    if (ready === undefined) throw new Error(`${labelOf(to)} is not there any more`);
    try {
      if (found !== "resume") await beginJournal(ready, newJournal(state));
      return await copyInto(ready, source, options);
    } finally {
      await ready.close();
    }
  } finally {
    await source.close();
  }
}

/** What this code makes of a database. */
const knownVersion = Math.max(...migrations.map(({ version }) => version));

async function openSource(place: CopyPlace, now: () => number): Promise<CopyDatabase> {
  const source = await openTarget(place, now);
  if (source !== undefined) return source;
  throw new CopyRefused(`${labelOf(place)}: there is no such file; --from is what is copied`);
}

/** `undefined` for a file that is not there yet. */
async function openTarget(place: CopyPlace, now: () => number): Promise<CopyDatabase | undefined> {
  if ("sqlite" in place) {
    const { path } = place.sqlite;
    return sqliteFileExists(path) ? openSqliteForCopy(path) : undefined;
  }
  const { openPostgresForCopy } = await import("./postgres-copy-database.ts");
  return await openPostgresForCopy(place.postgres, now);
}

function labelOf(place: CopyPlace): string {
  return "sqlite" in place ? `sqlite:${place.sqlite.path}` : "the PostgreSQL database";
}

function refuseSame(from: CopyPlace, to: CopyPlace): void {
  if (!("sqlite" in from && "sqlite" in to)) return;
  if (resolve(from.sqlite.path) !== resolve(to.sqlite.path)) return;
  throw new CopyRefused("--from and --to are the same database");
}

async function checkVersion(source: CopyDatabase): Promise<void> {
  const version = await schemaVersion(source);
  if (version === undefined) {
    throw new CopyRefused(`${source.label} is no database of Longshore: it has no migrations`);
  }
  if ((await readJournal(source))?.finished === false) {
    throw new CopyRefused(`${source.label} is itself an unfinished copy: finish that one first`);
  }
  if (version === knownVersion) return;
  const remedy =
    version < knownVersion
      ? "start the registry on it once with this version of Longshore, which brings it up to " +
        "date, stop it, and run this again"
      : "use the version of Longshore that it was last used with";
  throw new CopyRefused(
    `${source.label} is of schema version ${version}, and this Longshore works with ` +
      `${knownVersion}: ${remedy}`,
  );
}

async function sourceState(source: CopyDatabase): Promise<SourceState> {
  const [store] = await source.query("select id, epoch from store");
  const lastNumbers = await source.lastNumbers();
  if (store === undefined) return { lastNumbers };
  return { lastNumbers, store: { id: String(store["id"]), epoch: Number(store["epoch"]) } };
}

type TargetState = "new" | "resume" | "discard" | "done";

/** What lies in the target, and what that means for this copy. */
async function judge(
  target: CopyDatabase | undefined,
  { source, startOver }: { readonly source: SourceState; readonly startOver: boolean },
): Promise<TargetState> {
  if (target === undefined) return "new";
  const journal = await readJournal(target);
  if (journal === undefined) {
    const occupied = await occupiedTable(target);
    if (occupied === undefined) return "new";
    throw new CopyRefused(
      `${target.label} holds a registry's data already (in ${occupied}): name an empty database, ` +
        "or a schema of its own in it",
    );
  }
  const isSame = JSON.stringify(journal.source) === JSON.stringify(source);
  if (journal.finished) {
    if (isSame) return "done";
    throw new CopyRefused(
      `${target.label} holds a finished copy of another database, or of an earlier state of this ` +
        "one: name an empty database",
    );
  }
  if (startOver) return "discard";
  if (isSame && journal.version === knownVersion) return "resume";
  throw new CopyRefused(
    `${target.label} holds an unfinished copy of another database, of an earlier state of this ` +
      "one, or by another version: add --start-over to discard it and begin anew",
  );
}

function newJournal(source: SourceState): Journal {
  return { source, version: knownVersion, tables: {}, finished: false };
}

/** As a registry does at its start. */
async function bringUpToDate({ now, random, to }: CopyOptions): Promise<void> {
  if ("sqlite" in to) {
    makeSqliteDatabase(to.sqlite.path);
    return;
  }
  const { openPostgresStore } = await import("../postgres/postgres-store.ts");
  await (await openPostgresStore(to.postgres, { now, random })).close();
}

async function countRows(source: CopyDatabase): Promise<Total> {
  const byTable: Record<string, number> = {};
  for (const { name } of copiedTables) {
    const [row] = await source.query(`select count(*) as rows from ${name}`);
    byTable[name] = Number(row?.["rows"]);
  }
  return { byTable, rows: Object.values(byTable).reduce((sum, rows) => sum + rows, 0) };
}

async function copyInto(
  target: CopyDatabase,
  source: CopyDatabase,
  options: CopyOptions,
): Promise<CopyResult> {
  const { news } = options;
  const total = await countRows(source);
  let journal = await openJournal(target);
  const before = Object.values(journal.tables).reduce((sum, { rows }) => sum + rows, 0);
  news({ kind: "begun", rows: total.rows, copiedBefore: before });
  for (const table of copiedTables) {
    journal = await copyTable(table, journal, { target, source, options });
  }
  await target.analyze();
  await compare(target, source, options);
  const { store } = journal.source;
  const own = store === undefined ? undefined : { id: store.id, epoch: store.epoch + 1 };
  await target.transaction(async () => {
    await target.setLastNumbers(journal.source.lastNumbers);
    if (own !== undefined) {
      await target.query("insert into store (id, epoch) values (?, ?)", [own.id, own.epoch]);
    }
    await finishJournal(target, journal);
  });
  return { outcome: "copied", rows: total.rows, store: own };
}

async function openJournal(target: CopyDatabase): Promise<Journal> {
  const journal = await readJournal(target);
  if (journal === undefined) throw new Error(`${target.label} has lost its journal`);
  return journal;
}

interface Work {
  readonly target: CopyDatabase;
  readonly source: CopyDatabase;
  readonly options: CopyOptions;
}

/** Resolves with the journal as it then is. */
async function copyTable(
  table: CopiedTable,
  begun: Journal,
  { options, source, target }: Work,
): Promise<Journal> {
  const { news, signal } = options;
  let journal = begun;
  const known = journal.tables[table.name];
  const record = (progress: TableProgress): Journal => ({
    ...journal,
    tables: { ...journal.tables, [table.name]: progress },
  });
  let rows = known?.rows ?? 0;
  if (known?.done !== true) {
    for await (const page of readPages(source, table, known?.place)) {
      stopIfAsked(signal);
      rows += page.rows.length;
      const next = record({ rows, place: page.place });
      await target.transaction(async () => {
        await target.insert(table, page.rows);
        await writeJournal(target, next);
      });
      journal = next;
      news({ kind: "rows", step: "copy", rows: page.rows.length });
    }
    journal = record({ rows, done: true });
    await target.transaction(() => writeJournal(target, journal));
  }
  news({ kind: "table", step: "copy", table: table.name, rows });
  return journal;
}

/** Both databases have the same rows, from the first to the last. */
async function compare(
  target: CopyDatabase,
  source: CopyDatabase,
  { news, signal }: CopyOptions,
): Promise<void> {
  for (const table of copiedTables) {
    const seen = (rows: number): void => {
      stopIfAsked(signal);
      news({ kind: "rows", step: "check", rows });
    };
    const [ours, theirs] = await Promise.all([
      digestTable(source, table, seen),
      digestTable(target, table, () => undefined),
    ]);
    if (ours.rows !== theirs.rows || ours.digest !== theirs.digest) {
      throw new CopyDiffers(
        `${table.name} differs: ${ours.rows} rows (${ours.digest}) in ${source.label}, ` +
          `${theirs.rows} rows (${theirs.digest}) in ${target.label}. One of them was changed ` +
          "since the copy was begun: add --start-over to begin anew",
      );
    }
    news({ kind: "table", step: "check", table: table.name, rows: ours.rows });
  }
}

function stopIfAsked(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new CopyRefused("stopped: what was copied stays; run it again, and it goes on from there");
}
