/**
 * `http.workers`: Longshore with two processes beside Longshore with one, on the same cores as the
 * load generator. Here the columns of both sides are Longshore.
 */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench, Work } from "../bench.ts";
import { read } from "../load/tools.ts";
import type { Line, Role, Target } from "../results.ts";
import { MANIFEST_TYPE, seedBlobs, seedImages } from "../seed.ts";
import type { Server } from "../servers/server.ts";
import { pushImages } from "./images.ts";

const GB = 1e9;
const IMAGES = 100;
const LAYER_BYTES = 64 * 1024 ** 2;

/** A pull window is this many layers for each stream, so that it lasts longer than a clock tick. */
const LAYERS_PER_STREAM = 6;

/** The curve: one connection, which one worker serves, up to more than the cores can use. */
const CONNECTIONS = [1, 2, 4, 8, 16];
const STREAMS = [1, 4];
const CLIENTS = [1, 8];

/** What has to be reached. Runs differ by a twentieth on their own. */
const JUDGED = { connections: 8, streams: 4 };
const NO_SLOWER: readonly Target[] = [{ kind: "ratio", atLeast: 0.95 }];

const BESIDE = "2 workers beside 1";

interface Pair {
  readonly servers: Readonly<Record<Role, Server>>;
  readonly manifests: Readonly<Record<Role, readonly string[]>>;
  readonly layers: Readonly<Record<Role, readonly string[]>>;
}

export async function workers(bench: Bench): Promise<readonly Line[]> {
  if (bench.sides.subject !== "longshore") throw new Error("this row is about Longshore");
  const two = await bench.own("subject", { workers: 2 });
  const one = await bench.own("subject", { workers: 1 });
  const servers = { subject: two.server, yardstick: one.server };
  const manifests: Record<Role, readonly string[]> = { subject: [], yardstick: [] };
  const layers: Record<Role, readonly string[]> = { subject: [], yardstick: [] };
  for (const role of ROLES) {
    const { port } = servers[role];
    manifests[role] = (await seedImages(port, IMAGES)).byTag;
    const blobs = { repository: "bench/workers", count: 1, bytes: LAYER_BYTES };
    layers[role] = await seedBlobs(port, blobs);
  }
  const pair = { servers, manifests, layers };
  const lines: Line[] = [];
  for (const count of CONNECTIONS) lines.push(await manifestLine(bench, pair, count));
  for (const count of STREAMS) lines.push(await pullLine(bench, pair, count));
  for (const count of CLIENTS) lines.push(await pushLine(bench, pair, count));
  // Not by `Own`: the peak of two processes is no peak of one.
  await Promise.all([two.server.stop(), one.server.stop()]);
  return lines;
}

function manifestLine(
  bench: Bench,
  { manifests, servers }: Pair,
  connections: number,
): Promise<Line> {
  const work = `${BESIDE}: GET manifest by tag, ${counted(connections, "connection")}`;
  const line = { work, unit: "requests/s", cpuUnit: "ms/request", scale: 1000 };
  const isJudged = connections === JUDGED.connections;
  return measured(bench, servers, { ...line, isJudged }, async (role, { port }) => {
    const seconds = bench.plan.windowS;
    const load = { port, connections, paths: manifests[role], accept: MANIFEST_TYPE, seconds };
    const { cpuSeconds, requests, ...took } = await read(bench.tools, load);
    return { value: requests / took.seconds, units: requests, clientCpuSeconds: cpuSeconds };
  });
}

function pullLine(bench: Bench, { layers, servers }: Pair, streams: number): Promise<Line> {
  const work = `${BESIDE}: pull of a 64 MiB layer, ${counted(streams, "stream")}`;
  const line = { work, unit: "GB/s", cpuUnit: "s/GB", scale: 1 };
  const isJudged = streams === JUDGED.streams;
  return measured(bench, servers, { ...line, isJudged }, async (role, { port }) => {
    const count = streams * LAYERS_PER_STREAM;
    const load = { port, connections: streams, paths: layers[role], count };
    const { bytes, cpuSeconds, seconds } = await read(bench.tools, load);
    return { value: bytes / GB / seconds, units: bytes / GB, clientCpuSeconds: cpuSeconds };
  });
}

/** Not to be reached: both processes wait for one database's lock, and for one disk. */
function pushLine(bench: Bench, { servers }: Pair, clients: number): Promise<Line> {
  const work = `${BESIDE}: small image, 13 requests, ${counted(clients, "client")}`;
  const line = { work, unit: "images/s", cpuUnit: "ms/image", scale: 1000, isJudged: false };
  return measured(bench, servers, line, async (_role, { port }) => {
    const pushed = await pushImages(port, clients, bench.plan.imagesWindowS);
    const value = pushed.images / pushed.seconds;
    return { value, units: pushed.images, clientCpuSeconds: pushed.cpuSeconds };
  });
}

async function measured(
  bench: Bench,
  servers: Pair["servers"],
  line: {
    readonly work: string;
    readonly unit: string;
    readonly cpuUnit: string;
    /** Of CPU: 1 for seconds, 1000 for milliseconds. */
    readonly scale: number;
    readonly isJudged: boolean;
  },
  load: (role: Role, server: Server) => Promise<Work>,
): Promise<Line> {
  const { cpuUnit, isJudged, scale, unit, work } = line;
  bench.progress(work);
  const once = (role: Role) => withCpu(servers[role], scale, () => load(role, servers[role]));
  for (const role of ROLES) await once(role);
  const samples = await interleave(bench.plan.rounds, once);
  const targets = isJudged ? { targets: NO_SLOWER } : {};
  return { row: "workers", work, unit, cpuUnit, moreIsBetter: true, samples, ...targets };
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
