/**
 * What the S3 adapter sends, and what it makes of the answers that real servers will not give on
 * demand: a local server gives them.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { BucketError, PartsUnknown } from "../../src/storage/objects/object-bucket.ts";
import type { ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createS3Bucket } from "../../src/storage/s3/s3-bucket.ts";
import { s3LogLevels, type S3Options } from "../../src/storage/s3/s3-options.ts";

const secretKey = "a-secret-key-that-nobody-may-see";
const bytes = new TextEncoder().encode("some content");

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Closes the connection instead. */
  readonly reset?: boolean;
  /** Before the body has come. */
  readonly early?: boolean;
}

class LocalS3 {
  readonly received: Received[] = [];
  readonly #server: Server;
  connections = 0;
  answer: Answer = {};

  constructor() {
    this.#server = createServer((request, response) => {
      const { answer } = this;
      const give = (): void => {
        if (answer.reset === true) request.socket.destroy();
        else response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
      };
      if (answer.early === true) {
        give();
        return;
      }
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { headers, method = "", url = "" } = request;
        this.received.push({ method, url, headers, body: Buffer.concat(chunks) });
        give();
      });
    });
    this.#server.on("connection", () => (this.connections += 1));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What is received by one call. */
  async during(work: () => Promise<unknown>): Promise<readonly Received[]> {
    this.received.length = 0;
    await work();
    return [...this.received];
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const server = new LocalS3();
await server.listen();
after(() => server.close());

async function open(
  options: Partial<S3Options> = {},
  log?: (message: string, fields: Readonly<Record<string, unknown>>) => void,
): Promise<ObjectBucket> {
  const bucket = await createS3Bucket(
    {
      bucket: "bucket",
      endpoint: server.endpoint,
      accessKey: "access-key",
      secretKey,
      forcePathStyle: true,
      ...options,
    },
    log === undefined ? {} : { log },
  );
  after(() => bucket.close());
  return bucket;
}

async function errorOf(work: Promise<unknown>): Promise<BucketError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BucketError, String(error));
  return error;
}

function errorBody(code: string): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>so it is</Message></Error>`;
}

test("options that cannot be are refused, each by its name in the configuration", async () => {
  const wrong: readonly (readonly [Partial<S3Options>, RegExp])[] = [
    [{ bucket: "" }, /storage\.s3\.bucket: is missing/],
    [{ endpoint: undefined }, /storage\.s3\.region: is missing/],
    [{ endpoint: undefined, region: "nowhere" }, /storage\.s3\.region: "nowhere" is none of AWS's/],
    [{ endpoint: "ftp://host" }, /storage\.s3\.regionendpoint/],
    [{ redirectEndpoint: "a b" }, /storage\.s3\.redirectendpoint/],
    [{ secretKey: undefined }, /storage\.s3\.secretkey: is missing/],
    [{ accessKey: "" }, /storage\.s3\.accesskey: is missing/],
    [{ v4Auth: false }, /storage\.s3\.v4auth/],
    [{ chunkSize: 5 * 1024 * 1024 - 1 }, /storage\.s3\.chunksize.*5 MiB/],
    [{ chunkSize: 6 * 1024 ** 3 }, /storage\.s3\.chunksize.*5 GiB/],
    [{ copyChunkSize: 1 }, /storage\.s3\.multipartcopychunksize/],
    [{ copyConcurrency: 0 }, /storage\.s3\.multipartcopymaxconcurrency/],
    [{ copyThreshold: -1 }, /storage\.s3\.multipartcopythresholdsize/],
    [{ storageClass: "COLD" }, /storage\.s3\.storageclass.*GLACIER_IR/],
    [{ objectAcl: "mine" }, /storage\.s3\.objectacl.*private/],
    [{ keyId: "key" }, /storage\.s3\.keyid/],
    [{ accelerate: true }, /storage\.s3\.accelerate/],
  ];
  for (const [options, message] of wrong) await assert.rejects(open(options), message);
});

test("regions, endpoints and part sizes are taken as Distribution takes them", async () => {
  for (const region of ["eu-central-1", "us-gov-west-1", "ap-southeast-4", "us-iso-east-1"]) {
    const bucket = await open({ endpoint: undefined, region, forcePathStyle: false });
    const url = await bucket.url("a/b", "GET");
    assert.ok(url?.startsWith(`https://bucket.s3.${region}.`), url ?? "none");
  }
  const hosted = await open({ endpoint: "s3.example.com:9000", region: "any" });
  assert.match((await hosted.url("key", "GET")) ?? "", /^https:\/\/s3\.example\.com:9000\/bucket/);
  const plain = await open({ endpoint: "s3.example.com:9000", secure: false });
  assert.match((await plain.url("key", "GET")) ?? "", /^http:\/\/s3\.example\.com:9000\/bucket/);
  const { limits } = await open();
  assert.equal(limits.partBytes, 10 * 1024 * 1024);
  assert.equal(limits.partsMax, 10_000);
  const largest = (await open({ chunkSize: 5 * 1024 ** 3 })).limits;
  assert.ok(largest.partBytes + largest.partBytesMin <= 5 * 1024 ** 3);
});

test("bytes are sent as they are, signed where nothing else protects them", async () => {
  server.answer = { headers: { ETag: '"etag"' } };
  const bucket = await open();
  const pieces = [bytes.subarray(0, 5), bytes.subarray(5)];
  const [put] = await server.during(() => bucket.put("a key/é", pieces, {}));
  assert.equal(put?.url, "/bucket/a%20key/%C3%A9?x-id=PutObject");
  assert.deepEqual(put.body, Buffer.from(bytes));
  const hash = createHash("sha256").update(bytes).digest("hex");
  assert.equal(put.headers["x-amz-content-sha256"], hash);
  assert.equal(put.headers["content-length"], String(bytes.length));
  assert.equal(put.headers["transfer-encoding"], undefined);
  assert.equal(put.headers.expect, undefined);
  const names = Object.keys(put.headers).filter((name) => /checksum|x-amz-acl|storage/.test(name));
  assert.deepEqual(names, []);
  const target = { key: "key", id: "id" };
  const [part] = await server.during(() => bucket.putPart(target, 7, pieces, {}));
  assert.match(part?.url ?? "", /partNumber=7&uploadId=id/);
  assert.deepEqual(part?.body, Buffer.from(bytes));
  assert.equal(await bucket.putPart(target, 7, pieces, {}), "etag");
});

test("objects are made as the configuration says", async () => {
  server.answer = { body: "<R><UploadId>id</UploadId></R>" };
  const made = await open({
    encrypt: true,
    keyId: "key-id",
    storageClass: "STANDARD_IA",
    objectAcl: "bucket-owner-full-control",
    userAgent: "our-registry/1",
  });
  const expected = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "key-id",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-acl": "bucket-owner-full-control",
  };
  const received = [
    ...(await server.during(() => made.put("key", [bytes], {}))),
    ...(await server.during(() => made.beginParts("key", {}))),
  ];
  for (const { headers } of received) {
    for (const [name, value] of Object.entries(expected)) assert.equal(headers[name], value);
    assert.match(headers["user-agent"] ?? "", /our-registry\/1/);
  }
  assert.equal(received.length, 2);
  const simple = await open({ encrypt: true, storageClass: "NONE", objectAcl: "private" });
  const [put] = await server.during(() => simple.put("key", [bytes], {}));
  assert.equal(put?.headers["x-amz-server-side-encryption"], "AES256");
  assert.equal(put.headers["x-amz-storage-class"], undefined);
  assert.equal(put.headers["x-amz-acl"], undefined);
});

test("several objects are deleted with the checksum that every server knows", async () => {
  server.answer = { body: "<DeleteResult/>" };
  const bucket = await open();
  const [several] = await server.during(() => bucket.delete(["one", "two"], {}));
  const md5 = createHash("md5")
    .update(several?.body ?? Buffer.of())
    .digest("base64");
  assert.equal(several?.headers["content-md5"], md5);
  assert.ok(!Object.keys(several.headers).some((name) => name.includes("checksum")));
  const [one] = await server.during(() => bucket.delete(["one"], {}));
  assert.equal(one?.method, "DELETE");
  assert.deepEqual(await server.during(() => bucket.delete([], {})), []);
  const denied = "<Error><Key>one</Key><Code>AccessDenied</Code></Error>";
  server.answer = { body: `<DeleteResult>${denied}</DeleteResult>` };
  const error = await errorOf(bucket.delete(["one", "two"], {}));
  assert.equal(error.transient, false);
  assert.match(error.message, /AccessDenied.*check the policy/);
});

test("a failure is tried once, and told as transient if it is", async () => {
  const failures: readonly (readonly [Answer, transient: boolean, message: RegExp])[] = [
    [{ status: 503, body: errorBody("SlowDown") }, true, /put: SlowDown; HTTP 503; so it is/],
    [{ status: 500, body: errorBody("InternalError") }, true, /InternalError/],
    [{ status: 502, body: "<html>bad gateway" }, true, /HTTP 502/],
    [{ status: 504 }, true, /HTTP 504/],
    [{ status: 429 }, true, /HTTP 429/],
    [{ status: 400, body: errorBody("RequestTimeout") }, true, /RequestTimeout/],
    [{ status: 400, body: errorBody("BadDigest") }, true, /BadDigest/],
    [{ status: 400, body: errorBody("ThrottlingException") }, true, /Throttling/],
    [{ reset: true }, true, /ECONNRESET/],
    [{ status: 403, body: errorBody("AccessDenied") }, false, /AccessDenied.*check the policy/],
    [{ status: 403, body: errorBody("InvalidAccessKeyId") }, false, /check accesskey/],
    [{ status: 403, body: errorBody("SignatureDoesNotMatch") }, false, /secretkey/],
    [{ status: 403, body: errorBody("RequestTimeTooSkewed") }, false, /clock/],
    [{ status: 403 }, false, /check accesskey, secretkey and the bucket's policy/],
    [{ status: 404, body: errorBody("NoSuchBucket") }, false, /NoSuchBucket.*check bucket/],
    [{ status: 301, body: errorBody("PermanentRedirect") }, false, /check region/],
    [{ status: 501, body: errorBody("NotImplemented") }, false, /NotImplemented/],
    [{ status: 400, body: errorBody("InvalidArgument") }, false, /InvalidArgument/],
  ];
  const bucket = await open();
  for (const [answer, transient, message] of failures) {
    server.answer = answer;
    const received = await server.during(async () => {
      const error = await errorOf(bucket.put("key", [bytes], {}));
      assert.equal(error.transient, transient, error.message);
      assert.match(error.message, message);
      assert.ok(!error.message.includes(secretKey));
    });
    assert.equal(received.length, 1);
  }
});

test("nobody there, or nobody by that name, is transient", async () => {
  for (const endpoint of ["http://127.0.0.1:1", "http://nowhere.invalid"]) {
    const error = await errorOf((await open({ endpoint })).head("key", {}));
    assert.equal(error.transient, true, error.message);
    assert.match(error.message, /ECONNREFUSED|ENOTFOUND|EAI_AGAIN/);
  }
});

test("absent is what the server says is absent, and not a bucket that is gone", async () => {
  const bucket = await open();
  server.answer = { status: 404, body: errorBody("NoSuchKey") };
  assert.equal(await bucket.get("key", undefined, {}), undefined);
  server.answer = { status: 404, body: errorBody("NoSuchBucket") };
  assert.equal((await errorOf(bucket.get("key", undefined, {}))).transient, false);
  // HEAD is answered without a word.
  server.answer = { status: 404 };
  assert.equal((await errorOf(bucket.head("key", {}))).transient, false);
});

test("a multipart upload that is gone is PartsUnknown, by whatever name", async () => {
  const bucket = await open();
  const target = { key: "key", id: "id" };
  for (const code of ["NoSuchUpload", "NoSuchKey"]) {
    server.answer = { status: 404, body: errorBody(code) };
    await assert.rejects(bucket.putPart(target, 1, [bytes], {}), PartsUnknown);
    await assert.rejects(bucket.completeParts(target, [{ number: 1, tag: "t" }], {}), PartsUnknown);
    await bucket.abortParts(target, {});
  }
  server.answer = { status: 400, body: errorBody("InvalidPart") };
  await assert.rejects(bucket.completeParts(target, [{ number: 1, tag: "t" }], {}), PartsUnknown);
  // S3 may say 200 first, and what it found later.
  server.answer = { status: 200, body: errorBody("InternalError") };
  const completing = bucket.completeParts(target, [{ number: 1, tag: "t" }], {});
  assert.equal((await errorOf(completing)).transient, true);
});

test("an answer before the body ends the sending, and the memory is free", async () => {
  const bucket = await open();
  server.answer = { status: 503, body: errorBody("SlowDown"), early: true };
  for (let round = 0; round < 3; round += 1) {
    const large = new Uint8Array(8 * 1024 * 1024);
    const error = await errorOf(bucket.put("key", [large, large], {}));
    assert.equal(error.transient, true);
    // A socket that still read from it would read what is not there any more.
    assert.equal(large.buffer.transfer(0).byteLength, 0);
  }
  server.answer = {};
  const [put] = await server.during(() => bucket.put("key", [bytes], {}));
  assert.deepEqual(put?.body, Buffer.from(bytes));
});

test("a body that breaks off fails, and one that nobody wants closes its connection", async () => {
  const bucket = await open();
  server.answer = { headers: { "Content-Length": "100" }, body: "x".repeat(100) };
  const found = await bucket.get("key", undefined, {});
  assert.equal(found?.size, 100);
  assert.equal(await new Response(found.body).text(), "x".repeat(100));
  server.answer = { headers: { "Content-Length": "200000" }, body: "x".repeat(100_000) };
  const broken = await bucket.get("key", undefined, {});
  const reading = new Response(broken?.body).arrayBuffer();
  server.close();
  await assert.rejects(reading);
  await server.listen();
});

test("an abort ends a call with its reason", async () => {
  const bucket = await open();
  const reason = new Error("the client has gone");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(bucket.get("key", undefined, { signal }), reason);
  const abort = new AbortController();
  const waiting = bucket.put("key", [bytes], { signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(waiting, reason);
});

test("calls one after the other share a connection, and downloads another", async () => {
  server.answer = { headers: { "Content-Length": "5" }, body: "hello" };
  const bucket = await open();
  const before = server.connections;
  for (let round = 0; round < 20; round += 1) {
    const found = await bucket.get("key", undefined, {});
    await new Response(found?.body).text();
    await bucket.put("key", [bytes], {});
  }
  assert.equal(server.connections - before, 2);
});

test("URLs are signed for 20 minutes, for the host that clients know", async () => {
  const bucket = await open({ redirectEndpoint: "https://cdn.example.com" });
  for (const method of ["GET", "HEAD"] as const) {
    const url = new URL((await bucket.url("some/key", method)) ?? "");
    assert.equal(url.origin, "https://cdn.example.com");
    assert.equal(url.pathname, "/bucket/some/key");
    assert.equal(url.searchParams.get("X-Amz-Expires"), "1200");
    assert.equal(url.searchParams.get("X-Amz-SignedHeaders"), "host");
    assert.ok(!url.href.includes(secretKey));
  }
});

test("every log level shows requests, and none shows a secret or a body", async () => {
  for (const logLevel of s3LogLevels) {
    const lines: string[] = [];
    const log = (message: string, fields: Readonly<Record<string, unknown>>): void => {
      lines.push(`${message} ${JSON.stringify(fields)}`);
    };
    const bucket = await open({ logLevel, sessionToken: "a-session-token" }, log);
    server.answer = { headers: { "x-amz-request-id": "request-1" } };
    await bucket.put("key", [bytes], {});
    server.answer = { status: 403, body: errorBody("AccessDenied") };
    await errorOf(bucket.put("key", [bytes], {}));
    const text = lines.join("\n");
    assert.equal(lines.length, logLevel === "off" ? 0 : 4, text);
    assert.ok(!/a-secret-key|a-session-token|some content|Signature=/.test(text), text);
    assert.equal(text.includes("signedHeaders"), logLevel === "debugwithsigning");
    assert.equal(text.includes('"bytes":12'), logLevel === "debugwithhttpbody");
    assert.equal(text.includes("so it is"), logLevel === "debugwithrequesterrors");
    if (logLevel !== "off") assert.match(text, /"status":200,"requestId":"request-1"/);
  }
});
