/** Pushing manifests: their types, names, tags and limits. spec: end-7a, end-7b. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError } from "./answer.ts";
import { streamOf } from "./client.ts";
import {
  algorithms,
  content,
  descriptor,
  digestOf,
  emptyConfig,
  image,
  index,
  json,
  noise,
  referrer,
} from "./content.ts";
import { describeRegistry, type Given } from "./matrix.ts";
import {
  expectManifest,
  pushBlob,
  pushImage,
  pushManifest,
  putManifest,
  tagsOf,
} from "./pushing.ts";

const bytesMax = 4 * 1024 * 1024;
const ociManifest = "application/vnd.oci.image.manifest.v1+json";

describeRegistry("Pushing a manifest (end-7a)", (given) => {
  it("is 201 with its digest and its URL by digest, for each media type", async () => {
    const { client } = given;
    const repository = given.repository();
    const oci = await pushImage(client, repository, image({ seed: "oci" }));
    const docker = await pushImage(client, repository, image({ seed: "docker", docker: true }));
    const ociIndexed = index([descriptor(oci)]);
    const list = index([descriptor(docker)], { docker: true });
    for (const manifest of [oci, docker, ociIndexed, list]) {
      for (const reference of ["tag", manifest.digest]) {
        expectAnswer(await putManifest(client, repository, manifest, reference), 201, {
          location: `http://registry.example/v2/${repository}/manifests/${manifest.digest}`,
          "docker-content-digest": manifest.digest,
          "content-length": "0",
          "oci-subject": undefined,
          "oci-tag": undefined,
        });
        const headers = { Accept: manifest.mediaType };
        const pulled = await client.get(`/v2/${repository}/manifests/${reference}`, headers);
        expectAnswer(pulled, 200, { "content-type": manifest.mediaType });
        assert.deepEqual(pulled.bytes, manifest.bytes);
      }
    }
  });

  it("keeps the exact bytes: spaces, unknown fields, a newline at the end", async () => {
    const { client } = given;
    const repository = given.repository();
    const plain = await pushImage(client, repository, image({ seed: "bytes" }));
    const text = ` \t\r\n${new TextDecoder().decode(plain.bytes)}\n`;
    const odd = content(
      text.replace("{", '{ "x.unknown" : [1.50, -0, "\\u00e9\\/", null],'),
      ociManifest,
    );
    await pushManifest(client, repository, odd);
    await expectManifest(client, repository, odd);
  });

  it("goes by the digest of any algorithm", async () => {
    const { client } = given;
    const repository = given.repository();
    for (const algorithm of algorithms) {
      const manifest = image({ seed: "algorithms", algorithm });
      await pushImage(client, repository, manifest);
      await expectManifest(client, repository, manifest);
    }
  });

  it("is 400 under a digest that its bytes do not have", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "right" }));
    const other = image({ seed: "right", layers: 0 });
    for (const algorithm of algorithms) {
      const wrong = digestOf(noise(9, "wrong"), algorithm);
      expectError(await putManifest(client, repository, other, wrong), 400, "DIGEST_INVALID");
    }
    expectError(
      await putManifest(client, repository, other, manifest.digest),
      400,
      "DIGEST_INVALID",
    );
    expectAnswer(await client.head(`/v2/${repository}/manifests/${other.digest}`), 404);
  });

  it("is 400 under what is neither digest nor tag", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "reference" }));
    const digests = ["sha256:totallywrong", `md5:${"a".repeat(32)}`, "a:b"];
    for (const reference of digests) {
      const answer = await putManifest(client, repository, manifest, reference);
      expectError(answer, 400, "DIGEST_INVALID");
    }
    for (const reference of [".a", "-a", "a".repeat(129), "a+b", "a@b", "%C3%A9"]) {
      const answer = await putManifest(client, repository, manifest, reference);
      expectError(answer, 400, "TAG_INVALID");
    }
    for (const tag of ["a".repeat(128), "_", "0", "A.b-C_d", "latest"]) {
      await pushManifest(client, repository, manifest, tag);
      await expectManifest(client, repository, manifest, tag);
    }
  });

  it("moves a tag, and does nothing when repeated", async () => {
    const { client } = given;
    const repository = given.repository();
    const before = await pushImage(client, repository, image({ seed: "before" }), "latest");
    const now = await pushImage(client, repository, image({ seed: "now" }), "latest", "latest");
    await expectManifest(client, repository, now, "latest");
    await expectManifest(client, repository, before);
    assert.deepEqual(await tagsOf(client, repository), ["latest"]);
  });

  it("takes an image without layers, and one whose config is empty", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushImage(client, repository, image({ seed: "none", layers: 0 }), "none");
    const nothing = image({ seed: "null", layers: 0, fields: { layers: null } });
    await pushImage(client, repository, nothing, "null");
    const fields = { artifactType: "application/vnd.example.chart" };
    await pushImage(client, repository, image({ seed: "x", config: emptyConfig, fields }), "chart");
    await expectManifest(client, repository, nothing, "null");
  });
});

describeRegistry("A manifest's Content-Type", (given) => {
  it("may have parameters and capitals", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "parameters" }));
    for (const type of [`${ociManifest}; charset=utf-8`, ociManifest.toUpperCase()]) {
      const target = `/v2/${repository}/manifests/latest`;
      expectAnswer(await client.put(target, manifest.bytes, { "Content-Type": type }), 201);
      await expectManifest(client, repository, manifest, "latest");
    }
  });

  it("counts where the document names no type", async () => {
    const { client } = given;
    const repository = given.repository();
    const bare = image({ seed: "bare", fields: { mediaType: undefined } });
    await pushImage(client, repository, bare, "image");
    const bareIndex = index([descriptor(bare)], { fields: { mediaType: undefined } });
    await pushManifest(client, repository, bareIndex, "index");
    await expectManifest(client, repository, bare, "image");
    await expectManifest(client, repository, bareIndex, "index");
  });

  it("may be missing where the document names its type", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "missing" }));
    expectAnswer(await client.put(`/v2/${repository}/manifests/x`, manifest.bytes), 201);
    await expectManifest(client, repository, manifest, "x");
  });

  it("is 400 when it is unknown, or not the document's", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "unknown" }));
    const types = [
      "application/json",
      "text/plain",
      "application/octet-stream",
      "application/vnd.oci.image.index.v1+json",
      "application/vnd.docker.distribution.manifest.v2+json",
      "application/vnd.docker.distribution.manifest.v1+prettyjws",
      `${ociManifest}, ${ociManifest}`,
    ];
    for (const type of types) {
      const target = `/v2/${repository}/manifests/latest`;
      const answer = await client.put(target, manifest.bytes, { "Content-Type": type });
      expectError(answer, 400, "MANIFEST_INVALID");
    }
    assert.deepEqual(await tagsOf(client, repository), []);
  });
});

describeRegistry("Tags in a push by digest (end-7b)", (given) => {
  it("are all set, and named in OCI-Tag", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "tags" }));
    const tags = ["1.2.3", "1.2", "1", "latest", "a", "b", "c", "d", "e", "f", "g", "h"];
    const query = tags.map((tag) => `tag=${tag}`).join("&");
    const answer = await putManifest(client, repository, manifest, `${manifest.digest}?${query}`);
    expectAnswer(answer, 201, { "docker-content-digest": manifest.digest });
    assert.deepEqual(answer.list("oci-tag"), tags);
    if (given.carrier === "over a socket") {
      const lines = answer.lines.filter(([name]) => name.toLowerCase() === "oci-tag");
      assert.deepEqual(
        lines.map(([, value]) => value),
        tags,
      );
    }
    assert.deepEqual(await tagsOf(client, repository), tags.toSorted());
    for (const tag of tags) await expectManifest(client, repository, manifest, tag);
  });

  it("go with the digest of any algorithm, and may repeat", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "5", algorithm: "sha512" }));
    const reference = `${manifest.digest}?tag=x&tag=x`;
    const answer = await putManifest(client, repository, manifest, reference);
    expectAnswer(answer, 201);
    assert.deepEqual(answer.list("oci-tag"), ["x"]);
    const pulled = await client.get(`/v2/${repository}/manifests/x`);
    expectAnswer(pulled, 200, { "docker-content-digest": manifest.digest });
  });

  it("are all or none: one that can be no tag is 400, too many are 414", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "bad tags" }));
    for (const tag of [".a", "", "a".repeat(129), "a%2Fb", "%00"]) {
      const reference = `${manifest.digest}?tag=good&tag=${tag}`;
      const answer = await putManifest(client, repository, manifest, reference);
      expectError(answer, 400, "TAG_INVALID");
    }
    const many = Array.from({ length: 1000 }, (_, index) => `tag=t${index}`).join("&");
    const answer = await putManifest(client, repository, manifest, `${manifest.digest}?${many}`);
    expectAnswer(answer, 414);
    assert.deepEqual(await tagsOf(client, repository), []);
  });
});

describeRegistry("A manifest's subject", (given) => {
  it("is confirmed, whether it is there or not", async () => {
    const { client } = given;
    const repository = given.repository();
    const subject = image({ seed: "subject" });
    const signature = referrer(descriptor(subject), { seed: "1", artifactType: "a/b" });
    await pushBlob(client, repository, emptyConfig);
    for (let round = 0; round < 2; round += 1) {
      const answer = await putManifest(client, repository, signature);
      expectAnswer(answer, 201, { "oci-subject": subject.digest });
      await pushImage(client, repository, subject);
    }
    const indexed = index([], { fields: { subject: descriptor(subject) } });
    const tagged = await putManifest(client, repository, indexed, "by-tag");
    expectAnswer(tagged, 201, { "oci-subject": subject.digest });
  });

  it("means nothing in Docker's types", async () => {
    const { client } = given;
    const repository = given.repository();
    const fields = { subject: descriptor(image({ seed: "subject" })) };
    const docker = image({ seed: "docker", docker: true, fields });
    await pushImage(client, repository, docker);
    const answer = await putManifest(client, repository, docker);
    expectAnswer(answer, 201, { "oci-subject": undefined });
  });
});

describeRegistry("A large manifest", largeManifest);

function largeManifest(given: Given): void {
  const padded = (size: number) => {
    const bare = {
      schemaVersion: 2,
      mediaType: ociManifest,
      config: descriptor(emptyConfig),
      layers: [],
    };
    const { byteLength } = json({ ...bare, annotations: { x: "" } }, ociManifest).bytes;
    const annotations = { x: "x".repeat(size - byteLength) };
    return json({ ...bare, annotations }, ociManifest);
  };

  it("is taken up to 4 MiB", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushBlob(client, repository, emptyConfig);
    const manifest = padded(bytesMax);
    assert.equal(manifest.bytes.byteLength, bytesMax);
    await pushManifest(client, repository, manifest, "largest");
    await expectManifest(client, repository, manifest, "largest");
  });

  it("is 413 beyond that, announced or streamed", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushBlob(client, repository, emptyConfig);
    const manifest = padded(bytesMax + 1);
    const target = `/v2/${repository}/manifests/large`;
    const headers = { "Content-Type": ociManifest };
    expectError(await client.put(target, manifest.bytes, headers), 413, "MANIFEST_INVALID");
    const pieces = [manifest.bytes.slice(0, bytesMax), manifest.bytes.slice(bytesMax)];
    const answer = await client.put(target, streamOf(pieces), headers);
    expectError(answer, 413, "MANIFEST_INVALID");
    expectAnswer(await client.head(target), 404);
  });
}
