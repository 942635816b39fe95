/** The Azure adapter on Azurite: the contracts of the bucket and of the store, and signed URLs. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import type { AzureSurroundings } from "../../src/storage/azure/azure-bucket.ts";
import { createAzureBucket } from "../../src/storage/azure/azure-bucket.ts";
import type { AzureOptions } from "../../src/storage/azure/azure-options.ts";
import type { BlobStore } from "../../src/storage/blob-store.ts";
import { blobStoreContract } from "../../src/storage/contract.ts";
import { objectBucketContract } from "../../src/storage/objects/contract-bucket.ts";
import { BucketError, type ObjectBucket } from "../../src/storage/objects/object-bucket.ts";
import { createObjectStore } from "../../src/storage/objects/object-store.ts";
import { noise } from "../http/content.ts";
import { startAzurite } from "../servers/servers.ts";
import { createContainer } from "./support/azure-container.ts";

/** The smallest that there is, so that little content has many parts. */
const partBytes = 1024 * 1024;

const server = await startAzurite();
const container = await createContainer(server);
after(async () => await server.stop());

const options: AzureOptions = {
  accountName: server.account,
  container,
  credentials: { type: "shared_key", accountKey: server.key },
  serviceUrl: server.endpoint,
  chunkBytes: partBytes,
};

async function open(
  changes: Partial<AzureOptions> = {},
  surroundings: Partial<AzureSurroundings> = {},
): Promise<ObjectBucket> {
  const defaults = { now: Date.now, newId: randomUUID };
  return await createAzureBucket({ ...options, ...changes }, { ...defaults, ...surroundings });
}

await objectBucketContract("Azure on Azurite", async () => await open());

async function contract(name: string, distributionKeys: boolean): Promise<void> {
  const roots = new WeakMap<BlobStore, string>();
  const store = async (rootDirectory: string): Promise<BlobStore> => {
    const bucket = await open();
    const made = createObjectStore({
      bucket,
      rootDirectory,
      newId: randomUUID,
      now: Date.now,
      distributionKeys,
    });
    roots.set(made, rootDirectory);
    return made;
  };
  await blobStoreContract(name, async () => await store(`/${randomUUID()}`), {
    openSecond: async (first) => await store(roots.get(first) ?? ""),
    partBytes,
  });
}

await contract("Azure on Azurite", false);
await contract("Azure on Azurite with Distribution's keys", true);

describe("Signed URLs of Azure", () => {
  const bytes = noise(100_000, "linked");
  const key = `links/${randomUUID()}/a b+c`;

  async function linked(
    method: "GET" | "HEAD",
    changes: Partial<AzureOptions> = {},
    surroundings: Partial<AzureSurroundings> = {},
  ): Promise<URL> {
    const bucket = await open(changes, surroundings);
    try {
      await bucket.put(key, [bytes], {});
      const url = await bucket.url(key, method);
      assert(url !== undefined);
      return new URL(url);
    } finally {
      await bucket.close();
    }
  }

  it("give a client the object by GET, and its size by HEAD", async () => {
    const got = await fetch(await linked("GET"));
    assert.equal(got.status, 200);
    assert(Buffer.from(await got.arrayBuffer()).equals(bytes));
    const head = await fetch(await linked("HEAD"), { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get("content-length"), String(bytes.byteLength));
  });

  it("give a client a range", async () => {
    const url = await linked("GET");
    const got = await fetch(url, { headers: { Range: "bytes=10-19" } });
    assert.equal(got.status, 206);
    assert(Buffer.from(await got.arrayBuffer()).equals(bytes.subarray(10, 20)));
  });

  it("are refused when anything in them is changed", async () => {
    const url = await linked("GET");
    const longer = new URL(url);
    longer.searchParams.set("se", "2099-01-01T00:00:00Z");
    const other = new URL(url);
    other.pathname += "x";
    const writing = new URL(url);
    writing.searchParams.set("sp", "rw");
    const unsigned = new URL(url);
    unsigned.search = "";
    for (const changed of [longer, other, writing, unsigned]) {
      const got = await fetch(changed);
      await got.arrayBuffer();
      assert(got.status === 403 || got.status === 404, `${got.status} for ${changed.search}`);
    }
    for (const method of ["PUT", "DELETE"]) {
      const got = await fetch(url, { method, headers: { "x-ms-blob-type": "BlockBlob" } });
      assert.equal(got.status, 403, method);
    }
  });

  it("are refused after 20 minutes", async () => {
    const minute = 60 * 1000;
    const now = (): number => Date.now() - 21 * minute;
    const late = await fetch(await linked("GET", {}, { now }));
    assert.equal(late.status, 403);
    const inTime = await fetch(await linked("GET", {}, { now: () => Date.now() - 18 * minute }));
    await inTime.arrayBuffer();
    assert.equal(inTime.status, 200);
  });

  it("are made with the key of a connection string", async () => {
    const parts = [
      `DefaultEndpointsProtocol=http;AccountName=${server.account};AccountKey=${server.key}`,
      `BlobEndpoint=${server.endpoint};`,
    ];
    const connectionString = parts.join(";");
    const got = await fetch(await linked("GET", { credentials: undefined, connectionString }));
    await got.arrayBuffer();
    assert.equal(got.status, 200);
  });
});

describe("What Azure refuses", () => {
  const wrongKey = Buffer.from("not the key").toString("base64");
  const refusals: readonly [string, Partial<AzureOptions>, RegExp][] = [
    ["a container that is not there", { container: "nowhere" }, /ContainerNotFound.*check cont/],
    [
      "a wrong key",
      { credentials: { type: "shared_key", accountKey: wrongKey } },
      /AuthorizationFailure|AuthenticationFailed/,
    ],
  ];
  for (const [what, changes, message] of refusals) {
    it(`is an error that says what to check: ${what}`, async () => {
      const bucket = await open(changes);
      const calls = [
        bucket.head("a", {}),
        bucket.get("a", undefined, {}),
        bucket.put("a", [], {}),
        bucket.list("", undefined, {}),
        bucket.listParts("", undefined, {}),
        bucket.delete(["a"], {}),
        bucket.completeParts({ key: "a", id: "b" }, [], {}),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        assert(outcome.status === "rejected");
        assert(outcome.reason instanceof BucketError, String(outcome.reason));
        assert.match(outcome.reason.message, message);
        assert.equal(outcome.reason.transient, false);
        assert(!outcome.reason.message.includes(wrongKey));
      }
      await bucket.close();
    });
  }

  it("is transient when nobody answers", async () => {
    const bucket = await open({ serviceUrl: "http://127.0.0.1:9/account" });
    await assert.rejects(bucket.head("a", {}), (error: unknown) => {
      assert(error instanceof BucketError);
      return error.transient && /ECONNREFUSED/.test(error.message);
    });
    await bucket.close();
  });
});
