/** What is not an image: artifacts that refer to one, and signatures beside it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "./digests.ts";
import { ImageMaker } from "./images.ts";
import { mediaTypes, type Descriptor, type LayoutImage } from "./layout.ts";
import { RegistryApi } from "./registry-api.ts";
import { startServer } from "./server.ts";
import { createSkopeo } from "./skopeo.ts";
import { openWorkspace } from "./workspace.ts";

const workspace = openWorkspace();
const server = await startServer(workspace);
const registry = new RegistryApi(server);
const images = new ImageMaker(workspace);
const skopeo = await createSkopeo(workspace);
const noReferrers = { expectFailure: server.lacking("it has no referrers") };

const emptyConfig = new TextEncoder().encode("{}");
const sbomType = "application/spdx+json";
const signatureType = "application/vnd.dev.cosign.simplesigning.v1+json";

interface Referrers {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

async function pushImage(name: string): Promise<LayoutImage> {
  const image = await images.make({ layerBytes: [1000] });
  await skopeo.copy(`oci:${image.layout}:${image.tag}`, `docker://${server.host}/${name}`);
  return image;
}

/** As `oras attach` does. */
async function attach(repository: string, subject: Descriptor, type: string): Promise<Descriptor> {
  const content = new TextEncoder().encode(`{"type":"${type}","of":"${subject.digest}"}`);
  const manifest = {
    ...{ schemaVersion: 2, mediaType: mediaTypes.manifest, artifactType: type },
    config: {
      mediaType: mediaTypes.empty,
      digest: await registry.pushBlob(repository, emptyConfig),
      size: emptyConfig.length,
    },
    layers: [
      {
        mediaType: type,
        digest: await registry.pushBlob(repository, content),
        size: content.length,
        annotations: { "org.opencontainers.image.title": "attached.json" },
      },
    ],
    subject,
    annotations: { "org.example.kind": type },
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  const answer = await registry.pushManifest(repository, digest, bytes);
  assert.equal(answer.headers.get("oci-subject"), subject.digest);
  return { mediaType: mediaTypes.manifest, digest, size: bytes.length, artifactType: type };
}

test("artifacts that are attached to an image are its referrers", noReferrers, async () => {
  const { manifest: subject } = await pushImage("art/app:v1");
  const attached = [
    await attach("art/app", subject, sbomType),
    await attach("art/app", subject, "application/vnd.example.scan+json"),
  ];
  const path = `/v2/art/app/referrers/${subject.digest}`;
  const all = (await registry.json(path)) as Referrers;
  assert.equal(all.mediaType, mediaTypes.index);
  assert.deepEqual(
    all.manifests.map(({ digest }) => digest).toSorted(),
    attached.map(({ digest }) => digest).toSorted(),
  );

  const query = `artifactType=${encodeURIComponent(sbomType)}`;
  const filtered = await registry.request("GET", `${path}?${query}`);
  assert.match(filtered.headers.get("oci-filters-applied") ?? "", /artifactType/);
  const { manifests } = (await filtered.json()) as Referrers;
  const [sbom] = attached;
  const annotations = { "org.example.kind": sbomType };
  assert.deepEqual(manifests, [{ ...sbom, annotations }]);
});

test("an artifact may come before the image that it refers to", noReferrers, async () => {
  const image = await images.make({ layerBytes: [1000] });
  const sbom = await attach("art/early", image.manifest, sbomType);
  const source = `oci:${image.layout}:${image.tag}`;
  await skopeo.copy(source, `docker://${server.host}/art/early:v1`);
  const path = `/v2/art/early/referrers/${image.manifest.digest}`;
  const { manifests } = (await registry.json(path)) as Referrers;
  assert.deepEqual(
    manifests.map(({ digest }) => digest),
    [sbom.digest],
  );
});

test("skopeo copies an artifact from repository to repository unchanged", async () => {
  const content = images.noise(40_000);
  const layerDigest = await registry.pushBlob("art/models", content);
  const configDigest = await registry.pushBlob("art/models", emptyConfig);
  const manifest = {
    ...{ schemaVersion: 2, mediaType: mediaTypes.manifest, artifactType: "application/x-model" },
    config: { mediaType: mediaTypes.empty, digest: configDigest, size: emptyConfig.length },
    layers: [{ mediaType: "application/x-weights", digest: layerDigest, size: content.length }],
  };
  await registry.pushManifest("art/models", "tiny", manifest);
  const pushed = await registry.manifest("art/models", "tiny");
  assert.equal(pushed.bytes.toString(), JSON.stringify(manifest));

  const target = `${server.host}/art/shelf:tiny`;
  await skopeo.copy(`docker://${server.host}/art/models:tiny`, `docker://${target}`);
  assert.equal((await registry.manifest("art/shelf", "tiny")).digest, pushed.digest);
  await registry.readWhole("art/shelf", "tiny");
});

test("skopeo copies an image with the signature that lies beside it, as cosign does", async () => {
  const { manifest } = await pushImage("art/signed:v1");
  const signatureTag = `${manifest.digest.replace(":", "-")}.sig`;
  const payload = new TextEncoder().encode(
    JSON.stringify({ critical: { image: { "docker-manifest-digest": manifest.digest } } }),
  );
  const config = new TextEncoder().encode(
    JSON.stringify({
      ...{ architecture: "", os: "", config: {}, history: [{}] },
      rootfs: { type: "layers", diff_ids: [digestOf(payload)] },
    }),
  );
  await registry.pushManifest("art/signed", signatureTag, {
    ...{ schemaVersion: 2, mediaType: mediaTypes.manifest },
    config: {
      mediaType: mediaTypes.config,
      digest: await registry.pushBlob("art/signed", config),
      size: config.length,
    },
    layers: [
      {
        mediaType: signatureType,
        digest: await registry.pushBlob("art/signed", payload),
        size: payload.length,
        annotations: { "dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl" },
      },
    ],
  });
  const tags = [signatureTag, "v1"];
  assert.deepEqual((await skopeo.listTags(`${server.host}/art/signed`)).toSorted(), tags);

  const source = `docker://${server.host}/art/signed:v1`;
  await skopeo.copy(source, `docker://${server.host}/art/trusted:v1`);
  assert.deepEqual((await registry.tags("art/trusted")).toSorted(), tags);
  const copied = await registry.manifest("art/trusted", signatureTag);
  assert.equal(copied.manifest.layers?.[0]?.digest, digestOf(payload));
  await registry.readWhole("art/trusted", signatureTag);
});
