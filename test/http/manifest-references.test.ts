/** What a manifest may refer to, and what it must not be. spec: end-7, image-spec; invariant I2. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { errorsOf, expectAnswer, expectError, type Answer } from "./answer.ts";
import {
  content,
  descriptor,
  image,
  index,
  json,
  type Content,
  type Descriptor,
} from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import { expectManifest, pushBlob, pushImage, pushManifest, putManifest } from "./pushing.ts";

const ociManifest = "application/vnd.oci.image.manifest.v1+json";
const ociIndex = "application/vnd.oci.image.index.v1+json";
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
const foreignTypes = [
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];
const dockerForeignType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/** One error for each of these digests, in whatever order. */
function expectMissing(answer: Answer, digests: readonly string[]): void {
  expectError(answer, 400, "MANIFEST_BLOB_UNKNOWN");
  const errors = errorsOf(answer);
  assert(
    errors.every(({ code }) => code === "MANIFEST_BLOB_UNKNOWN"),
    answer.toString(),
  );
  const details = errors.map(({ detail }) => String(detail));
  assert.deepEqual(details.toSorted(), [...digests].toSorted());
}

describeRegistry("What an image refers to", (given) => {
  it("has to be in the repository: each that is not is an error of its own", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = image({ seed: "missing", layers: 3 });
    const left = [...manifest.blobs];
    while (left.length > 0) {
      const answer = await putManifest(client, repository, manifest, "latest");
      expectMissing(
        answer,
        left.map(({ digest }) => digest),
      );
      expectAnswer(await client.head(`/v2/${repository}/manifests/${manifest.digest}`), 404);
      const next = left.shift();
      if (next !== undefined) await pushBlob(client, repository, next);
    }
    await pushManifest(client, repository, manifest, "latest");
    await expectManifest(client, repository, manifest, "latest");
  });

  it("is named once when it is missing in many places", async () => {
    const { client } = given;
    const layer = content("the same layer");
    const layers = [layer, layer, layer].map(descriptor);
    const manifest = image({ seed: "repeated", layers: 0, fields: { layers } });
    const repository = given.repository();
    await pushImage(client, repository, image({ seed: "repeated" }));
    expectMissing(await putManifest(client, repository, manifest), [layer.digest]);
    await pushBlob(client, repository, layer);
    await pushManifest(client, repository, manifest);
  });

  it("does not count in another repository", async () => {
    const { client } = given;
    const [here, there] = [given.repository(), given.repository()];
    const manifest = await pushImage(client, there, image({ seed: "elsewhere" }));
    const digests = manifest.blobs.map(({ digest }) => digest);
    expectMissing(await putManifest(client, here, manifest), digests);
  });

  it("may be named by sha512 where it was pushed so", async () => {
    const { client } = given;
    const repository = given.repository();
    const layer = content("by sha512", undefined, "sha512");
    const fields = { layers: [descriptor(layer)] };
    const manifest = image({ seed: "sha512 layer", layers: 0, fields });
    await pushBlob(client, repository, layer);
    await pushImage(client, repository, manifest);
    await expectManifest(client, repository, manifest);
  });

  it("may have another size than its descriptor says, as in Distribution", async () => {
    const { client } = given;
    const repository = given.repository();
    const layer = content("of another size");
    const fields = { layers: [{ ...descriptor(layer), size: 1 }] };
    await pushBlob(client, repository, layer);
    await pushImage(client, repository, image({ seed: "size", layers: 0, fields }));
  });
});

describeRegistry("A foreign layer", (given) => {
  const layer = content("lies elsewhere");
  const foreign = (mediaType: string, urls?: readonly string[]): Descriptor => {
    return { ...descriptor(layer), mediaType, ...(urls === undefined ? {} : { urls }) };
  };

  it("need not be here when it says where it lies", async () => {
    const { client } = given;
    const repository = given.repository();
    const urls = ["https://layers.example/layer.tar?x=1"];
    for (const mediaType of foreignTypes) {
      const fields = { layers: [foreign(mediaType, urls)] };
      await pushImage(client, repository, image({ seed: "foreign", layers: 0, fields }));
    }
    const fields = { layers: [foreign(dockerForeignType, urls)] };
    const docker = image({ seed: "foreign", docker: true, layers: 0, fields });
    await pushImage(client, repository, docker);
    await expectManifest(client, repository, docker);
  });

  it("has to be here when it does not say so, and so has any other layer that does", async () => {
    const { client } = given;
    const repository = given.repository();
    const layers = [
      foreign(dockerForeignType),
      foreign(foreignTypes[0] ?? ""),
      foreign(foreignTypes[0] ?? "", []),
      foreign(layer.mediaType, ["https://layers.example/layer.tar"]),
    ];
    for (const each of layers) {
      const manifest = image({ seed: "foreign", layers: 0, fields: { layers: [each] } });
      for (const blob of manifest.blobs) await pushBlob(client, repository, blob);
      expectMissing(await putManifest(client, repository, manifest), [layer.digest]);
    }
  });

  it("is 400 when clients could not fetch from where it says", async () => {
    const { client } = given;
    const repository = given.repository();
    const urls = ["ftp://a.example/x", "file:///etc/passwd", "https://a.example/x#y", "x", ""];
    for (const url of urls) {
      const fields = { layers: [foreign(foreignTypes[0] ?? "", [url])] };
      const manifest = image({ seed: "bad url", layers: 0, fields });
      for (const blob of manifest.blobs) await pushBlob(client, repository, blob);
      expectError(await putManifest(client, repository, manifest), 400, "MANIFEST_INVALID");
    }
  });
});

describeRegistry("What an index refers to", (given) => {
  it("has to be in the repository: each that is not is an error of its own", async () => {
    const { client } = given;
    const repository = given.repository();
    const images = ["one", "two", "three"].map((seed) => image({ seed }));
    const list = index(images.map(descriptor));
    const left = [...images];
    while (left.length > 0) {
      const answer = await putManifest(client, repository, list, "latest");
      expectMissing(
        answer,
        left.map(({ digest }) => digest),
      );
      const next = left.shift();
      if (next !== undefined) await pushImage(client, repository, next);
    }
    await pushManifest(client, repository, list, "latest");
    await expectManifest(client, repository, list, "latest");
  });

  it("may be nothing, or indexes again", async () => {
    const { client } = given;
    const repository = given.repository();
    const empty = index([]);
    await pushManifest(client, repository, empty, "empty");
    const nested = index([descriptor(empty)]);
    await pushManifest(client, repository, nested, "nested");
    await expectManifest(client, repository, nested, "nested");
  });

  it("may be blobs, as buildkit's cache writes them", async () => {
    const { client } = given;
    const repository = given.repository();
    const layer = content("cached layer", "application/vnd.oci.image.layer.v1.tar+gzip");
    const config = content("{}", "application/vnd.buildkit.cacheconfig.v0");
    await pushBlob(client, repository, layer);
    for (const docker of [false, true]) {
      const cache = index([descriptor(layer), descriptor(config)], { docker });
      if (!docker) expectMissing(await putManifest(client, repository, cache), [config.digest]);
      await pushBlob(client, repository, config);
      await pushManifest(client, repository, cache, "cache");
      await expectManifest(client, repository, cache);
    }
    const used = await client.delete(`/v2/${repository}/blobs/${layer.digest}`);
    expectError(used, 405, "UNSUPPORTED");
  });
});

/** Documents that one reader could take for something else than another. */
const confusing: readonly (readonly [what: string, make: (image: Content) => Content])[] = [
  [
    "an image with manifests",
    (child) => image({ seed: "c", fields: { manifests: [descriptor(child)] } }),
  ],
  [
    "an image with an empty list of manifests",
    () => image({ seed: "c", fields: { manifests: [] } }),
  ],
  ["an index with layers", (child) => index([descriptor(child)], { fields: { layers: [] } })],
  ["an index with a config", (child) => index([], { fields: { config: descriptor(child) } })],
  ["Layers for layers", () => image({ seed: "c", fields: { Layers: [] } })],
  ["mediaTYPE for mediaType", () => image({ seed: "c", fields: { mediaTYPE: ociIndex } })],
  ["a Docker list without mediaType", () => withoutType(dockerList, { manifests: [] })],
  [
    "a Docker image without mediaType",
    (child) => withoutType(dockerManifest, { config: descriptor(child), layers: [] }),
  ],
  ["an index that says image", () => ({ ...index([]), mediaType: ociManifest })],
  ["an image that says index", () => ({ ...image({ seed: "c" }), mediaType: ociIndex })],
  ["an OCI image that says Docker", () => ({ ...image({ seed: "c" }), mediaType: dockerManifest })],
  ["an image without a config", () => image({ seed: "c", fields: { config: undefined } })],
  ["an image whose config is null", () => image({ seed: "c", fields: { config: null } })],
  ["an index without manifests", () => index([], { fields: { manifests: undefined } })],
  ["schema 1", () => json({ schemaVersion: 1, name: "a", tag: "b", fsLayers: [] }, ociManifest)],
  ["another schemaVersion", () => image({ seed: "c", fields: { schemaVersion: 3 } })],
  ["no schemaVersion", () => image({ seed: "c", fields: { schemaVersion: undefined } })],
  ["schemaVersion as text", () => image({ seed: "c", fields: { schemaVersion: "2" } })],
  [
    "a bad digest",
    () => image({ seed: "c", fields: { layers: [{ ...layer, digest: "sha256:x" }] } }),
  ],
  ["a negative size", () => image({ seed: "c", fields: { layers: [{ ...layer, size: -1 }] } })],
  ["a fractional size", () => image({ seed: "c", fields: { layers: [{ ...layer, size: 1.5 }] } })],
  [
    "a layer without a type",
    () => image({ seed: "c", fields: { layers: [{ ...layer, mediaType: "" }] } }),
  ],
  ["layers that are no list", () => image({ seed: "c", fields: { layers: {} } })],
  ["annotations that are no text", () => image({ seed: "c", fields: { annotations: { a: 1 } } })],
  ["a subject that is none", () => image({ seed: "c", fields: { subject: "sha256:x" } })],
];

const layer: Descriptor = descriptor(content("layer 0 of c"));

function withoutType(mediaType: string, fields: object): Content {
  return json({ schemaVersion: 2, ...fields }, mediaType);
}

describeRegistry("A document that is no manifest, or could be two", (given) => {
  it("is 400, and nothing of it is stored", async () => {
    const { client } = given;
    const repository = given.repository();
    const child = await pushImage(client, repository, image({ seed: "c" }));
    for (const [what, make] of confusing) {
      const document = make(child);
      const answer = await putManifest(client, repository, document, "confused");
      assert.equal(answer.status, 400, `${what}: ${answer.toString()}`);
      expectError(answer, 400, "MANIFEST_INVALID");
    }
    expectAnswer(await client.head(`/v2/${repository}/manifests/confused`), 404);
  });
});
