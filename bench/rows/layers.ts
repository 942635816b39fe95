/** Large layers, in and out. A GB is 1,000,000,000 bytes. */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench } from "../bench.ts";
import { pushWith, read } from "../load/tools.ts";
import { LAYER_BYTES } from "../plan.ts";
import type { Line, Role, Target } from "../results.ts";
import { seedBlobs } from "../seed.ts";

const GB = 1e9;
const PUSH_NUMBERS = ["bytes", "seconds", "cpuSeconds"] as const;

/** A pull window is this many layers for each stream, so that it lasts longer than a clock tick. */
const LAYERS_PER_STREAM = 3;

type Mode = "put" | "patch";

export async function layerPushes(bench: Bench): Promise<readonly Line[]> {
  return [
    await pushLine(bench, "put", "push of a 256 MiB layer, POST + PUT"),
    await pushLine(bench, "patch", "push of a 256 MiB layer, streamed PATCH"),
  ];
}

async function pushLine(bench: Bench, mode: Mode, work: string): Promise<Line> {
  bench.progress(work);
  const push = async (role: Role) => {
    const server = await bench.shared(role);
    const repository = "bench/layers";
    const options = { port: server.port, streams: 1, bytes: LAYER_BYTES, mode, repository };
    return withCpu(server, 1, async () => {
      const pushed = await pushWith("push-layers.ts", options, PUSH_NUMBERS);
      const units = pushed.bytes / GB;
      return { value: units / pushed.seconds, units, clientCpuSeconds: pushed.cpuSeconds };
    });
  };
  for (const role of ROLES) await push(role);
  const samples = await interleave(bench.plan.layerRounds, push);
  const targets: readonly Target[] = [
    { kind: "ratio", atLeast: 2 },
    { kind: "cpu", value: 1.2, scale: "sha256" },
  ];
  return { ...throughput("layer-pushes", work), samples, targets };
}

export async function layerPulls(bench: Bench): Promise<readonly Line[]> {
  const paths: Record<Role, readonly string[]> = { subject: [], yardstick: [] };
  const blob = { repository: "bench/pulls", count: 1, bytes: LAYER_BYTES };
  for (const role of ROLES) paths[role] = await seedBlobs((await bench.shared(role)).port, blob);
  return [
    await pullLine(bench, paths, { streams: 1, ratio: 0.9 }),
    await pullLine(bench, paths, { streams: 4, ratio: 1 }),
  ];
}

async function pullLine(
  bench: Bench,
  paths: Readonly<Record<Role, readonly string[]>>,
  { streams, ratio }: { readonly streams: number; readonly ratio: number },
): Promise<Line> {
  const work = `pull of a 256 MiB layer, ${streams} stream${streams === 1 ? "" : "s"}`;
  bench.progress(work);
  const pull = async (role: Role) => {
    const server = await bench.shared(role);
    const count = streams * LAYERS_PER_STREAM;
    return withCpu(server, 1, async () => {
      const { port } = server;
      const load = { port, connections: streams, paths: paths[role], count };
      const { bytes, seconds, cpuSeconds } = await read(bench.tools, load);
      const units = bytes / GB;
      return { value: units / seconds, units, clientCpuSeconds: cpuSeconds };
    });
  };
  for (const role of ROLES) await pull(role);
  const samples = await interleave(bench.plan.rounds, pull);
  const targets: readonly Target[] = [
    { kind: "ratio", atLeast: ratio },
    { kind: "cpu", value: 0.4, scale: "file" },
  ];
  return { ...throughput("layer-pulls", work), samples, targets };
}

function throughput(
  row: string,
  work: string,
): Pick<Line, "row" | "work" | "unit" | "moreIsBetter" | "cpuUnit"> {
  return { row, work, unit: "GB/s", moreIsBetter: true, cpuUnit: "s/GB" };
}
