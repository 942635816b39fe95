/** What the S3 store costs on real servers, and what only real servers can say of signatures. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import { after, test } from "node:test";
import { createServer } from "node:tls";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import {
  bodyOf,
  contentOf,
  digest,
  readAll,
  sameBytes,
  someBytes,
} from "../../src/storage/contract-support.ts";
import { BucketError, type ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { createS3Bucket } from "../../src/storage/s3/s3-bucket.ts";
import type { S3Options } from "../../src/storage/s3/s3-options.ts";
import { startCeph, startSwift } from "../servers/servers.ts";
import { testCertificate, testKey } from "../storage/certificate.ts";
import { TestBucket } from "./support/bucket.ts";

const mebibyte = 1024 * 1024;

interface Opened {
  readonly bucket: ObjectBucket;
  readonly store: BlobStore;
  /** The SDK's names of the requests that were sent. */
  readonly requests: string[];
}

for (const [name, start] of [["Ceph", startCeph] as const, ["Swift", startSwift] as const]) {
  const server = await start();
  const made = await TestBucket.create(server);
  after(async () => {
    made.close();
    await server.stop();
  });

  const open = async (options: Partial<S3Options> = {}): Promise<Opened> => {
    const requests: string[] = [];
    const { accessKey, endpoint, region, secretKey } = server;
    const access = { accessKey, secretKey, endpoint, region, forcePathStyle: true };
    const bucket = await createS3Bucket(
      { ...access, bucket: made.name, logLevel: "debug", ...options },
      {
        log: (message, { command }) => {
          if (message === "s3 request") requests.push(String(command));
        },
      },
    );
    const root = randomUUID();
    const settings = { newId: randomUUID, now: Date.now, rootDirectory: root };
    const store = createObjectStore({ bucket, ...settings });
    after(() => store.close());
    return { bucket, store, requests };
  };

  test(`${name}: a layer below a part's size costs one PUT, and a pull one GET`, async () => {
    const { requests, store } = await open();
    const bytes = someBytes(8 * mebibyte);
    const id = randomUUID();
    const state = await store.create(id);
    const appended = await store.append({ id, state }, bodyOf([bytes]), { offset: 0 });
    const upload = { id, state: appended.state };
    const key = await store.commit(upload, digest(bytes), bytes.length);
    await store.abort(upload, { keep: key });
    assert.deepEqual(requests.splice(0), ["PutObjectCommand"]);
    const opened = await store.open(key, { size: bytes.length });
    assert.ok(opened?.body instanceof ReadableStream);
    await new Response(opened.body).arrayBuffer();
    assert.deepEqual(requests.splice(0), ["GetObjectCommand"]);
  });

  test(`${name}: a layer of many parts costs one request for each, and two more`, async () => {
    const { requests, store } = await open();
    const bytes = someBytes(44 * mebibyte);
    const id = randomUUID();
    const state = await store.create(id);
    const appended = await store.append({ id, state }, bodyOf([bytes]), { offset: 0 });
    const upload = { id, state: appended.state };
    const key = await store.commit(upload, digest(bytes), bytes.length);
    await store.abort(upload, { keep: key });
    const parts = Array<string>(4).fill("UploadPartCommand");
    const expected = ["CreateMultipartUploadCommand", ...parts, "CompleteMultipartUploadCommand"];
    assert.deepEqual(requests, expected);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
  });

  test(`${name}: a signed URL gives the content to whoever has it, and only that`, async () => {
    // Another name of the same server, as clients may know it.
    const redirectEndpoint = server.endpoint.replace("127.0.0.1", "localhost");
    const { bucket } = await open({ redirectEndpoint });
    const key = `of urls/${randomUUID()}/a+b`;
    await bucket.put(key, [someBytes(1000)], {});
    const url = await bucket.url(key, "GET");
    assert.equal(new URL(url ?? "").hostname, "localhost");
    const answer = await fetch(url ?? "");
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), Buffer.from(someBytes(1000)));
    const part = await fetch(url ?? "", { headers: { Range: "bytes=10-19" } });
    assert.equal(part.status, 206);
    assert.deepEqual(await part.bytes(), someBytes(1000).subarray(10, 20));
    const head = await fetch((await bucket.url(key, "HEAD")) ?? "", { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "1000");
    const other = (url ?? "").replace("/a%2Bb", "/another");
    assert.equal((await fetch(other)).status, 403);
  });

  test(`${name}: over TLS bytes are sent as they are, unsigned, and arrive`, async () => {
    const endpoint = await tlsInFrontOf(server.endpoint);
    const trusting = await open({ endpoint, skipVerify: true });
    const bytes = someBytes(2 * mebibyte);
    await trusting.bucket.put("over-tls", [bytes.subarray(0, 10), bytes.subarray(10)], {});
    const found = await trusting.bucket.get("over-tls", undefined, {});
    assert.ok(found && sameBytes(await readAll(found.body), bytes));
    const careful = await open({ endpoint });
    const error = await errorOf(careful.bucket.head("over-tls", {}));
    assert.equal(error.transient, false);
    assert.match(error.message, /certificate/);
  });

  test(`${name}: what is configured wrong is told as such, and never as absence`, async () => {
    const wrong: readonly (readonly [Partial<S3Options>, RegExp])[] = [
      [{ bucket: "no-such-bucket" }, /check bucket/],
      [{ secretKey: "not the secret" }, /secretkey/],
      [{ accessKey: "nobody" }, /check accesskey/],
    ];
    for (const [options, message] of wrong) {
      const { bucket } = await open(options);
      const calls = [
        () => bucket.get("key", undefined, {}),
        () => bucket.put("key", [someBytes(3)], {}),
        () => bucket.list("", undefined, {}),
        () => bucket.beginParts("key", {}),
      ];
      for (const call of calls) {
        const error = await errorOf(call());
        assert.match(error.message, message);
        assert.equal(error.transient, false);
      }
      assert.equal((await errorOf(bucket.head("key", {}))).transient, false);
    }
  });
}

async function errorOf(call: Promise<unknown>): Promise<BucketError> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BucketError, String(error));
  return error;
}

/** An endpoint with a certificate that nobody vouches for. */
async function tlsInFrontOf(endpoint: string): Promise<string> {
  const { port } = new URL(endpoint);
  const server = createServer({ key: testKey, cert: testCertificate }, (client) => {
    const target = connect(Number(port), "127.0.0.1");
    client.on("error", () => target.destroy());
    target.on("error", () => client.destroy());
    client.pipe(target).pipe(client);
  });
  server.on("tlsClientError", () => undefined);
  after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
