/** Rows that ask for small things over and over: manifests, HEAD of blobs, small blobs. */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench } from "../bench.ts";
import { read } from "../load/tools.ts";
import type { Line, Role, Samples, Target } from "../results.ts";
import { MANIFEST_TYPE, seedBlobs, seedImages } from "../seed.ts";
import type { SeededImages } from "../seed.ts";
import type { Server } from "../servers/server.ts";

const CONNECTIONS = 16;
const IMAGES = 100;
const SMALL_BLOBS = 1000;
const SMALL_BLOB_BYTES = 4096;

/** Per request, with access log and metrics on. */
const CPU_TARGET: Target = { kind: "cpu", value: 0.035, scale: "http" };

export interface Reads {
  readonly row: string;
  readonly work: string;
  readonly method?: "GET" | "HEAD";
  readonly paths: Readonly<Partial<Record<Role, readonly string[]>>>;
  readonly targets: readonly Target[];
  readonly notes?: readonly string[];
  /** By default the servers that the rows share. */
  readonly servers?: (role: Role) => Promise<Server>;
}

/** Requests per second with 16 connections, in interleaved rounds, after a warm-up of each side. */
export async function readLine(bench: Bench, reads: Reads): Promise<Line> {
  bench.progress(reads.work);
  const servers = reads.servers ?? bench.shared.bind(bench);
  const roles = ROLES.filter((role) => reads.paths[role] !== undefined);
  const load = async (role: Role, seconds: number) =>
    read(bench.tools, {
      port: (await servers(role)).port,
      connections: CONNECTIONS,
      paths: reads.paths[role] ?? [],
      method: reads.method ?? "GET",
      accept: MANIFEST_TYPE,
      seconds,
    });
  for (const role of roles) await load(role, bench.plan.warmUpS);
  const samples = await interleave(
    bench.plan.rounds,
    async (role) =>
      withCpu(await servers(role), 1000, async () => {
        const result = await load(role, bench.plan.windowS);
        const value = result.requests / result.seconds;
        return { value, units: result.requests, clientCpuSeconds: result.cpuSeconds };
      }),
    roles,
  );
  return rateLine(reads, samples);
}

function rateLine(reads: Reads, samples: Samples): Line {
  const { row, work, targets, notes } = reads;
  const units = { unit: "requests/s", moreIsBetter: true, cpuUnit: "ms/request" };
  return { row, work, ...units, samples, targets, ...(notes && { notes }) };
}

export async function manifests(bench: Bench): Promise<readonly Line[]> {
  const seeded = new Map<Role, SeededImages>();
  for (const role of ROLES) {
    seeded.set(role, await seedImages((await bench.shared(role)).port, IMAGES));
  }
  const paths = (kind: keyof SeededImages): Reads["paths"] => ({
    subject: seeded.get("subject")?.[kind] ?? [],
    yardstick: seeded.get("yardstick")?.[kind] ?? [],
  });
  const row = "manifests";
  const fast: readonly Target[] = [{ kind: "ratio", atLeast: 12 }, CPU_TARGET];
  const head: readonly Target[] = [{ kind: "ratio", atLeast: 10 }, CPU_TARGET];
  return [
    await readLine(bench, {
      row,
      work: "GET manifest by tag, 16 connections",
      paths: paths("byTag"),
      targets: fast,
    }),
    await readLine(bench, {
      row,
      work: "GET manifest by digest, 16 connections",
      paths: paths("byDigest"),
      targets: fast,
    }),
    await readLine(bench, {
      row,
      work: "HEAD blob, 16 connections",
      method: "HEAD",
      paths: paths("blobs"),
      targets: head,
    }),
  ];
}

export async function smallBlobs(bench: Bench): Promise<readonly Line[]> {
  const paths: Record<Role, readonly string[]> = { subject: [], yardstick: [] };
  for (const role of ROLES) {
    const repository = "bench/small-blobs";
    const options = { repository, count: SMALL_BLOBS, bytes: SMALL_BLOB_BYTES };
    paths[role] = await seedBlobs((await bench.shared(role)).port, options);
  }
  const hot = { subject: paths.subject.slice(0, 1), yardstick: paths.yardstick.slice(0, 1) };
  const targets: readonly Target[] = [{ kind: "ratio", atLeast: 10 }];
  const row = "small-blobs";
  return [
    await readLine(bench, {
      row,
      work: "GET of a 4 KiB blob, 16 connections, 1,000 in turn",
      paths,
      targets,
    }),
    await readLine(bench, {
      row,
      work: "GET of a 4 KiB blob, 16 connections, one hot",
      paths: hot,
      targets,
    }),
  ];
}
