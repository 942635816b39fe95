/** `longshore metadata copy`: moves a registry's metadata to another database. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import type { CopyPlace, CopyResult } from "../metadata/copy/copy.ts";
import { CopyMeter } from "./copy-meter.ts";

const usage = `Usage:
  longshore metadata copy --from PLACE --to PLACE [--dry-run] [--start-over]

Copies a registry's metadata into an empty database, and compares both at the end. The registry must
be stopped. Whatever ends the copy, run it again: it goes on where it was. --from is not changed.

  PLACE         sqlite:PATH, postgres://user@host:5432/database?sslmode=verify-full,
                or config:FILE for the database that a config file names
  --dry-run     looks whether it can be done, and what there is to copy; changes nothing
  --start-over  discards what an unfinished copy has left in --to, and begins anew

A password is better in PGPASSWORD, or in a config file, than in PLACE: others see arguments.

Exit codes: 0 copied, or copied before; 1 not done, run it again; 2 wrong arguments;
3 the databases differ, add --start-over.
`;

const exitCodes = { failed: 1, usage: 2, differs: 3 } as const;

const options = {
  from: { type: "string" },
  to: { type: "string" },
  "dry-run": { type: "boolean", default: false },
  "start-over": { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const satisfies ParseArgsConfig["options"];

class UsageError extends Error {}

export async function runMetadata(args: readonly string[]): Promise<void> {
  try {
    const text = await run(args);
    process.stdout.write(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const name = error instanceof Error ? error.name : "";
    process.stderr.write(`longshore: ${message}\n`);
    if (error instanceof UsageError) process.stderr.write(`\n${usage}`);
    if (error instanceof UsageError) process.exitCode = exitCodes.usage;
    else process.exitCode = name === "CopyDiffers" ? exitCodes.differs : exitCodes.failed;
  }
}

/** Resolves with what is to be said at the end. */
async function run([command, ...args]: readonly string[]): Promise<string> {
  if (command === "--help" || command === "-h") return usage;
  if (command !== "copy") throw new UsageError(`unknown: metadata ${command ?? ""}`.trim());
  const { from, help, to, ...flags } = parse(args);
  if (help) return usage;
  if (from === undefined || to === undefined) throw new UsageError("--from and --to are needed");
  const places = { from: await placeOf("--from", from), to: await placeOf("--to", to) };
  const { copyMetadata } = await import("../metadata/copy/copy.ts");
  const stop = new AbortController();
  const signals = ["SIGINT", "SIGTERM"] as const;
  // A second one ends the process at once, as it would without us; the copy bears that too.
  for (const signal of signals) process.once(signal, () => stop.abort());
  const meter = new CopyMeter(process.stderr, () => performance.now());
  try {
    const result = await copyMetadata({
      ...places,
      dryRun: flags["dry-run"],
      startOver: flags["start-over"],
      news: (news) => meter.tell(news),
      signal: stop.signal,
      now: () => performance.now(),
      random: Math.random,
    });
    return closingWords(result);
  } finally {
    meter.close();
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function placeOf(option: string, text: string): Promise<CopyPlace> {
  const kind = /^([a-z]+):/.exec(text)?.[1];
  if (kind === "sqlite") return { sqlite: { path: text.slice("sqlite:".length) } };
  if (kind === "postgres" || kind === "postgresql") return { postgres: { url: text } };
  if (kind === "config") return await placeInConfig(text.slice("config:".length));
  // Not quoted: there may be a password in it.
  throw new UsageError(`${option} must begin with sqlite:, postgres:// or config:`);
}

async function placeInConfig(file: string): Promise<CopyPlace> {
  const { readConfig } = await import("./read-config.ts");
  const { metadataPlace } = await import("../app-metadata.ts");
  const { metadata, storage } = await readConfig(file);
  if (metadata === undefined && storage === "memory") {
    throw new Error(`${file} names no database: with the memory storage there is none to copy`);
  }
  return await metadataPlace(metadata, storage);
}

function closingWords({ outcome, rows, store }: CopyResult): string {
  const count = rows.toLocaleString("en");
  if (outcome === "possible") return `${count} rows can be copied; nothing was changed\n`;
  if (outcome === "alreadyDone") return `An earlier run has copied all ${count} rows.\n`;
  const marker = store === undefined ? "" : markerWords(store);
  return `${count} rows copied, and found equal in both databases.\n${marker}`;
}

/** Until the storage knows of the new database the registry serves, and deletes no bytes. */
function markerWords({ epoch, id }: NonNullable<CopyResult["store"]>): string {
  return [
    "",
    "Start the registry with the new database. When it serves what it should, hand the storage",
    "over to it, so that it may delete what is not used any more. Write",
    "",
    `  ${JSON.stringify({ store: id, epoch })}`,
    "",
    "to longshore/store.json in the storage's root, and start the registry once more. From then",
    "on the old database deletes nothing there, should it ever be started again.",
    "",
  ].join("\n");
}
