/**
 * Both registries on one Ceph RADOS Gateway, with the same parameters: Longshore's metadata in
 * SQLite. What is counted goes through a proxy that counts; what is timed does not.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { startCeph } from "../../test/servers/servers.ts";
import { ROLES } from "../bench.ts";
import type { Bench, Own } from "../bench.ts";
import { inParallel } from "../http-client.ts";
import { pushWith } from "../load/tools.ts";
import { LAYER_BYTES } from "../plan.ts";
import type { Line, Role, Samples, Target } from "../results.ts";
import { pullImage, pushImage } from "../seed.ts";
import { CountingProxy } from "../servers/counting-proxy.ts";
import type { Counted } from "../servers/counting-proxy.ts";
import { createBucket } from "../servers/s3-bucket.ts";
import type { Server } from "../servers/server.ts";
import type { Backend } from "../servers/sides.ts";
import { pullLine, pushLine, seedPulls } from "./layers.ts";

const ROW = "s3";
const SMALL_LAYERS = 10;
const SMALL_LAYER_BYTES = 64 * 1024;
const BIG_LAYERS = 8;
const SETTLE_MS = 2000;
const MIB = 1024 ** 2;

/** `chunksize` of both sides, by default. */
const PART_MIB = 10;

type S3 = NonNullable<Backend["s3"]>;

export async function s3(bench: Bench): Promise<readonly Line[]> {
  return [
    ...(await onCeph((place) => requests(bench, place))),
    await onCeph((place) => throughput(bench, place, "put", "POST + PUT")),
    await onCeph((place) => throughput(bench, place, "patch", "streamed PATCH")),
    await onCeph((place) => pulls(bench, place)),
    await onCeph((place) => memory(bench, place)),
  ];
}

/** A gateway for each line: it keeps its objects in memory, and deleted ones for a while. */
async function onCeph<T>(work: (place: S3) => Promise<T>): Promise<T> {
  const ceph = await startCeph({ own: true });
  try {
    const bucket = `bench-${randomBytes(4).toString("hex")}`;
    const { accessKey, endpoint, region, secretKey } = ceph;
    const place = { accessKey, bucket, endpoint, region, secretKey, rootdirectory: "/bench" };
    await createBucket(place);
    return await work(place);
  } finally {
    await ceph.stop();
  }
}

function ownOf(bench: Bench, role: Role, place: S3): Promise<Own> {
  const rootdirectory = `${place.rootdirectory}/${role}`;
  return bench.own(role, { backend: { s3: { ...place, rootdirectory } } });
}

/** Runs `work` on a server of each side. */
async function onBoth<T>(
  bench: Bench,
  place: S3,
  work: (servers: (role: Role) => Promise<Server>) => Promise<T>,
): Promise<T> {
  const owns = new Map<Role, Own>();
  for (const role of ROLES) owns.set(role, await ownOf(bench, role, place));
  const done = await work(async (role) => {
    const own = owns.get(role);
    if (own === undefined) throw new Error(`no server of ${role}`);
    return own.server;
  });
  for (const own of owns.values()) await own.stop();
  return done;
}

function throughput(bench: Bench, place: S3, mode: "put" | "patch", how: string): Promise<Line> {
  return onBoth(bench, place, (servers) =>
    pushLine(bench, mode, {
      servers,
      row: ROW,
      work: `push of a 256 MiB layer to S3, ${how}`,
      targets: [{ kind: "ratio", atLeast: 1.5 }],
    }),
  );
}

function pulls(bench: Bench, place: S3): Promise<Line> {
  return onBoth(bench, place, async (servers) =>
    pullLine(bench, await seedPulls(servers), {
      servers,
      row: ROW,
      work: "pull of a 256 MiB layer from S3 through the node",
      streams: 1,
      targets: [{ kind: "ratio", atLeast: 1 }],
    }),
  );
}

interface Counts {
  readonly push: number;
  readonly pull: number;
  readonly layer: Counted;
}

async function requests(bench: Bench, place: S3): Promise<readonly Line[]> {
  bench.progress("requests to S3");
  const counts = new Map<Role, Counts>();
  for (const role of ROLES) counts.set(role, await countSide(bench, role, place));
  const pick = (value: (counts: Counts) => number): Samples => {
    const of = (role: Role) => counts.get(role);
    const [subject, yardstick] = [of("subject"), of("yardstick")];
    return {
      subject: subject === undefined ? [] : [{ value: value(subject) }],
      yardstick: yardstick === undefined ? [] : [{ value: value(yardstick) }],
    };
  };
  const common = { row: ROW, unit: "requests", moreIsBetter: false };
  return [
    {
      ...common,
      work: `requests to S3 for a pushed image of ${SMALL_LAYERS} small layers`,
      samples: pick(({ push }) => push),
      targets: [{ kind: "ratio", atLeast: 4 }],
    },
    {
      ...common,
      work: "requests to S3 for a pull of a manifest by tag",
      samples: pick(({ pull }) => pull),
      targets: [{ kind: "atMost", value: 0, scale: "none" }],
    },
    {
      ...common,
      unit: "x the layer",
      work: "bytes written in S3 for a pushed 256 MiB layer, copies included",
      samples: pick(({ layer }) => (layer.written + layer.copied) / LAYER_BYTES),
      targets: [{ kind: "atMost", value: 1.05, scale: "none" }],
    },
  ];
}

async function countSide(bench: Bench, role: Role, place: S3): Promise<Counts> {
  const proxy = await CountingProxy.start(place.endpoint);
  const rootdirectory = `${place.rootdirectory}/counted`;
  const own = await ownOf(bench, role, { ...place, endpoint: proxy.endpoint, rootdirectory });
  const { port } = own.server;
  const repository = "bench/counted";
  const image = { repository, tag: "v1", layers: SMALL_LAYERS, bytes: SMALL_LAYER_BYTES };
  const calls = async (work: Parameters<typeof inParallel>[1]): Promise<Counted> => {
    // What a server does by itself, at its start or at an interval, is not the work's.
    await sleep(SETTLE_MS / 4);
    proxy.take();
    await inParallel({ port, connections: 1, count: 1 }, work);
    return proxy.take();
  };
  const push = await calls((connection) => pushImage(connection, image));
  const pull = await calls((connection) => pullImage(connection, image));
  proxy.take();
  const bytes = { port, streams: 1, bytes: LAYER_BYTES, mode: "patch", repository };
  await pushWith("push-layers.ts", bytes, ["seconds"]);
  const layer = proxy.take();
  await own.stop();
  await proxy.stop();
  return { push: push.requests, pull: pull.requests, layer };
}

async function memory(bench: Bench, place: S3): Promise<Line> {
  const { bigLayerBytes } = bench.plan;
  const work = `peak above idle while ${BIG_LAYERS} layers of ${bigLayerBytes / MIB} MiB go to S3`;
  bench.progress(work);
  const own = await ownOf(bench, "subject", place);
  const { port } = own.server;
  const push = (streams: number, bytes: number): Promise<unknown> =>
    pushWith("push-layers.ts", { port, streams, bytes, mode: "patch" }, ["seconds"]);
  await push(1, LAYER_BYTES / 4);
  await sleep(SETTLE_MS);
  const idle = own.server.memory().rssMiB;
  own.server.resetPeak();
  await push(BIG_LAYERS, bigLayerBytes);
  const samples: Samples = { subject: [{ value: own.server.memory().peakMiB - idle }] };
  await own.stop();
  const limit: Target = { kind: "atMost", value: BIG_LAYERS * PART_MIB * 2, scale: "none" };
  return { row: ROW, work, unit: "MiB", moreIsBetter: false, samples, targets: [limit] };
}
