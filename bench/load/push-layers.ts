/**
 * Pushes large layers, all new, one per stream at once: a process of its own, started by the
 * benchmark.
 *
 * What a layer is made of is hashed before the clock starts: every layer has the same bytes but
 * for the last sixteen. Prints JSON: bytes, seconds from the first POST to the last 201, its own
 * CPU.
 */
import { createHash, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { Connection, expectStatus } from "../http-client.ts";
import { uploadUrl } from "../seed.ts";

const BLOCK_BYTES = 1024 ** 2;
const NONCE_BYTES = 16;

/** Go's io.Copy, with which docker and others stream their layers, has pieces of this size. */
const CHUNK_BYTES = 32 * 1024;

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    streams: { type: "string" },
    bytes: { type: "string" },
    mode: { type: "string" },
    repository: { type: "string" },
  },
});
const port = Number(values.port);
const streams = Number(values.streams);
const bytes = Number(values.bytes);
const repository = values.repository ?? "bench/layers";

const block = randomBytes(BLOCK_BYTES);
const blocks = Math.floor((bytes - NONCE_BYTES) / BLOCK_BYTES);
const rest = block.subarray(0, bytes - NONCE_BYTES - blocks * BLOCK_BYTES);
const common = createHash("sha256");
for (let i = 0; i < blocks; i += 1) common.update(block);
common.update(rest);

interface Layer {
  readonly nonce: Uint8Array;
  readonly digest: string;
}

function newLayer(): Layer {
  const nonce = randomBytes(NONCE_BYTES);
  return { nonce, digest: `sha256:${common.copy().update(nonce).digest("hex")}` };
}

/** Those bytes as chunks of a chunked body. */
function asChunks(content: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += CHUNK_BYTES) {
    const piece = content.subarray(at, at + CHUNK_BYTES);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

const framedBlock = asChunks(block);

type Write = (chunk: Uint8Array) => Promise<void>;

async function putWhole(connection: Connection, location: string, layer: Layer): Promise<void> {
  const stream = async (write: Write): Promise<void> => {
    for (let i = 0; i < blocks; i += 1) await write(block);
    await write(rest);
    await write(layer.nonce);
  };
  const headers = {
    "Content-Type": "application/octet-stream",
    "Content-Length": `${bytes}`,
  };
  const reply = await connection.send({ method: "PUT", path: location, headers, stream });
  expectStatus(reply, 201);
}

async function patchStreamed(
  connection: Connection,
  location: string,
  layer: Layer,
): Promise<void> {
  const stream = async (write: Write): Promise<void> => {
    for (let i = 0; i < blocks; i += 1) await write(framedBlock);
    await write(asChunks(Buffer.concat([rest, layer.nonce])));
    await write(Buffer.from("0\r\n\r\n"));
  };
  const headers = {
    "Content-Type": "application/octet-stream",
    "Transfer-Encoding": "chunked",
  };
  const patched = await connection.send({ method: "PATCH", path: location, headers, stream });
  const path = uploadUrl(expectStatus(patched, 202), layer.digest);
  expectStatus(await connection.send({ method: "PUT", path }), 201);
}

async function push(connection: Connection, layer: Layer): Promise<void> {
  const begun = await connection.send({ method: "POST", path: `/v2/${repository}/blobs/uploads/` });
  expectStatus(begun, 202);
  if (values.mode === "patch") await patchStreamed(connection, uploadUrl(begun), layer);
  else await putWhole(connection, uploadUrl(begun, layer.digest), layer);
}

const layers = Array.from({ length: streams }, newLayer);
const connections = await Promise.all(layers.map(() => Connection.open(port)));
const cpuBefore = process.cpuUsage();
const begun = performance.now();
await Promise.all(
  layers.map(async (layer, at) => {
    const connection = connections[at];
    if (connection !== undefined) await push(connection, layer);
  }),
);
const seconds = (performance.now() - begun) / 1000;
const cpu = process.cpuUsage(cpuBefore);
for (const connection of connections) connection.close();
process.stdout.write(
  JSON.stringify({
    bytes: bytes * streams,
    seconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  }),
);
