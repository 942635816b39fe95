/** Snapshotters that pull lazily read pieces of a layer: several ranges in one request. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "./digests.ts";
import { makeLazyLayer, tocDigestAnnotation } from "./estargz.ts";
import { ImageMaker, mib } from "./images.ts";
import { mediaTypes } from "./layout.ts";
import { createPodman } from "./podman.ts";
import { run } from "./processes.ts";
import { startRecorder } from "./recorder.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { openWorkspace, say } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);

const bytes = images.noise(4 * mib);
const path = `/v2/lazy/app/blobs/${await registry.pushBlob("lazy/app", bytes)}`;

interface Part {
  readonly start: number;
  readonly content: Buffer;
}

async function readRanges(ranges: readonly string[]): Promise<readonly Part[]> {
  const answer = await registry.request("GET", path, {
    headers: { range: `bytes=${ranges.join(",")}` },
  });
  assert.equal(answer.status, 206);
  const type = answer.headers.get("content-type") ?? "";
  const boundary = /^multipart\/byteranges; *boundary="?([^";]+)"?$/i.exec(type)?.[1];
  assert(boundary !== undefined, `several ranges come as parts: ${type}`);
  const body = Buffer.from(await answer.arrayBuffer());
  assert.equal(answer.headers.get("content-length"), String(body.length));
  return parseParts(body, boundary);
}

/** By the letter of RFC 2046: delimiters, headers, and an end. */
function parseParts(body: Buffer, boundary: string): readonly Part[] {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const parts: Part[] = [];
  const first = `--${boundary}\r\n`;
  // The first delimiter may lack its line break: there is nothing before it.
  const start = body.indexOf(first);
  assert(start === 0 || start === 2, "it begins with a delimiter");
  let position = start + first.length;
  for (;;) {
    const headersEnd = body.indexOf("\r\n\r\n", position);
    const headers = body.subarray(position, headersEnd).toString();
    const range = /^content-range: bytes (\d+)-(\d+)\/(\d+)$/im.exec(headers);
    assert(range !== null, `a part without Content-Range: ${headers}`);
    assert.match(headers, /^content-type: application\/octet-stream$/im);
    const [from, to, size] = range.slice(1).map(Number);
    assert(from !== undefined && to !== undefined);
    assert.equal(size, bytes.length);
    const contentEnd = headersEnd + 4 + to - from + 1;
    parts.push({ start: from, content: body.subarray(headersEnd + 4, contentEnd) });
    assert(body.subarray(contentEnd, contentEnd + delimiter.length).equals(delimiter));
    position = contentEnd + delimiter.length + 2;
    if (body.subarray(position - 2, position).toString() === "--") break;
  }
  assert.match(body.subarray(position).toString(), /^(\r\n)?$/);
  return parts;
}

test("several ranges come in one answer, each as it was asked for", async () => {
  const parts = await readRanges(["0-99", "1000000-1065535", "-10", "4000000-"]);
  assert.deepEqual(
    parts.map(({ start, content }) => [start, content.length]),
    [
      [0, 100],
      [1_000_000, 65_536],
      [bytes.length - 10, 10],
      [4_000_000, bytes.length - 4_000_000],
    ],
  );
  for (const { start, content } of parts) {
    assert(content.equals(bytes.subarray(start, start + content.length)));
  }
});

test("chunks are read from all over a layer until it is whole", async () => {
  const chunkBytes = 64 * 1024;
  const whole = Buffer.alloc(bytes.length);
  const starts = Array.from(
    { length: bytes.length / chunkBytes },
    (_, chunk) => chunk * chunkBytes,
  );
  for (const parity of [1, 0]) {
    const chosen = starts.filter((_, position) => position % 2 === parity);
    const ranges = chosen.map((start) => `${start}-${start + chunkBytes - 1}`);
    for (const { start, content } of await readRanges(ranges)) content.copy(whole, start);
  }
  assert(whole.equals(bytes));
});

test("ranges of which only one can be had come as that one or as a part", async () => {
  const answer = await registry.request("GET", path, {
    headers: { range: `bytes=10-19,${bytes.length}-` },
  });
  assert.equal(answer.status, 206);
  const body = Buffer.from(await answer.arrayBuffer());
  assert(body.includes(bytes.subarray(10, 20)));
});

test("curl asks for two ranges", async () => {
  const file = `${await workspace.newFolder("curl")}/parts`;
  const head = await run([
    ...["curl", "--silent", "--fail", "--range", "5-9,100-199", "--dump-header", "-"],
    ...["--output", file, `${server.url}${path}`],
  ]);
  assert.match(head, /^HTTP\/1\.1 206 /);
  assert.match(head, /^content-type: multipart\/byteranges;/im);
});

test("podman pulls only the files that it lacks, with several ranges in a request", async () => {
  const recorder = await startRecorder(workspace, server);
  const podman = await createPodman(workspace, { lazyPulls: true });
  const fileBytes = 300_000;
  const names = Array.from({ length: 10 }, (_, number) => `file-${number}`);
  const older = new Map(names.map((name) => [name, images.noise(fileBytes)]));
  const newer = new Map(older);
  const changed = names.filter((_, number) => number % 2 === 1);
  for (const name of changed) newer.set(name, images.noise(fileBytes));
  await podman.podman("pull", "--tls-verify=false", await pushLazyImage(recorder, "older", older));

  const reference = await pushLazyImage(recorder, "newer", newer);
  recorder.forget();
  await podman.podman("pull", "--tls-verify=false", reference);
  const reads = recorder.exchanges.filter(({ range }) => range !== undefined);
  assert.deepEqual(new Set(reads.map(({ status }) => status)), new Set([206]));
  const several = reads.filter(({ range }) => range?.includes(","));
  say(`podman asked for ${several.map(({ range }) => range).join(" and ")}`);
  assert.deepEqual(
    several.map(({ range }) => range?.split(",").length),
    [changed.length],
  );
  let readBytes = 0;
  for (const { receivedBytes } of recorder.exchanges) readBytes += receivedBytes;
  assert(readBytes < (changed.length + 1) * fileBytes, `${readBytes} bytes read`);
  assert.deepEqual(
    await podman.fileDigests(reference),
    new Map(Array.from(newer, ([name, content]) => [name, digestOf(content)])),
  );
});

async function pushLazyImage(
  { host }: { readonly host: string },
  tag: string,
  files: ReadonlyMap<string, Buffer>,
): Promise<string> {
  const { bytes: layer, diffId, tocDigest } = makeLazyLayer(Object.fromEntries(files));
  const config = Buffer.from(
    JSON.stringify({
      ...{ architecture: "amd64", os: "linux", config: {} },
      ...{ rootfs: { type: "layers", diff_ids: [diffId] }, history: [{ created_by: tag }] },
    }),
  );
  await registry.pushManifest("lazy/image", tag, {
    ...{ schemaVersion: 2, mediaType: mediaTypes.manifest },
    config: {
      mediaType: mediaTypes.config,
      digest: await registry.pushBlob("lazy/image", config),
      size: config.length,
    },
    layers: [
      {
        mediaType: mediaTypes.gzipLayer,
        digest: await registry.pushBlob("lazy/image", layer),
        size: layer.length,
        annotations: { [tocDigestAnnotation]: tocDigest },
      },
    ],
  });
  return `${host}/lazy/image:${tag}`;
}
