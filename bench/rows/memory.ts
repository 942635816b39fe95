/**
 * How much memory large things take while they pass, and how much it was at most, all over the
 * run.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ROLES } from "../bench.ts";
import type { Bench, Own, Peak } from "../bench.ts";
import { pushWith, read } from "../load/tools.ts";
import { LAYER_BYTES } from "../plan.ts";
import type { Line, Role, Sample, Samples, Target } from "../results.ts";
import { MANIFEST_TYPE, seedBlobs, seedImages } from "../seed.ts";

const LAYERS = 8;
const READERS = 50;
const SETTLE_MS = 2000;

const ABOVE_IDLE: readonly Target[] = [{ kind: "atMost", value: 60, scale: "none" }];
const WHOLE_RUN: readonly Target[] = [{ kind: "atMost", value: 150, scale: "none" }];

const GIB = 1024 ** 3;

interface Measured {
  readonly layers: Sample;
  readonly readers: Sample;
  readonly note: string;
}

export async function memory(bench: Bench): Promise<readonly Line[]> {
  const measured = new Map<Role, Measured>();
  for (const role of ROLES) measured.set(role, await measureSide(bench, role));
  const of = (role: Role, what: "layers" | "readers"): readonly Sample[] => {
    const sample = measured.get(role)?.[what];
    return sample === undefined ? [] : [sample];
  };
  const pick = (what: "layers" | "readers"): Samples => ({
    subject: of("subject", what),
    yardstick: of("yardstick", what),
  });
  const size = bench.plan.bigLayerBytes / GIB;
  const common = { row: "memory", unit: "MiB", moreIsBetter: false, targets: ABOVE_IDLE };
  return [
    {
      ...common,
      work: `peak above idle while ${LAYERS} layers of ${size} GiB are pushed at once`,
      samples: pick("layers"),
      notes: ROLES.map((role) => measured.get(role)?.note ?? ""),
    },
    {
      ...common,
      work: `peak above idle with ${READERS} readers that stall in a 256 MiB blob`,
      samples: pick("readers"),
    },
  ];
}

async function measureSide(bench: Bench, role: Role): Promise<Measured> {
  bench.progress(`memory (${role})`);
  const own = await bench.own(role);
  const { server } = own;
  const fresh = server.memory().rssMiB;
  await warmUp(bench, own);
  await sleep(SETTLE_MS);
  const idle = server.memory().rssMiB;
  const layers = await peakDuring(own, () =>
    pushWith(
      "push-layers.ts",
      { port: server.port, streams: LAYERS, bytes: bench.plan.bigLayerBytes, mode: "patch" },
      ["seconds"],
    ),
  );
  const blob = { repository: "bench/stall", count: 1, bytes: LAYER_BYTES };
  const paths = await seedBlobs(server.port, blob);
  await sleep(SETTLE_MS);
  const load = { port: server.port, connections: READERS, paths, stall: true };
  const readers = await peakDuring(own, () =>
    read(bench.tools, { ...load, seconds: bench.plan.stallS }),
  );
  await own.stop();
  own.remove();
  const name = bench.sides[role];
  return {
    layers: { value: layers - idle },
    readers: { value: readers - idle },
    note:
      `${name}: ${mib(fresh)} just started, ${mib(idle)} idle after a short load, peaks ` +
      `${mib(layers)} (layers) and ${mib(readers)} (readers)`,
  };
}

function mib(value: number): string {
  return `${Math.round(value)} MiB`;
}

/**
 * Idle is the state of a server that has worked and rests, not of one that has not loaded its
 * code.
 */
async function warmUp(bench: Bench, { server }: Own): Promise<void> {
  const paths = (await seedImages(server.port, 20)).byTag;
  const load = { port: server.port, connections: 16, paths, accept: MANIFEST_TYPE };
  await read(bench.tools, { ...load, seconds: bench.plan.warmUpS });
  const options = { port: server.port, clients: 4, seconds: bench.plan.warmUpS };
  await pushWith("push-images.ts", options, ["images"]);
}

async function peakDuring({ server }: Own, work: () => Promise<unknown>): Promise<number> {
  server.resetPeak();
  await work();
  return server.memory().peakMiB;
}

/** Every server of the run counts, each with its own peak. */
export function wholeRun(bench: Bench): Line {
  const peaks = ROLES.map((role) => highest(bench, role));
  const [subject, yardstick] = peaks.map((peak) => (peak ? [{ value: peak.peakMiB }] : []));
  return {
    row: "memory",
    work: "peak of any server in the whole run",
    unit: "MiB",
    moreIsBetter: false,
    samples: { subject: subject ?? [], yardstick: yardstick ?? [] },
    targets: WHOLE_RUN,
    notes: peaks.flatMap((peak) =>
      peak ? `${bench.sides[peak.role]}: its highest peak came in the row ${peak.row}` : [],
    ),
  };
}

/** Of equals the first: the shared server's peak stays what it was in all later rows. */
function highest(bench: Bench, role: Role): Peak | undefined {
  const peaks = bench.peaks.filter((peak) => peak.role === role);
  return peaks.toSorted((a, b) => b.peakMiB - a.peakMiB)[0];
}
