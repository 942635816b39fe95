/** Where clients are sent for a blob: Distribution's storage middlewares. */
import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { BlobKey, BlobStore } from "../../src/storage/blob-store.ts";
import type { CloudFrontOptions, LinkOptions } from "../../src/storage/links/link-options.ts";
import { linkStore, type LinkSurroundings } from "../../src/storage/links/linked-store.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";

const key = "longshore/data/ab/abc-def/1" as BlobKey;
const signedUrl = "https://bucket.s3.example:9000/root/a?X-Amz-Signature=a%2Fb&x=1";

/** A store that signs. */
function signingStore(): BlobStore {
  const store = createMemoryStore({ now: () => 0 });
  store.url = (_, { method }) => Promise.resolve(`${signedUrl}&method=${method}`);
  return store;
}

function surroundings(given: Partial<LinkSurroundings> = {}): LinkSurroundings {
  return {
    s3RootDirectory: undefined,
    now: () => 1_700_000_000_999,
    fetch: () => assert.fail("nothing is to be fetched"),
    report: (problem, error) => assert.fail(`${problem}: ${String(error)}`),
    ...given,
  };
}

async function urlOf(
  links: readonly LinkOptions[],
  given: Partial<LinkSurroundings> = {},
  store: BlobStore = signingStore(),
): Promise<string | undefined> {
  const linked = await linkStore(store, links, surroundings(given));
  const url = await linked.url(key, { method: "GET" });
  await linked.close();
  return url;
}

describe("The middleware redirect", () => {
  it("puts a blob's key below its base, whatever the store itself can do", async () => {
    const unsigned = createMemoryStore({ now: () => 0 });
    for (const [baseUrl, expected] of [
      ["https://cdn.example", `https://cdn.example/${key}`],
      ["https://cdn.example/", `https://cdn.example/${key}`],
      ["http://cdn.example:8080/mirror/", `http://cdn.example:8080/mirror/${key}`],
    ] as const) {
      assert.equal(await urlOf([{ kind: "redirect", baseUrl }], {}, unsigned), expected);
    }
  });

  it("refuses a base that is no base", async () => {
    for (const baseUrl of ["cdn.example", "/path", "https://cdn.example/?a=b", "https://u:p@x/"]) {
      await assert.rejects(urlOf([{ kind: "redirect", baseUrl }]), /middleware redirect: baseurl/);
    }
  });
});

describe("The middleware rewrite", () => {
  it("changes scheme, host and the path's beginning, and never what was signed", async () => {
    const query = "?X-Amz-Signature=a%2Fb&x=1&method=GET";
    for (const [options, expected] of [
      [{}, `https://bucket.s3.example:9000/root/a${query}`],
      [{ scheme: "http" }, `http://bucket.s3.example:9000/root/a${query}`],
      [{ host: "cdn.example" }, `https://cdn.example/root/a${query}`],
      [{ host: "cdn.example:8443", scheme: "" }, `https://cdn.example:8443/root/a${query}`],
      [{ trimPathPrefix: "/root" }, `https://bucket.s3.example:9000/a${query}`],
      [{ trimPathPrefix: "/root/" }, `https://bucket.s3.example:9000/a${query}`],
      [{ trimPathPrefix: "/other" }, `https://bucket.s3.example:9000/root/a${query}`],
    ] as const) {
      assert.equal(await urlOf([{ kind: "rewrite", ...options }]), expected);
    }
  });

  it("leaves alone what the store does not sign, and works on top of another", async () => {
    const unsigned = createMemoryStore({ now: () => 0 });
    const rewrite = { kind: "rewrite", host: "inner.example" } as const;
    assert.equal(await urlOf([rewrite], {}, unsigned), undefined);
    const redirect = { kind: "redirect", baseUrl: "https://cdn.example" } as const;
    assert.equal(await urlOf([redirect, rewrite], {}, unsigned), `https://inner.example/${key}`);
    assert.equal(await urlOf([rewrite, redirect], {}, unsigned), `https://cdn.example/${key}`);
  });
});

describe("The middleware cloudfront", () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  let folder = "";
  let options: CloudFrontOptions;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "longshore-links-"));
    for (const type of ["pkcs1", "pkcs8"] as const) {
      await writeFile(join(folder, type), privateKey.export({ type, format: "pem" }));
    }
    const privateKeyPath = join(folder, "pkcs1");
    const baseUrl = "https://d1.cloudfront.net/";
    options = { kind: "cloudfront", baseUrl, privateKeyPath, keyPairId: "K2JCJMDEHXQW5F" };
  });

  after(() => rm(folder, { recursive: true }));

  it("signs a canned policy that CloudFront's public key verifies", async () => {
    for (const [root, path, more] of [
      ["", key, {}],
      ["/my root/", `my%20root/${key}`, { privateKeyPath: join(folder, "pkcs8") }],
      ["", `cdn/${key}`, { baseUrl: "d1.cloudfront.net/cdn", durationMs: 60_000 }],
    ] as const) {
      const wanted = { ...options, ...more };
      const url = (await urlOf([wanted], { s3RootDirectory: root })) ?? "";
      const [address = "", query = ""] = url.split("?");
      assert.equal(address, `https://d1.cloudfront.net/${path}`);
      const parameters = new URLSearchParams(query);
      assert.deepEqual([...parameters.keys()], ["Expires", "Signature", "Key-Pair-Id"]);
      const expires = 1_700_000_000 + ("durationMs" in more ? 60 : 1200);
      assert.equal(parameters.get("Expires"), String(expires));
      assert.equal(parameters.get("Key-Pair-Id"), options.keyPairId);
      const policy = JSON.stringify({
        Statement: [
          { Resource: address, Condition: { DateLessThan: { "AWS:EpochTime": expires } } },
        ],
      });
      const safe = parameters.get("Signature") ?? "";
      assert.match(safe, /^[A-Za-z0-9\-_~]+$/);
      const base64 = safe.replaceAll("-", "+").replaceAll("_", "=").replaceAll("~", "/");
      const signature = Buffer.from(base64, "base64");
      assert(verify("sha1", Buffer.from(policy), publicKey, signature), "the signature is wrong");
    }
  });

  it("is refused in front of anything but S3, and without a usable key", async () => {
    await assert.rejects(urlOf([options]), /cloudfront: works only .* driver s3/);
    const s3RootDirectory = "";
    const broken = join(folder, "broken");
    await writeFile(broken, "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n");
    const { privateKey: other } = generateKeyPairSync("ed25519");
    const ed25519 = join(folder, "ed25519");
    await writeFile(ed25519, other.export({ type: "pkcs8", format: "pem" }));
    for (const [privateKeyPath, message] of [
      [join(folder, "absent"), /privatekey .*absent cannot be read \(ENOENT\)$/],
      [broken, /privatekey .*broken is not a private key/],
      [ed25519, /privatekey .*ed25519 is not an RSA key$/],
    ] as const) {
      await assert.rejects(urlOf([{ ...options, privateKeyPath }], { s3RootDirectory }), message);
    }
  });

  it("sends clients within AWS to the bucket, as far as the list is known", async (t) => {
    let isListed = false;
    const listed = await serveList(t, (_, response) => {
      isListed = true;
      response.end(JSON.stringify(ranges));
    });
    const near = async (ipFilter: CloudFrontOptions["ipFilter"]): Promise<string[]> => {
      isListed = false;
      const links = [{ ...options, ipFilter, ipRangesUrl: listed }];
      const given = surroundings({ s3RootDirectory: "", fetch });
      const store = await linkStore(signingStore(), links, given);
      const isNear = async (clientAddress?: string): Promise<boolean> => {
        const url = await store.url(key, { method: "GET", clientAddress });
        return url?.startsWith("https://bucket.s3.example") === true;
      };
      assert.equal(await isNear("3.5.140.7"), false, "nothing is known yet");
      while (!(await isNear("3.5.140.7"))) await setImmediate();
      assert(isListed);
      const found: string[] = [];
      for (const address of addresses) if (await isNear(address)) found.push(address);
      assert.equal(await isNear(undefined), false);
      await store.close();
      return found;
    };
    assert.deepEqual(await near("aws"), ["3.5.140.7", "52.94.0.1", "2600:1f14::1"]);
    assert.deepEqual(await near({ regions: ["ap-northeast-2"] }), ["3.5.140.7"]);
  });

  it("serves everybody from CloudFront while the list cannot be had, and asks again", async (t) => {
    const answers: RequestListener[] = [
      (_, response) => response.writeHead(500).end(),
      (_, response) => response.end("<html>"),
      (_, response) => response.end('{"prefixes":[]}'),
      (_, response) => response.end(Buffer.alloc(17 * 1024 * 1024, " ")),
      (_, response) => response.end(JSON.stringify(ranges)),
    ];
    let asked = 0;
    const ipRangesUrl = await serveList(t, (request, response) => {
      answers[asked]?.(request, response);
      asked += 1;
    });
    let now = 1000;
    const problems: string[] = [];
    const report = (problem: string): void => void problems.push(problem);
    const given = surroundings({ s3RootDirectory: "", fetch, now: () => now, report });
    const store = await linkStore(
      signingStore(),
      [{ ...options, ipFilter: "aws", ipRangesUrl }],
      given,
    );
    const ask = (): Promise<string | undefined> =>
      store.url(key, { method: "GET", clientAddress: "3.5.140.7" });
    for (let failures = 1; failures < answers.length; failures += 1) {
      while (problems.length < failures) await setImmediate();
      for (let pulls = 0; pulls < 3; pulls += 1) assert.match((await ask()) ?? "", /cloudfront/);
      assert.equal(asked, failures);
      now += 60_000;
      await ask();
    }
    while (/cloudfront/.test((await ask()) ?? "")) await setImmediate();
    now += 11 * 60 * 60 * 1000;
    await ask();
    assert.equal(asked, answers.length);
    await store.close();
  });
});

const ranges = {
  prefixes: [
    { ip_prefix: "3.5.140.0/22", region: "ap-northeast-2", service: "AMAZON" },
    { ip_prefix: "52.94.0.0/22", region: "us-east-1", service: "S3" },
    { ip_prefix: "not a network", region: "us-east-1" },
    { ip_prefix: "1.2.3.0/99", region: "us-east-1" },
    "not an entry",
  ],
  ipv6_prefixes: [{ ipv6_prefix: "2600:1f14::/35", region: "us-west-2", service: "AMAZON" }],
};

const addresses = ["3.5.140.7", "52.94.0.1", "52.95.0.1", "2600:1f14::1", "2601::1", "unknown", ""];

async function serveList(
  t: { after(end: () => unknown): void },
  listener: RequestListener,
): Promise<string> {
  const server = createServer(listener);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ip-ranges.json`;
}
