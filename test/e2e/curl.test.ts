/** Plain HTTP, as curl speaks it. */
import assert from "node:assert/strict";
import { readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf } from "./digests.ts";
import { ImageMaker, mib } from "./images.ts";
import { mediaTypes } from "./layout.ts";
import { plainSurroundings, run, StartedProcess } from "./processes.ts";
import { RegistryApi, withQuery } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const folder = await workspace.newFolder("curl");

const bytes = images.noise(3 * mib + 123);
const digest = await registry.pushBlob("plain/http", bytes);
const blobUrl = `${server.url}/v2/plain/http/blobs/${digest}`;
const octets = ["--header", "content-type: application/octet-stream"];

interface CurlResult {
  readonly exitCode: number | null;
  /** The conversation: `>` what was sent, `<` what was received. */
  readonly talk: string;
  /** What `--write-out` asked for. */
  readonly written: string;
  readonly body: Buffer;
}

async function curl(...args: readonly string[]): Promise<CurlResult> {
  const output = join(folder, "body");
  await writeFile(output, "");
  const command = ["curl", "--silent", "--verbose", "--output", output, ...args];
  const started = new StartedProcess(command, { ...plainSurroundings, cwd: folder });
  const { code } = await started.endedWithin(60_000);
  const body = await readFile(output);
  return { exitCode: code, talk: started.output, written: started.stdout, body };
}

test("an upload that expects 100 Continue gets it, and then 201", async () => {
  const upload = await registry.startUpload("plain/http");
  await writeFile(join(folder, "content"), images.noise(2 * mib));
  const contentDigest = digestOf(await readFile(join(folder, "content")));
  const { talk, exitCode } = await curl(
    ...["--header", "Expect: 100-continue", "--expect100-timeout", "50", ...octets],
    ...["--upload-file", "content", withQuery(upload, "digest", contentDigest)],
  );
  assert.equal(exitCode, 0);
  assert.match(talk, /^< HTTP\/1\.1 100 Continue\r$[^]*^< HTTP\/1\.1 201 Created\r$/m);
  const { size } = await registry.blob("plain/http", contentDigest);
  assert.equal(size, 2 * mib);
});

test("an upload that will be refused is refused before its body is sent", async () => {
  await writeFile(join(folder, "content"), images.noise(8 * mib));
  const unknown = `${server.url}/v2/plain/http/blobs/uploads/00000000-0000-4000-8000-000000000000`;
  const { talk, written } = await curl(
    ...["--header", "Expect: 100-continue", "--expect100-timeout", "50", ...octets],
    ...["--write-out", "%{http_code} %{size_upload}"],
    ...["--upload-file", "content", withQuery(unknown, "digest", digest)],
  );
  assert.doesNotMatch(talk, /100 Continue/);
  assert.equal(written, "404 0");
});

test("a chunked upload of unknown length is taken", async () => {
  const upload = await registry.startUpload("plain/http");
  await writeFile(join(folder, "content"), bytes);
  const { talk } = await curl(
    ...["--request", "PATCH", ...octets, "--header", "transfer-encoding: chunked"],
    ...["--upload-file", "content", upload],
  );
  assert.match(talk, /^< HTTP\/1\.1 202 Accepted\r$/m);
  assert.match(talk, new RegExp(`^< range: 0-${bytes.length - 1}\r$`, "im"));
});

for (const [range, from, to] of [
  ["0-99", 0, 100],
  ["1000000-1999999", 1_000_000, 2_000_000],
  ["3145728-", 3_145_728, bytes.length],
  ["-100", bytes.length - 100, bytes.length],
  ["3000000-99999999", 3_000_000, bytes.length],
] as const) {
  test(`the range ${range} of a blob is those bytes`, async () => {
    const { talk, body } = await curl("--range", range, blobUrl);
    assert.match(talk, /^< HTTP\/1\.1 206 Partial Content\r$/m);
    const contentRange = `bytes ${from}-${to - 1}/${bytes.length}`;
    assert.match(talk, new RegExp(`^< content-range: ${contentRange}\r$`, "im"));
    assert(body.equals(bytes.subarray(from, to)));
  });
}

test("a range beyond the end is 416 and tells the size", async () => {
  const { talk } = await curl("--range", `${bytes.length}-`, blobUrl);
  assert.match(talk, /^< HTTP\/1\.1 416 /m);
  assert.match(talk, new RegExp(`^< content-range: bytes \\*/${bytes.length}\r$`, "im"));
});

test("a broken download goes on where it stopped", async () => {
  const output = join(folder, "resumed");
  await writeFile(output, bytes);
  await truncate(output, 1_234_567);
  const written = await run([
    ...["curl", "--silent", "--continue-at", "-", "--output", output],
    ...["--write-out", "%{http_code} %{size_download}", blobUrl],
  ]);
  assert.equal(written, `206 ${bytes.length - 1_234_567}`);
  assert((await readFile(output)).equals(bytes));
});

test("HEAD tells what GET would, and sends no body", async () => {
  const skopeo = await createSkopeo(workspace);
  const image = await images.make({ layerBytes: [100] });
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${server.host}/plain/image:v1`);
  const { manifest } = image;
  for (const [url, size, type] of [
    [blobUrl, bytes.length, "application/octet-stream"],
    [`${server.url}/v2/plain/image/manifests/v1`, manifest.size, mediaTypes.manifest],
  ] as const) {
    const { talk, body } = await curl("--head", "--header", `Accept: ${mediaTypes.manifest}`, url);
    assert.match(talk, /^< HTTP\/1\.1 200 OK\r$/m);
    assert.match(talk, new RegExp(`^< content-length: ${size}\r$`, "im"));
    assert.match(talk, new RegExp(`^< content-type: ${RegExp.escape(type)}\r$`, "im"));
    assert.match(talk, /^< docker-content-digest: sha256:[0-9a-f]{64}\r$/im);
    assert.doesNotMatch(body.toString(), /\r\n\r\n./, "headers only");
  }
});

test("one connection serves request after request, refusals too", async () => {
  const urls = [
    ...[`${server.url}/v2/`, blobUrl, `${server.url}/v2/no/such/manifests/v1`],
    ...[`${server.url}/v2/no/such/blobs/${digest}`, blobUrl],
  ];
  const { written } = await curl(
    ...["--write-out", "%{http_code} %{num_connects}\\n"],
    ...urls.flatMap((url) => ["--output", join(folder, "one"), url]),
  );
  assert.deepEqual(written.trim().split("\n"), ["200 1", "200 0", "404 0", "404 0", "200 0"]);
});

test("what a client has already is not sent again", async () => {
  const etags = join(folder, "etags");
  await curl("--etag-save", etags, blobUrl);
  assert.equal((await readFile(etags, "utf8")).trim(), `"${digest}"`);
  const { talk, body } = await curl("--etag-compare", etags, blobUrl);
  assert.match(talk, /^< HTTP\/1\.1 304 Not Modified\r$/m);
  assert.equal(body.length, 0);
});

test("a client of HTTP/1.0 gets the blob, and then the connection's end", async () => {
  const { exitCode, body } = await curl("--http1.0", blobUrl);
  assert.equal(exitCode, 0);
  assert(body.equals(bytes));
  assert.equal((await stat(join(folder, "body"))).size, bytes.length);
});
