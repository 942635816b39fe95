/**
 * The load generators, each a process of its own: the C program for reads, Node children for
 * pushes.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export interface Tools {
  readonly directory: string;
  /** The compiled load generator. */
  readonly load: string;
  /** The shared object that makes syncs slow. */
  readonly slowFsync: string;
}

export interface ReadLoad {
  readonly port: number;
  readonly connections: number;
  readonly paths: readonly string[];
  readonly method?: "GET" | "HEAD";
  readonly accept?: string;
  /** One of the two ends the run. */
  readonly seconds?: number;
  readonly count?: number;
  /** Requests per second of an open loop; closed loop without it. */
  readonly ratePerS?: number;
  /** Send one request on each connection, then read nothing. */
  readonly stall?: boolean;
}

export interface ReadResult {
  readonly requests: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const FIELDS = [
  "requests",
  "bytes",
  "seconds",
  "cpuSeconds",
  "p50Ms",
  "p90Ms",
  "p99Ms",
  "maxMs",
] as const satisfies readonly (keyof ReadResult)[];

/** Compiles the two C programs with the machine's own compiler. */
export function compileTools(directory: string): Tools {
  const load = join(directory, "load");
  const slowFsync = join(directory, "slow-fsync.so");
  compile("load.c", ["-o", load]);
  compile("slow-fsync.c", ["-shared", "-fPIC", "-o", slowFsync, "-ldl"]);
  return { directory, load, slowFsync };
}

/**
 * Runs a load of reads. Anything but 2xx, and any broken connection, is an error of the benchmark.
 */
export async function read(tools: Tools, load: ReadLoad): Promise<ReadResult> {
  const list = join(tools.directory, `paths-${randomUUID()}`);
  writeFileSync(list, `${load.paths.join("\n")}\n`);
  const args = ["-p", `${load.port}`, "-c", `${load.connections}`, "-f", list];
  args.push("-m", load.method ?? "GET");
  if (load.accept !== undefined) args.push("-H", `Accept: ${load.accept}`);
  if (load.seconds !== undefined) args.push("-s", `${load.seconds}`);
  if (load.count !== undefined) args.push("-n", `${load.count}`);
  if (load.ratePerS !== undefined) args.push("-r", `${load.ratePerS}`);
  if (load.stall === true) args.push("-S");
  const said = numbers(await run(tools.load, args), [...FIELDS, "refused", "errors"]);
  rmSync(list);
  if (said.refused > 0 || said.errors > 0) {
    const first = load.paths[0] ?? "";
    throw new Error(
      `${load.method ?? "GET"} ${first}: ${said.refused} refused, ${said.errors} broken`,
    );
  }
  return said;
}

/** Runs one of the push generators of this folder and returns the numbers that it prints. */
export async function pushWith<K extends string>(
  script: "push-images.ts" | "push-layers.ts",
  options: Readonly<Record<string, string | number>>,
  fields: readonly K[],
): Promise<Readonly<Record<K, number>>> {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  return numbers(await run(process.execPath, [file, ...args]), fields);
}

function compile(source: string, args: readonly string[]): void {
  const file = fileURLToPath(new URL(`../native/${source}`, import.meta.url));
  try {
    execFileSync("cc", ["-O2", file, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Error(`the benchmark needs a C compiler (cc) for ${source}`, { cause: error });
  }
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  const [out, complaints, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    }),
  ]);
  if (code === 0) return out;
  throw new Error(`a load generator ended with code ${code}: ${complaints.trim()}`);
}

function numbers<K extends string>(json: string, fields: readonly K[]): Record<K, number> {
  const said: unknown = JSON.parse(json);
  const known = new Map(Object.entries(typeof said === "object" && said !== null ? said : {}));
  const picked: Partial<Record<K, number>> = {};
  for (const field of fields) {
    const value: unknown = known.get(field);
    if (typeof value !== "number") throw new Error(`a load generator did not say ${field}`);
    picked[field] = value;
  }
  return picked as Record<K, number>;
}
