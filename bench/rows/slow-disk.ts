/**
 * Do readers notice that writers wait for a slow disk? A shim in front of libc's fsync makes it
 * slow.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench, Own } from "../bench.ts";
import { read } from "../load/tools.ts";
import type { Line, Role, Sample, Samples } from "../results.ts";
import { MANIFEST_TYPE, seedImages } from "../seed.ts";
import { pushImages } from "./images.ts";

const FSYNC_MS = 8;
const CLIENTS = 8;
const PROBE_PER_S = 200;
const PROBE_CONNECTIONS = 32;
const QUIET_S = 1.5;

/** The pushing process has to start first. */
const PROBE_AFTER_MS = 700;

/** One server behind the shim, and what its rounds came to. */
interface Slowed extends Own {
  readonly paths: readonly string[];
  readonly countFile: string;
  readonly rates: Sample[];
  images: number;
  syncs: number;
}

export async function slowDisk(bench: Bench): Promise<readonly Line[]> {
  bench.progress("preparing");
  const slowed = {
    subject: await startSlowed(bench, "subject"),
    yardstick: await startSlowed(bench, "yardstick"),
  };
  const { slowDiskRounds } = bench.plan;
  bench.progress(`GETs beside pushes, with ${FSYNC_MS} ms for each sync`);
  const during = await interleave(slowDiskRounds, (role) => round(bench, slowed[role]));
  bench.progress("GETs alone");
  const quiet = await interleave(slowDiskRounds, async (role) => ({
    value: await probe(bench, slowed[role], QUIET_S),
  }));
  for (const role of ROLES) {
    await slowed[role].stop();
    slowed[role].remove();
  }
  const rates = { subject: slowed.subject.rates, yardstick: slowed.yardstick.rates };
  const notes = ROLES.map((role) => note(bench.sides[role], slowed[role]));
  const comparable = ROLES.every((role) => slowed[role].syncs > 0);
  return lines({ during, quiet, rates }, { notes, incomparable: !comparable });
}

function lines(
  { during, quiet, rates }: Readonly<Record<"during" | "quiet" | "rates", Samples>>,
  { notes, incomparable }: { readonly notes: readonly string[]; readonly incomparable: boolean },
): readonly Line[] {
  const common = { row: "slow-disk", incomparable };
  const probes = { ...common, unit: "ms", moreIsBetter: false };
  return [
    {
      ...probes,
      work: `p99 of GETs at ${PROBE_PER_S}/s beside ${CLIENTS} pushing clients, slow syncs`,
      samples: during,
      targets: [{ kind: "atMost", value: 5, scale: "http" }],
      notes,
    },
    { ...probes, work: "the same p99 with nobody pushing", samples: quiet },
    {
      ...common,
      work: `small image, 13 requests, ${CLIENTS} clients, slow syncs`,
      unit: "images/s",
      moreIsBetter: true,
      cpuUnit: "ms/image",
      samples: rates,
    },
  ];
}

async function startSlowed(bench: Bench, role: Role): Promise<Slowed> {
  const countFile = join(bench.tools.directory, `syncs-${role}`);
  const env = {
    LD_PRELOAD: bench.tools.slowFsync,
    BENCH_FSYNC_US: `${FSYNC_MS * 1000}`,
    BENCH_FSYNC_COUNT: countFile,
  };
  const own = await bench.own(role, { env });
  const paths = (await seedImages(own.server.port, 20)).byTag;
  await pushImages(own.server.port, CLIENTS, bench.plan.warmUpS);
  return { ...own, paths, countFile, rates: [], images: 0, syncs: 0 };
}

/** The probe begins and ends while the pushes go on. */
async function round(bench: Bench, slowed: Slowed): Promise<Sample> {
  const seconds = bench.plan.slowDiskWindowS;
  const pushes = withCpu(slowed.server, 1000, async () => {
    const before = syncs(slowed);
    const pushed = await pushImages(slowed.server.port, CLIENTS, seconds + 1);
    slowed.images += pushed.images;
    slowed.syncs += syncs(slowed) - before;
    return { value: pushed.images / pushed.seconds, units: pushed.images };
  });
  const reads = sleep(PROBE_AFTER_MS).then(() => probe(bench, slowed, seconds - 1));
  const [value, rate] = await Promise.all([reads, pushes]);
  slowed.rates.push(rate);
  return { value };
}

/**
 * The p99 of an open loop of GETs: a stalled server cannot slow the loop down and so hide the
 * stall.
 */
async function probe(bench: Bench, { server, paths }: Slowed, seconds: number): Promise<number> {
  const result = await read(bench.tools, {
    port: server.port,
    connections: PROBE_CONNECTIONS,
    paths,
    accept: MANIFEST_TYPE,
    seconds,
    ratePerS: PROBE_PER_S,
  });
  return result.p99Ms;
}

/** How many syncs the shim has made slow so far. */
function syncs({ countFile }: Slowed): number {
  return existsSync(countFile) ? Number(readFileSync(countFile).readBigUInt64LE()) : 0;
}

function note(name: string, { images, syncs: all }: Slowed): string {
  if (all === 0) return `${name} was not slowed, it syncs without libc: see its other rows only`;
  const each = (all / images).toFixed(1);
  return `${name}: ${each} syncs for each image of ${CLIENTS} clients, each ${FSYNC_MS} ms longer`;
}
