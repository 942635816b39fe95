/** Large layers, in and out. A GB is 1,000,000,000 bytes. */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench } from "../bench.ts";
import { pushWith, read } from "../load/tools.ts";
import { LAYER_BYTES } from "../plan.ts";
import type { Line, Role, Target } from "../results.ts";
import { seedBlobs } from "../seed.ts";
import type { Server } from "../servers/server.ts";

const GB = 1e9;
const PUSH_NUMBERS = ["bytes", "seconds", "cpuSeconds"] as const;

/** A pull window is this many layers for each stream, so that it lasts longer than a clock tick. */
const LAYERS_PER_STREAM = 3;

type Mode = "put" | "patch";

/** Which servers a line is measured on, and what it is called and has to reach. */
export interface LayerLine {
  readonly servers: (role: Role) => Promise<Server>;
  readonly row: string;
  readonly work: string;
  readonly targets: readonly Target[];
}

export async function layerPushes(bench: Bench): Promise<readonly Line[]> {
  const targets: readonly Target[] = [
    { kind: "ratio", atLeast: 2 },
    { kind: "cpu", value: 1.2, scale: "sha256" },
  ];
  const line = { servers: bench.shared.bind(bench), row: "layer-pushes", targets };
  const work = "push of a 256 MiB layer";
  return [
    await pushLine(bench, "put", { ...line, work: `${work}, POST + PUT` }),
    await pushLine(bench, "patch", { ...line, work: `${work}, streamed PATCH` }),
  ];
}

export async function pushLine(bench: Bench, mode: Mode, line: LayerLine): Promise<Line> {
  const { row, servers, targets, work } = line;
  bench.progress(work);
  const push = async (role: Role) => {
    const server = await servers(role);
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
  return { ...throughput(row, work), samples, targets };
}

export async function layerPulls(bench: Bench): Promise<readonly Line[]> {
  const line = { servers: bench.shared.bind(bench), row: "layer-pulls" };
  const cpu: Target = { kind: "cpu", value: 0.4, scale: "file" };
  const paths = await seedPulls(line.servers);
  return [
    await pullLine(bench, paths, {
      ...line,
      work: "pull of a 256 MiB layer, 1 stream",
      streams: 1,
      targets: [{ kind: "ratio", atLeast: 0.9 }, cpu],
    }),
    await pullLine(bench, paths, {
      ...line,
      work: "pull of a 256 MiB layer, 4 streams",
      streams: 4,
      targets: [{ kind: "ratio", atLeast: 1 }, cpu],
    }),
  ];
}

export type PullPaths = Readonly<Record<Role, readonly string[]>>;

/** One large layer on each side. */
export async function seedPulls(servers: LayerLine["servers"]): Promise<PullPaths> {
  const paths: Record<Role, readonly string[]> = { subject: [], yardstick: [] };
  const blob = { repository: "bench/pulls", count: 1, bytes: LAYER_BYTES };
  for (const role of ROLES) paths[role] = await seedBlobs((await servers(role)).port, blob);
  return paths;
}

export async function pullLine(
  bench: Bench,
  paths: PullPaths,
  line: LayerLine & { readonly streams: number },
): Promise<Line> {
  const { row, servers, streams, targets, work } = line;
  bench.progress(work);
  const pull = async (role: Role) => {
    const server = await servers(role);
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
  return { ...throughput(row, work), samples, targets };
}

function throughput(
  row: string,
  work: string,
): Pick<Line, "row" | "work" | "unit" | "moreIsBetter" | "cpuUnit"> {
  return { row, work, unit: "GB/s", moreIsBetter: true, cpuUnit: "s/GB" };
}
