/**
 * `npm run bench [-- ROW... --quick --out FILE --write docs/benchmarks.md]`: Longshore side by
 * side with Debian's `docker-registry`, in one run, on one filesystem. `docs/benchmarks.md` says
 * how and why.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Bench } from "./bench.ts";
import { between, calibrate } from "./calibration.ts";
import { compileTools } from "./load/tools.ts";
import { MEMORY_FILESYSTEM, loadAverage, machine } from "./machine.ts";
import { planFor } from "./plan.ts";
import { markdown, terminal, verdicts } from "./report.ts";
import type { Run } from "./report.ts";
import type { Line, Role } from "./results.ts";
import { images } from "./rows/images.ts";
import { layerPulls, layerPushes } from "./rows/layers.ts";
import { lists, referrers } from "./rows/lists.ts";
import { memory, wholeRun } from "./rows/memory.ts";
import { postgres } from "./rows/postgres.ts";
import { manifests, smallBlobs } from "./rows/reads.ts";
import { s3 } from "./rows/s3.ts";
import { slowDisk } from "./rows/slow-disk.ts";
import { start } from "./rows/start.ts";
import { workers } from "./rows/workers.ts";
import { SIDE_NAMES, isFromSource, versionOf } from "./servers/sides.ts";
import type { SideName } from "./servers/sides.ts";

const ROWS: ReadonlyMap<string, (bench: Bench) => Promise<readonly Line[]>> = new Map([
  ["manifests", manifests],
  ["small-blobs", smallBlobs],
  ["lists", lists],
  ["referrers", referrers],
  ["images", images],
  ["slow-disk", slowDisk],
  ["layer-pushes", layerPushes],
  ["layer-pulls", layerPulls],
  ["memory", memory],
  ["start", start],
  ["s3", s3],
  ["postgres", postgres],
  ["workers", workers],
]);

const USAGE = `npm run bench -- [ROW...] [options]

  rows        ${[...ROWS.keys()].join(" ")}
  --quick     less than three minutes, for a first look; not for conclusions
  --out F     the whole run as JSON
  --write F   replaces the results in a Markdown file (docs/benchmarks.md)
  --dir D     where the servers store: a folder on a real disk with 25 GB free
  --sides A,B which registries: ${SIDE_NAMES.join(", ")}; the same one twice shows the noise
`;

/** Git-ignored, and on the disk where the project lies. */
const DEFAULT_DIRECTORY = "data/bench";

/** What a shell reports of a program that ^C ended. */
const INTERRUPTED = 130;

const BLOCK = /(<!-- results -->\n)[\s\S]*(<!-- \/results -->)/;

/** Others' work on the same cores makes a run worthless; less than this is the machine's own. */
const LOAD_MAX = 0.5;

interface Arguments {
  readonly rows: readonly string[];
  readonly quick: boolean;
  readonly directory: string;
  readonly sides: Readonly<Record<Role, SideName>>;
  readonly out?: string;
  readonly write?: string;
}

function readArguments(): Arguments | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
      out: { type: "string" },
      write: { type: "string" },
      dir: { type: "string", default: DEFAULT_DIRECTORY },
      sides: { type: "string", default: SIDE_NAMES.join(",") },
    },
  });
  if (values.help) return undefined;
  if (values.write !== undefined && !BLOCK.test(readFileSync(values.write, "utf8"))) {
    throw new Error(`${values.write} has no place for results`);
  }
  const unknown = positionals.find((row) => !ROWS.has(row));
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}`);
  const [subject, yardstick] = values.sides
    .split(",")
    .map((name) => SIDE_NAMES.find((known) => known === name));
  if (subject === undefined || yardstick === undefined) throw new Error("--sides wants two names");
  return {
    rows: positionals.length > 0 ? positionals : [...ROWS.keys()],
    quick: values.quick,
    directory: resolve(values.dir),
    sides: { subject, yardstick },
    ...(values.out !== undefined && { out: values.out }),
    ...(values.write !== undefined && { write: values.write }),
  };
}

async function runRows(
  bench: Bench,
  rows: readonly string[],
): Promise<Pick<Run, "lines" | "failures">> {
  const lines: Line[] = [];
  const failures: string[] = [];
  const begun = performance.now();
  for (const row of rows) {
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    process.stderr.write(`${row} (${seconds} s)\n`);
    bench.beginRow(row);
    try {
      lines.push(...((await ROWS.get(row)?.(bench)) ?? []));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      process.stderr.write(`  failed: ${reason}\n`);
      failures.push(`${row}: ${reason}`);
    }
    await bench.endRow();
  }
  await bench.close();
  if (bench.peaks.length > 0) lines.push(wholeRun(bench));
  return { lines, failures };
}

async function measure(bench: Bench, args: Arguments, directory: string): Promise<Run> {
  const begun = performance.now();
  const names = {
    subject: `${args.sides.subject} ${versionOf(args.sides.subject)}`,
    yardstick: `${args.sides.yardstick} ${versionOf(args.sides.yardstick)}`,
  };
  const begin = await calibrate(bench);
  const measured = await runRows(bench, args.rows);
  const end = await calibrate(bench);
  return {
    machine: machine(directory),
    plan: bench.plan,
    rows: args.rows,
    names,
    begin,
    end,
    calibration: between(begin, end),
    ...measured,
    minutes: (performance.now() - begun) / 60_000,
  };
}

function warn(args: Arguments, directory: string): void {
  if (isFromSource(args.sides.subject)) {
    process.stderr.write(
      "warning: dist/ is absent or older than src/: run `npm run build` first\n",
    );
  }
  if (machine(directory).filesystem === MEMORY_FILESYSTEM) {
    process.stderr.write("warning: --dir lies in memory, where a sync costs nothing\n");
  }
  if (loadAverage() > LOAD_MAX) {
    process.stderr.write("warning: this machine is busy with something else\n");
  }
}

function publish(run: Run, args: Arguments): void {
  process.stdout.write(terminal(run));
  if (args.out !== undefined) {
    mkdirSync(dirname(resolve(args.out)), { recursive: true });
    const all = { ...run, verdicts: verdicts(run) };
    writeFileSync(args.out, `${JSON.stringify(all, undefined, 2)}\n`);
  }
  if (args.write !== undefined) {
    const page = readFileSync(args.write, "utf8");
    const block = markdown(run);
    writeFileSync(
      args.write,
      page.replace(BLOCK, (_, before: string, after: string) => `${before}\n${block}\n${after}`),
    );
  }
}

async function main(): Promise<void> {
  const args = readArguments();
  if (args === undefined) {
    process.stdout.write(USAGE);
    return;
  }
  mkdirSync(args.directory, { recursive: true });
  const directory = mkdtempSync(join(args.directory, "run-"));
  const toolsDirectory = join(directory, "tools");
  mkdirSync(toolsDirectory);
  const tools = compileTools(toolsDirectory);
  const plan = planFor(args.quick);
  const bench = new Bench({ plan, tools, sides: args.sides, directory });
  const cleanUp = async (): Promise<void> => {
    await bench.kill();
    rmSync(directory, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(INTERRUPTED)));
  }
  try {
    warn(args, directory);
    const run = await measure(bench, args, directory);
    publish(run, args);
    if (run.failures.length > 0) process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}

try {
  await main();
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`bench: ${reason}\n`);
  process.exitCode = 1;
}
