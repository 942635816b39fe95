/** What Google Cloud Storage is told and says: credentials, signatures, limits and errors. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Storage } from "@google-cloud/storage";
import { readAll } from "../../src/storage/contract-support.ts";
import { createGcsBucket } from "../../src/storage/gcs/gcs-bucket.ts";
import type { GcsOptions } from "../../src/storage/gcs/gcs-options.ts";
import {
  BucketError,
  PartsUnknown,
  type ObjectBucket,
} from "../../src/storage/objects/object-bucket.ts";
import { noise } from "../http/content.ts";
import { FakeGcs, type FakeGcsOptions } from "./fake-gcs.ts";
import { TokenServer } from "./token-server.ts";

const email = "registry@project.iam.gserviceaccount.com";
const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
const privateKey = keys.privateKey.export({ type: "pkcs8", format: "pem" });
const serviceAccount = {
  type: "service_account",
  project_id: "project",
  private_key_id: "1",
  private_key: privateKey,
  client_email: email,
  client_id: "1",
  token_uri: "http://127.0.0.1:9/token",
};

interface Given {
  readonly server?: Partial<FakeGcsOptions>;
  readonly options?: Partial<GcsOptions>;
  readonly now?: () => number;
}

async function given(t: TestContext, { now = Date.now, options, server: changes }: Given = {}) {
  const account = { email, publicKey: keys.publicKey };
  const server = new FakeGcs({ bucket: "images", account, ...changes });
  const endpoint = await server.listen();
  const bucket = await createGcsBucket(
    { bucket: "images", endpoint, anonymous: true, ...options },
    { now },
  );
  t.after(async () => {
    await bucket.close();
    server.close();
  });
  return { server, bucket, endpoint };
}

const bytes = noise(50_000, "object");

/** A URL for an object that is there. */
async function linked(
  t: TestContext,
  method: "GET" | "HEAD",
  now: () => number = Date.now,
): Promise<URL> {
  const { bucket, endpoint } = await given(t);
  const key = "a/b c+d(1)!";
  await bucket.put(key, [bytes], {});
  const options = { bucket: "images", endpoint, credentials: serviceAccount };
  const signing = await createGcsBucket(options, { now });
  t.after(async () => await signing.close());
  const url = await signing.url(key, method);
  assert(url !== undefined);
  return new URL(url);
}

describe("Signed URLs of Google Cloud Storage", () => {
  it("are those that Google's own package makes", async () => {
    const at = Math.floor(Date.now() / 1000) * 1000;
    const options = { bucket: "images", credentials: serviceAccount };
    const bucket = await createGcsBucket(options, { now: () => at });
    // oxlint-disable-next-line typescript/no-deprecated
    const storage = new Storage({ credentials: serviceAccount });
    for (const key of ["a", "x/y/z", "a b+c%d", "é/ü", "(1)!*'"]) {
      const expires = at + 20 * 60 * 1000;
      const config = { version: "v4", action: "read", accessibleAt: at, expires } as const;
      const [expected] = await storage.bucket("images").file(key).getSignedUrl(config);
      assert.equal(queryOf(await bucket.url(key, "GET")), queryOf(expected), key);
      assert.notEqual(queryOf(await bucket.url(key, "HEAD")), queryOf(expected));
    }
    await bucket.close();
  });

  it("give a client the object by GET, and its size by HEAD", async (t) => {
    const got = await fetch(await linked(t, "GET"));
    assert.equal(got.status, 200);
    assert(Buffer.from(await got.arrayBuffer()).equals(bytes));
    const head = await fetch(await linked(t, "HEAD"), { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get("content-length"), String(bytes.byteLength));
  });

  it("are refused when changed, for another method, and after 20 minutes", async (t) => {
    const url = await linked(t, "GET");
    const other = new URL(url);
    other.pathname += "x";
    const longer = new URL(url);
    longer.searchParams.set("X-Goog-Expires", "86400");
    for (const changed of [other, longer]) assert.equal((await fetch(changed)).status, 403);
    for (const method of ["PUT", "DELETE", "HEAD"]) {
      assert.equal((await fetch(url, { method })).status, 403, method);
    }
    const minute = 60 * 1000;
    const late = await linked(t, "GET", () => Date.now() - 21 * minute);
    assert.equal((await fetch(late)).status, 400);
    const inTime = await linked(t, "GET", () => Date.now() - 18 * minute);
    assert.equal((await fetch(inTime)).status, 200);
  });
});

describe("Credentials for Google Cloud Storage", () => {
  it("are exchanged for a token, once for many requests", async (t) => {
    const tokens = new TokenServer("the token");
    t.after(() => tokens.close());
    const { folder, write } = temporary(t);
    const credentials = {
      type: "external_account",
      audience:
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: await tokens.listen(),
      credential_source: { file: write("subject", "of the machine") },
    };
    const keyFile = write("key.json", JSON.stringify(credentials));
    assert(keyFile.startsWith(folder));
    const server = { token: "the token" };
    const { bucket } = await given(t, { server, options: { anonymous: false, keyFile } });
    for (const key of ["a", "b", "c"]) await bucket.put(key, [bytes], {});
    const { items } = await bucket.list("", undefined, {});
    assert.deepEqual(
      items.map(({ key }) => key),
      ["a", "b", "c"],
    );
    assert.equal(tokens.count, 1);
    assert.equal(await bucket.url("a", "GET"), undefined, "there is no key to sign with");
  });

  it("that are refused are an error that says so", async (t) => {
    const { bucket } = await given(t, { server: { token: "another" } });
    await assert.rejects(bucket.head("a", {}), isError(/HTTP 401.*check keyfile/, false));
  });

  it("are waited for as long as the call may take", async (t) => {
    const tokens = new TokenServer(undefined);
    t.after(() => tokens.close());
    const credentials = {
      type: "external_account",
      audience:
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: await tokens.listen(),
      credential_source: { file: temporary(t).write("subject", "of the machine") },
    };
    const { bucket } = await given(t, { options: { anonymous: false, credentials } });
    const abort = new AbortController();
    const asked = bucket.head("a", { signal: abort.signal });
    await tokens.asked;
    const reason = new Error("too long");
    abort.abort(reason);
    await assert.rejects(asked, reason);
  });

  it("in a file that is not there, or is none, are an error without a secret", async (t) => {
    const { write } = temporary(t);
    const open = async (keyFile: string): Promise<ObjectBucket> =>
      await createGcsBucket({ bucket: "images", keyFile }, { now: Date.now });
    await assert.rejects(open("/not/there"), /storage\.gcs\.keyfile: \/not\/there cannot be read/);
    const wrong = write("key.json", '{"private_key": "secret" oops');
    await assert.rejects(open(wrong), (error: unknown) => {
      assert(error instanceof Error);
      assert(!String(error.stack).includes("secret"));
      return /is not JSON/.test(error.message);
    });
  });
});

describe("Google Cloud Storage", () => {
  it("is told who asks, and no more is under way than was allowed", async (t) => {
    const options = { userAgent: "our registry", maxConcurrency: 30 };
    const { bucket, server } = await given(t, { options });
    const full = Promise.withResolvers<void>();
    server.fault = async () => {
      if (server.peak === 30) full.resolve();
      await full.promise;
      return undefined;
    };
    await Promise.all(Array.from({ length: 90 }, () => bucket.head(randomUUID(), {})));
    assert.equal(server.peak, 30);
    assert.equal(server.requests.length, 90);
    const agents = new Set(server.requests.map(({ headers }) => headers["user-agent"]));
    assert.deepEqual([...agents], ["our registry longshore"]);
  });

  it("is asked once per call, by few requests for an object", async (t) => {
    const { bucket, server } = await given(t);
    await bucket.put("a", [bytes], {});
    await bucket.head("a", {});
    await (await bucket.get("a", undefined, {}))?.body.cancel();
    await bucket.list("", undefined, {});
    await bucket.delete(["a"], {});
    assert.equal(server.requests.length, 5);
    server.fault = () => ({ status: 503, text: "Service Unavailable" });
    await assert.rejects(bucket.head("a", {}));
    assert.equal(server.requests.length, 6);
  });

  it("tells an object that is not there from a bucket that is not", async (t) => {
    const { bucket } = await given(t, { options: { bucket: "other" } });
    const calls = [
      bucket.head("a", {}),
      bucket.get("a", undefined, {}),
      bucket.put("a", [], {}),
      bucket.delete(["a"], {}),
      bucket.list("", undefined, {}),
      bucket.beginParts("a", {}),
      bucket.listParts("", undefined, {}),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      assert(outcome.status === "rejected");
      assert(isError(/HTTP 404.*check bucket/, false)(outcome.reason));
    }
  });

  const jsonError = (code: number, reason: string): string =>
    JSON.stringify({ error: { code, message: "words", errors: [{ reason }] } });
  const failures: readonly [number, string, boolean][] = [
    [400, jsonError(400, "invalid"), false],
    [403, jsonError(403, "forbidden"), false],
    [403, jsonError(403, "rateLimitExceeded"), true],
    [404, "<html>a proxy's page</html>", false],
    [408, "", true],
    [429, jsonError(429, "rateLimitExceeded"), true],
    [500, jsonError(500, "backendError"), true],
    [501, "", false],
    [502, "<html>a proxy's page</html>", true],
    [503, "<Error><Code>SlowDown</Code><Message>words</Message></Error>", true],
  ];
  for (const [status, text, transient] of failures) {
    const later = transient ? "may be asked again" : "is final";
    it(`that says ${status} ${text.slice(0, 70)} ${later}`, async (t) => {
      const { bucket, server } = await given(t);
      server.fault = () => ({ status, text });
      const calls = [
        bucket.head("a", {}),
        bucket.get("a", undefined, {}),
        bucket.put("a", [bytes], {}),
        bucket.completeParts({ key: "a", id: "b" }, [{ number: 1, tag: "c" }], {}),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        assert(outcome.status === "rejected");
        assert(isError(new RegExp(`HTTP ${status}`), transient)(outcome.reason));
      }
    });
  }

  it("that closes the connection may be asked again, amid a body as well", async (t) => {
    const { bucket, server } = await given(t);
    await bucket.put("a", [bytes], {});
    server.fault = () => "reset";
    await assert.rejects(bucket.head("a", {}), isError(/ECONNRESET/, true));
    server.fault = () => "truncate";
    const opened = await bucket.get("a", undefined, {});
    assert.equal(opened?.size, bytes.byteLength);
    await assert.rejects(readAll(opened.body), isError(/^gcs: get: /, true));
  });

  it("that fails after it has said 200 has failed", async (t) => {
    const { bucket, server } = await given(t);
    const complete = async (): Promise<void> =>
      await bucket.completeParts({ key: "a", id: "b" }, [{ number: 1, tag: "c" }], {});
    server.fault = () => ({ status: 200, text: "<Error><Code>InternalError</Code></Error>" });
    await assert.rejects(complete(), isError(/InternalError/, true));
    server.fault = () => ({ status: 200, text: "<Error><Code>NoSuchUpload</Code></Error>" });
    await assert.rejects(complete(), PartsUnknown);
  });

  it("is not asked for parts of a size that cannot be", async () => {
    for (const chunkBytes of [0, -262_144, 300_000, 6 * 1024 ** 3]) {
      const opened = createGcsBucket({ bucket: "images", chunkBytes }, { now: Date.now });
      await assert.rejects(opened, /storage\.gcs\.chunksize/);
    }
    const endpoint = createGcsBucket({ bucket: "images", endpoint: "nowhere" }, { now: Date.now });
    await assert.rejects(endpoint, /storage\.gcs: the endpoint is not a URL/);
  });
});

function isError(message: RegExp, transient: boolean): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof BucketError, String(error));
    assert.match(error.message, message);
    assert.equal(error.transient, transient, error.message);
    return true;
  };
}

function queryOf(url: string | undefined): unknown {
  const { host, pathname, search } = new URL(url ?? "");
  const pairs = search.slice(1).split("&").toSorted();
  return JSON.stringify([host, pathname, pairs]);
}

function temporary(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "longshore-gcs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  return { folder, write };
}
