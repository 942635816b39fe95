/**
 * Pushes small images, all new, from a number of clients: a process of its own, started by the
 * benchmark.
 *
 * An image is 13 requests: HEAD, POST, PATCH, PUT for a config and two layers of a few KiB, then
 * the manifest. Prints JSON: images, seconds, its own CPU, and percentiles of the time that one
 * image takes.
 */
import { createHash, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { Connection, expectStatus } from "../http-client.ts";
import { MANIFEST_TYPE, descriptor, manifestBytes, uploadUrl } from "../seed.ts";
import { percentile } from "../statistics.ts";

const LAYER_SIZES = [4096, 8192];

const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    clients: { type: "string" },
    seconds: { type: "string" },
    repository: { type: "string" },
  },
});
const port = Number(values.port);
const clients = Number(values.clients);
const seconds = Number(values.seconds);
const repository = values.repository ?? "bench/images";

function configBytes(): Buffer {
  const layers = LAYER_SIZES.map(() => `sha256:${randomBytes(32).toString("hex")}`);
  return Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"], Cmd: ["/app"] },
      rootfs: { type: "layers", diff_ids: layers },
      history: layers.map((layer) => ({ created_by: `COPY ${layer} / # buildkit` })),
    }),
  );
}

async function pushBlob(connection: Connection, name: string, bytes: Uint8Array): Promise<string> {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const path = `/v2/${name}/blobs/${digest}`;
  expectStatus(await connection.send({ method: "HEAD", path }), 404);
  const begun = await connection.send({ method: "POST", path: `/v2/${name}/blobs/uploads/` });
  const headers = { "Content-Type": "application/octet-stream" };
  const patched = await connection.send({
    method: "PATCH",
    path: uploadUrl(expectStatus(begun, 202)),
    headers,
    body: bytes,
  });
  const committed = await connection.send({
    method: "PUT",
    path: uploadUrl(expectStatus(patched, 202), digest),
    headers,
  });
  expectStatus(committed, 201);
  return digest;
}

/** Returns the milliseconds that it took. */
async function pushImage(connection: Connection, name: string, tag: string): Promise<number> {
  const config = configBytes();
  const layers = LAYER_SIZES.map((size) => randomBytes(size));
  const begun = performance.now();
  await pushBlob(connection, name, config);
  for (const layer of layers) await pushBlob(connection, name, layer);
  const manifest = manifestBytes({
    config: descriptor(CONFIG_TYPE, config),
    layers: layers.map((layer) => descriptor(LAYER_TYPE, layer)),
  });
  const path = `/v2/${name}/manifests/${tag}`;
  const headers = { "Content-Type": MANIFEST_TYPE };
  expectStatus(await connection.send({ method: "PUT", path, headers, body: manifest }), 201);
  return performance.now() - begun;
}

async function client(number: number, deadline: number): Promise<readonly number[]> {
  const latencies: number[] = [];
  const connection = await Connection.open(port);
  const run = randomBytes(4).toString("hex");
  for (let image = 0; performance.now() < deadline; image += 1) {
    const latency = await pushImage(connection, `${repository}-${number}`, `v${run}-${image}`);
    latencies.push(latency);
  }
  connection.close();
  return latencies;
}

const cpuBefore = process.cpuUsage();
const begun = performance.now();
const deadline = begun + seconds * 1000;
const all = Array.from({ length: clients }, (_, number) => client(number, deadline));
const latencies = (await Promise.all(all)).flat();
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write(
  JSON.stringify({
    images: latencies.length,
    seconds: (performance.now() - begun) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  }),
);
