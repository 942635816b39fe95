/**
 * How fast is this machine, now? Absolute targets were set on another one; a run measures the same
 * few things as were measured there, at its beginning and at its end, so that a reader can tell
 * what is the machine's part.
 */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, fdatasyncSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Bench } from "./bench.ts";
import { read } from "./load/tools.ts";
import { LAYER_BYTES } from "./plan.ts";
import type { Scale } from "./results.ts";
import { cpuSeconds } from "./servers/proc.ts";
import { median } from "./statistics.ts";

export interface Calibration {
  /** A bare `node:http` server with a fixed body of 1.2 KB, 16 connections. */
  readonly httpPerS: number;
  readonly httpCpuMs: number;
  /** Per second of one core's time, through node:crypto. */
  readonly sha256GBps: number;
  /** A 256 MiB file as the answer of a bare server, read in pieces of 1 MiB, one stream. */
  readonly fileGBps: number;
  readonly fileCpuSPerGB: number;
  /** Append 4 KiB and fdatasync. */
  readonly fdatasyncMs: number;
}

/** What the machine had on which the targets were set. */
export const REFERENCE: Calibration = {
  httpPerS: 84_000,
  httpCpuMs: 0.012,
  sha256GBps: 2,
  fileGBps: 2.7,
  fileCpuSPerGB: Number.NaN,
  fdatasyncMs: Number.NaN,
};

/** How many times slower than the reference this machine is, in what a target depends on. */
export function slowness(calibration: Calibration, scale: Scale): number {
  if (scale === "http") return calibration.httpCpuMs / REFERENCE.httpCpuMs;
  if (scale === "sha256") return REFERENCE.sha256GBps / calibration.sha256GBps;
  if (scale === "file") return REFERENCE.fileGBps / calibration.fileGBps;
  return 1;
}

/** By how much two calibrations differ at most, as a factor: was the machine ours alone? */
export function drift(a: Calibration, b: Calibration): number {
  const factors = (["http", "sha256", "file"] as const).map(
    (scale) => slowness(a, scale) / slowness(b, scale),
  );
  return Math.max(...factors.map((factor) => Math.max(factor, 1 / factor)));
}

/** The middle between the run's beginning and its end. */
export function between(a: Calibration, b: Calibration): Calibration {
  return {
    httpPerS: (a.httpPerS + b.httpPerS) / 2,
    httpCpuMs: (a.httpCpuMs + b.httpCpuMs) / 2,
    sha256GBps: (a.sha256GBps + b.sha256GBps) / 2,
    fileGBps: (a.fileGBps + b.fileGBps) / 2,
    fileCpuSPerGB: (a.fileCpuSPerGB + b.fileCpuSPerGB) / 2,
    fdatasyncMs: (a.fdatasyncMs + b.fdatasyncMs) / 2,
  };
}

const ROUNDS = 3;
const SHA256_BYTES = 64 * 1024 ** 2;
const SYNCS = 200;

export async function calibrate(bench: Bench): Promise<Calibration> {
  bench.progress("calibration");
  const file = join(bench.tools.directory, "calibration");
  writeFileSync(file, randomBytes(LAYER_BYTES));
  const bare = await startBare(file);
  try {
    const http = await bareHttp(bench, bare);
    const stream = await bareFile(bench, bare);
    const sha256GBps = median(Array.from({ length: ROUNDS }, sha256));
    return { ...http, ...stream, sha256GBps, fdatasyncMs: fdatasync(`${file}-sync`) };
  } finally {
    bare.stop();
    rmSync(file, { force: true });
  }
}

interface Bare {
  readonly pid: number;
  readonly port: number;
  readonly stop: () => void;
}

async function startBare(file: string): Promise<Bare> {
  const script = fileURLToPath(new URL("servers/bare.ts", import.meta.url));
  const child = spawn(process.execPath, [script, file], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once("data", (said: Buffer) => resolve(Number(said.toString())));
    child.once("exit", () => reject(new Error("the bare server did not start")));
  });
  return { pid: child.pid ?? 0, port, stop: () => void child.kill() };
}

async function bareHttp(
  bench: Bench,
  { pid, port }: Bare,
): Promise<Pick<Calibration, "httpPerS" | "httpCpuMs">> {
  const load = { port, connections: 16, paths: ["/small"] };
  await read(bench.tools, { ...load, seconds: bench.plan.warmUpS });
  const rates: number[] = [];
  const cpus: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = cpuSeconds(pid);
    const { requests, seconds } = await read(bench.tools, { ...load, seconds: bench.plan.windowS });
    rates.push(requests / seconds);
    cpus.push(((cpuSeconds(pid) - before) / requests) * 1000);
  }
  return { httpPerS: median(rates), httpCpuMs: median(cpus) };
}

async function bareFile(
  bench: Bench,
  { pid, port }: Bare,
): Promise<Pick<Calibration, "fileGBps" | "fileCpuSPerGB">> {
  const load = { port, connections: 1, paths: ["/file"], count: 3 };
  await read(bench.tools, load);
  const rates: number[] = [];
  const cpus: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = cpuSeconds(pid);
    const { bytes, seconds } = await read(bench.tools, load);
    rates.push(bytes / 1e9 / seconds);
    cpus.push((cpuSeconds(pid) - before) / (bytes / 1e9));
  }
  return { fileGBps: median(rates), fileCpuSPerGB: median(cpus) };
}

function sha256(): number {
  const bytes = randomBytes(SHA256_BYTES);
  const hash = createHash("sha256");
  const before = process.cpuUsage();
  for (let i = 0; i < 4; i += 1) hash.update(bytes);
  hash.digest();
  const { user, system } = process.cpuUsage(before);
  return (4 * SHA256_BYTES) / 1e9 / ((user + system) / 1e6);
}

function fdatasync(file: string): number {
  const fd = openSync(file, "w");
  const piece = randomBytes(4096);
  const times: number[] = [];
  for (let i = 0; i < SYNCS; i += 1) {
    writeSync(fd, piece);
    const begun = performance.now();
    fdatasyncSync(fd);
    times.push(performance.now() - begun);
  }
  closeSync(fd);
  rmSync(file);
  return median(times);
}
