/** Pulling manifests, and checking that they are there. spec: end-3. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { algorithms, descriptor, digestOf, image, index, noise, type Content } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import { pushImage, pushManifest } from "./pushing.ts";

const absent = digestOf(noise(10, "absent"));
const ociManifest = "application/vnd.oci.image.manifest.v1+json";
const ociIndex = "application/vnd.oci.image.index.v1+json";
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

function expectManifestAnswer(answer: Answer, manifest: Content): void {
  expectAnswer(answer, 200, {
    "content-type": manifest.mediaType,
    "content-length": String(manifest.bytes.byteLength),
    "docker-content-digest": manifest.digest,
    etag: `"${manifest.digest}"`,
  });
}

describeRegistry("Pulling a manifest (end-3)", (given) => {
  it("gives the bytes that were pushed, by tag and by digest", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "bytes" }), "1.0", "latest");
    for (const reference of ["1.0", "latest", pushed.digest]) {
      const answer = await client.get(`/v2/${repository}/manifests/${reference}`);
      expectManifestAnswer(answer, pushed);
      assert.deepEqual(answer.bytes, pushed.bytes);
    }
  });

  it("says the same to HEAD, without the bytes", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "head" }), "1.0");
    for (const reference of ["1.0", pushed.digest]) {
      expectManifestAnswer(await client.head(`/v2/${repository}/manifests/${reference}`), pushed);
    }
  });

  it("knows it by the digest of whatever algorithm it was pushed by", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const algorithm of algorithms) {
      const pushed = await pushImage(client, repository, image({ seed: algorithm, algorithm }));
      const target = `/v2/${repository}/manifests/${pushed.digest}`;
      const answer = await client.get(target);
      expectManifestAnswer(answer, pushed);
      assert.deepEqual(answer.bytes, pushed.bytes);
      expectManifestAnswer(await client.head(target), pushed);
    }
  });

  it("serves each media type as it was pushed", async () => {
    const { client } = given;
    const repository = given.repository();
    const oci = await pushImage(client, repository, image({ seed: "oci" }));
    const docker = await pushImage(client, repository, image({ seed: "docker", docker: true }));
    const bare = image({ seed: "bare", fields: { mediaType: undefined } });
    await pushImage(client, repository, bare);
    const bareIndex = index([descriptor(oci)], { fields: { mediaType: undefined } });
    const list = index([descriptor(docker)], { docker: true });
    const indexes = [index([descriptor(oci)]), bareIndex, list];
    for (const each of indexes) await pushManifest(client, repository, each);
    for (const each of [oci, docker, bare, ...indexes]) {
      expectManifestAnswer(await client.get(`/v2/${repository}/manifests/${each.digest}`), each);
    }
  });

  it("is 404 for what is not there", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushImage(client, repository, image({ seed: "there" }), "latest");
    for (const [name, reference] of [
      [repository, "absent"],
      [repository, absent],
      ["team/absent", "latest"],
      ["team/absent", absent],
    ] as const) {
      const target = `/v2/${name}/manifests/${reference}`;
      expectError(await client.get(target), 404, "MANIFEST_UNKNOWN");
      expectAnswer(await client.head(target), 404);
    }
  });

  it("is 404 for what can be no tag, as released conformance suites ask for", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushImage(client, repository, image({ seed: "no tag" }), "latest");
    for (const reference of [".INVALID_MANIFEST_NAME", "-a", "a".repeat(129), "a+b", "a@b"]) {
      const target = `/v2/${repository}/manifests/${reference}`;
      expectAnswer(await client.get(target), 404);
      expectAnswer(await client.head(target), 404);
    }
  });

  it("is 400 for what is meant as a digest and is none", async () => {
    const { client } = given;
    const hex = absent.slice("sha256:".length);
    const references = [
      "sha256:abc",
      `sha256:${hex.toUpperCase()}`,
      `sha256:${hex}0`,
      `md5:${hex.slice(0, 32)}`,
      `sha512:${hex}`,
      "a:b",
    ];
    for (const reference of references) {
      const target = `/v2/team/app/manifests/${reference}`;
      expectError(await client.get(target), 400, "DIGEST_INVALID");
    }
  });

  it("does not take blobs for manifests, nor manifests for blobs", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "kinds" }));
    const [config] = pushed.blobs;
    const asManifest = await client.get(`/v2/${repository}/manifests/${config?.digest}`);
    expectError(asManifest, 404, "MANIFEST_UNKNOWN");
    const asBlob = await client.get(`/v2/${repository}/blobs/${pushed.digest}`);
    expectError(asBlob, 404, "BLOB_UNKNOWN");
  });
});

describeRegistry("Accept", (given) => {
  const taking: readonly (readonly string[])[] = [
    [],
    ["*/*"],
    ["application/*"],
    [ociManifest],
    [`${ociManifest};q=0.5`],
    [`${dockerManifest}, ${ociManifest}`],
    [dockerManifest, ociManifest, "application/json"],
    [`text/html, */*;q=0.1`],
  ];

  it("finds an OCI image when it lists it, has a wildcard, or is missing", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "accept" }), "latest");
    for (const accept of taking) {
      const headers = accept.length === 0 ? {} : { Accept: accept };
      for (const reference of ["latest", pushed.digest]) {
        const target = `/v2/${repository}/manifests/${reference}`;
        expectManifestAnswer(await client.get(target, headers), pushed);
        expectManifestAnswer(await client.head(target, headers), pushed);
      }
    }
  });

  it("hides an OCI image from clients that do not list it, as Distribution does", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "old" }), "latest");
    for (const accept of [dockerManifest, `${dockerManifest}, ${dockerList}`, "text/html"]) {
      for (const reference of ["latest", pushed.digest]) {
        const target = `/v2/${repository}/manifests/${reference}`;
        expectError(await client.get(target, { Accept: accept }), 404, "MANIFEST_UNKNOWN");
        expectAnswer(await client.head(target, { Accept: accept }), 404);
      }
    }
  });

  it("does not matter for other types", async () => {
    const { client } = given;
    const repository = given.repository();
    const oci = await pushImage(client, repository, image({ seed: "other types" }));
    const docker = await pushImage(
      client,
      repository,
      image({ seed: "docker", docker: true }),
      "d",
    );
    const ociIndexed = index([descriptor(oci)]);
    await pushManifest(client, repository, ociIndexed, "i");
    for (const accept of ["text/html", ociManifest, dockerManifest]) {
      const headers = { Accept: accept };
      expectManifestAnswer(await client.get(`/v2/${repository}/manifests/d`, headers), docker);
      expectManifestAnswer(await client.get(`/v2/${repository}/manifests/i`, headers), ociIndexed);
    }
  });

  it("brings the linux/amd64 image of a Docker list to clients older than lists", async () => {
    const { client } = given;
    const repository = given.repository();
    const arm = await pushImage(client, repository, image({ seed: "arm", docker: true }));
    const amd = await pushImage(client, repository, image({ seed: "amd", docker: true }));
    const children = [
      { ...descriptor(arm), platform: { os: "linux", architecture: "arm64" } },
      { ...descriptor(amd), platform: { os: "linux", architecture: "amd64" } },
    ];
    const list = index(children, { docker: true });
    await pushManifest(client, repository, list, "latest");
    const target = `/v2/${repository}/manifests/latest`;
    const old = { Accept: dockerManifest };
    const answer = await client.get(target, old);
    expectManifestAnswer(answer, amd);
    assert.deepEqual(answer.bytes, amd.bytes);
    expectManifestAnswer(await client.head(target, old), amd);
    expectManifestAnswer(await client.get(target), amd);
    const modern = { Accept: `${ociIndex}, ${dockerList}, ${dockerManifest}` };
    expectManifestAnswer(await client.get(target, modern), list);
    const byDigest = `/v2/${repository}/manifests/${list.digest}`;
    expectManifestAnswer(await client.get(byDigest, old), list);
  });

  it("brings nothing of a Docker list that has no linux/amd64 image", async () => {
    const { client } = given;
    const repository = given.repository();
    const arm = await pushImage(client, repository, image({ seed: "arm only", docker: true }));
    const child = { ...descriptor(arm), platform: { os: "linux", architecture: "arm64" } };
    await pushManifest(client, repository, index([child], { docker: true }), "latest");
    const answer = await client.get(`/v2/${repository}/manifests/latest`, {
      Accept: dockerManifest,
    });
    expectError(answer, 404, "MANIFEST_UNKNOWN");
  });
});

describeRegistry("Conditions on a manifest", (given) => {
  it("make a 304 where the client has it, however it writes that", async () => {
    const { client } = given;
    const repository = given.repository();
    const { digest } = await pushImage(client, repository, image({ seed: "304" }), "latest");
    const values = [`"${digest}"`, digest, `W/"${digest}"`, `"x", "${digest}"`, "*"];
    for (const value of values) {
      for (const reference of ["latest", digest]) {
        const target = `/v2/${repository}/manifests/${reference}`;
        for (const method of ["GET", "HEAD"]) {
          const headers = { "If-None-Match": value };
          const answer = await client.send(method, target, { headers });
          expectAnswer(answer, 304, { etag: `"${digest}"`, "docker-content-digest": digest });
        }
      }
    }
  });

  it("make a 200 where the tag has moved", async () => {
    const { client } = given;
    const repository = given.repository();
    const before = await pushImage(client, repository, image({ seed: "before" }), "latest");
    const now = await pushImage(client, repository, image({ seed: "now" }), "latest");
    const target = `/v2/${repository}/manifests/latest`;
    for (const value of [`"${before.digest}"`, before.digest, '"x", "y"', ""]) {
      expectManifestAnswer(await client.get(target, { "If-None-Match": value }), now);
    }
  });

  it("make a 412 without a body where If-Match names something else", async () => {
    const { client } = given;
    const repository = given.repository();
    const pushed = await pushImage(client, repository, image({ seed: "412" }), "latest");
    const { digest } = pushed;
    const target = `/v2/${repository}/manifests/latest`;
    for (const value of [`"${absent}"`, `"x", "y"`, `W/"${digest}"`]) {
      const answer = await client.get(target, { "If-Match": value });
      expectAnswer(answer, 412, { "content-length": "0" });
      expectAnswer(await client.head(target, { "If-Match": value }), 412);
    }
    for (const value of [`"${digest}"`, `"x", "${digest}"`, "*"]) {
      expectManifestAnswer(await client.get(target, { "If-Match": value }), pushed);
    }
    const both = { "If-Match": `"${absent}"`, "If-None-Match": `"${digest}"` };
    expectAnswer(await client.get(target, both), 412);
  });

  it("do not hide that something is not there", async () => {
    const { client } = given;
    const target = `/v2/${given.repository()}/manifests/latest`;
    for (const header of ["If-None-Match", "If-Match"]) {
      expectError(await client.get(target, { [header]: "*" }), 404, "MANIFEST_UNKNOWN");
    }
  });
});
