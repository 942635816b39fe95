/** What Azure is told and says, as far as it needs no server of Azure's: options and errors. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { createAzureBucket } from "../../src/storage/azure/azure-bucket.ts";
import type { AzureOptions } from "../../src/storage/azure/azure-options.ts";
import { readAll } from "../../src/storage/contract-support.ts";
import {
  BucketError,
  PartsUnknown,
  type ObjectBucket,
} from "../../src/storage/objects/object-bucket.ts";

const accountKey = Buffer.from("the account's key").toString("base64");
const options: AzureOptions = {
  accountName: "account",
  container: "images",
  credentials: { type: "shared_key", accountKey },
};

async function open(changes: Partial<AzureOptions> = {}): Promise<ObjectBucket> {
  return await createAzureBucket({ ...options, ...changes }, { now: Date.now, newId: randomUUID });
}

/** A bucket on a server that answers each request as `answer` does. */
async function given(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    request.resume().once("end", () => answer(request, response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const bucket = await open({ serviceUrl: `http://127.0.0.1:${port}/account/` });
  t.after(async () => {
    await bucket.close();
    server.closeAllConnections();
    server.close();
  });
  return { bucket, requests };
}

function refusing(status: number, code: string) {
  return (_: IncomingMessage, response: ServerResponse): void => {
    const headers = { "x-ms-error-code": code, "Content-Type": "application/xml" };
    response.writeHead(status, headers).end(`<Error><Code>${code}</Code></Error>`);
  };
}

describe("Options of Azure", () => {
  it("say where the blobs are", async () => {
    const hosts: readonly [Partial<AzureOptions>, string][] = [
      [{}, "https://account.blob.core.windows.net/images/a/b"],
      [{ realm: "core.chinacloudapi.cn" }, "https://account.blob.core.chinacloudapi.cn/images/a/b"],
      [{ serviceUrl: "https://blobs.example.com/x/" }, "https://blobs.example.com/x/images/a/b"],
    ];
    for (const [changes, expected] of hosts) {
      const bucket = await open(changes);
      const url = new URL((await bucket.url("a/b", "GET")) ?? "");
      assert.equal(decodeURIComponent(`${url.origin}${url.pathname}`), expected);
      assert.equal(url.searchParams.get("spr"), "https");
      await bucket.close();
    }
  });

  it("that cannot be are an error without a secret", async () => {
    const secret = "c2VjcmV0c2VjcmV0";
    const wrong: readonly [Partial<AzureOptions>, RegExp][] = [
      [{ serviceUrl: "blobs.example.com" }, /storage\.azure\.serviceurl/],
      [{ realm: "no host" }, /storage\.azure\.realm/],
      [
        { credentials: { type: "shared_key", accountKey: `${secret} ` } },
        /storage\.azure\.accountkey/,
      ],
      [
        { credentials: undefined, connectionString: `AccountKey=${secret};` },
        /storage\.azure\.connectionstring/,
      ],
      [{ chunkBytes: 1000 }, /storage\.azure: blocks of 1000 bytes/],
    ];
    for (const [changes, message] of wrong) {
      await assert.rejects(open(changes), (error: unknown) => {
        assert(error instanceof Error);
        assert(!String(error.stack).includes(secret));
        return message.test(error.message);
      });
    }
  });

  it("that let a signature in give no URLs, which would give it away", async () => {
    const parts = [
      "BlobEndpoint=https://account.blob.core.windows.net/",
      "SharedAccessSignature=sv=2020-12-06&ss=b&srt=sco&sp=rwl&sig=abc",
    ];
    const bucket = await open({ credentials: undefined, connectionString: parts.join(";") });
    assert.equal(await bucket.url("a", "GET"), undefined);
    await bucket.close();
  });

  it("with credentials do without the connection string, as Distribution does", async () => {
    const bucket = await open({ connectionString: "anything" });
    await bucket.close();
  });
});

describe("Azure", () => {
  const failures: readonly [number, string, boolean][] = [
    [400, "InvalidUri", false],
    [400, "Md5Mismatch", true],
    [403, "AuthorizationPermissionMismatch", false],
    [404, "ContainerNotFound", false],
    [409, "ContainerBeingDeleted", true],
    [429, "TooManyRequests", true],
    [500, "InternalError", true],
    [500, "OperationTimedOut", true],
    [501, "NotImplemented", false],
    [503, "ServerBusy", true],
  ];
  for (const [status, code, transient] of failures) {
    const later = transient ? "may be asked again" : "is final";
    it(`that says ${status} ${code} ${later}, and is asked once`, async (t) => {
      const { bucket, requests } = await given(t, refusing(status, code));
      const calls = [
        bucket.head("a", {}),
        bucket.get("a", undefined, {}),
        bucket.put("a", [Buffer.alloc(100_000)], {}),
        bucket.list("", undefined, {}),
        bucket.putPart({ key: "a", id: "b" }, 1, [Buffer.alloc(10)], {}),
        bucket.completeParts({ key: "a", id: "b" }, [{ number: 1, tag: "c" }], {}),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        assert(outcome.status === "rejected");
        assert(outcome.reason instanceof BucketError, String(outcome.reason));
        assert.match(outcome.reason.message, new RegExp(`${code}; HTTP ${status}`));
        assert.equal(outcome.reason.transient, transient);
        assert(!outcome.reason.message.includes(accountKey));
      }
      assert.equal(requests.length, calls.length);
    });
  }

  it("that closes the connection may be asked again", async (t) => {
    const { bucket, requests } = await given(t, (_, response) => response.destroy());
    await assert.rejects(bucket.head("a", {}), isTransient);
    await assert.rejects(bucket.put("a", [Buffer.alloc(10)], {}), isTransient);
    assert.equal(requests.length, 2);
  });

  it("that breaks a body off may be asked again", async (t) => {
    const { bucket, requests } = await given(t, (_, response) => {
      response.writeHead(200, { "Content-Length": 100, ETag: `"1"` });
      response.write(Buffer.alloc(40), () => response.destroy());
    });
    const opened = await bucket.get("a", undefined, {});
    assert.equal(opened?.size, 100);
    await assert.rejects(readAll(opened.body), isTransient);
    assert.equal(requests.length, 1);
  });

  it("that does not have a block says that the parts are unknown", async (t) => {
    const { bucket } = await given(t, refusing(400, "InvalidBlockList"));
    const completed = bucket.completeParts({ key: "a", id: "b" }, [{ number: 1, tag: "c" }], {});
    await assert.rejects(completed, PartsUnknown);
  });

  it("that cannot copy is not asked again", async (t) => {
    const { bucket, requests } = await given(t, refusing(501, "NotImplemented"));
    const source = { key: "b", span: { start: 0, end: 9 } };
    for (const number of [1, 2, 3]) {
      assert.equal(await bucket.copyPart({ key: "a", id: "b" }, number, source, {}), undefined);
    }
    assert.equal(requests.length, 1);
  });
});

function isTransient(error: unknown): boolean {
  assert(error instanceof BucketError, String(error));
  return error.transient;
}
