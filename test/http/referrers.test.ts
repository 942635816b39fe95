/** Listing what refers to a manifest. spec: end-12a, end-12b. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import type { Client } from "./client.ts";
import {
  algorithms,
  descriptor,
  digestOf,
  emptyConfig,
  image,
  index,
  noise,
  referrer,
  type Content,
  type Descriptor,
  type Image,
} from "./content.ts";
import { describeRegistry, type Given } from "./matrix.ts";
import { followPages, pushBlob, pushImage, pushManifest } from "./pushing.ts";

const ociIndex = "application/vnd.oci.image.index.v1+json";
const sbom = "application/vnd.example.sbom.v1+json";
const signature = "application/vnd.example.signature.v1";

function descriptorsOf(answer: Answer): readonly Descriptor[] {
  expectAnswer(answer, 200, { "content-type": ociIndex });
  const list = answer.json() as { readonly manifests: readonly Descriptor[] };
  assert.deepEqual(
    { ...list, manifests: [] },
    { schemaVersion: 2, mediaType: ociIndex, manifests: [] },
  );
  return list.manifests;
}

function byDigest(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  return descriptors.toSorted((one, other) => (one.digest < other.digest ? -1 : 1));
}

async function expectReferrers(
  client: Client,
  target: string,
  expected: readonly Descriptor[],
): Promise<Answer> {
  const answer = await client.get(target);
  assert.deepEqual(byDigest(descriptorsOf(answer)), byDigest(expected));
  return answer;
}

/** A subject with an SBOM, a signature, and an index, each with what a list says of it. */
function family(seed: string): {
  readonly subject: Image;
  readonly sbomImage: Image;
  readonly signatureImage: Image;
  readonly plainIndex: Content;
  readonly descriptors: Readonly<Record<"sbom" | "signature" | "index", Descriptor>>;
} {
  const subject = image({ seed });
  const annotations = { "org.example.seed": seed, "": "empty", ünïcode: '\u0000\u2028"\\' };
  const of = descriptor(subject);
  const fields = { annotations };
  const sbomImage = referrer(of, { seed: `${seed} sbom`, artifactType: sbom, fields });
  const config = { ...emptyConfig, mediaType: signature };
  const signatureImage = referrer(of, { seed: `${seed} signature`, config });
  const plainIndex = index([], { fields: { subject: of, annotations } });
  const descriptors = {
    sbom: { ...descriptor(sbomImage), artifactType: sbom, annotations },
    signature: { ...descriptor(signatureImage), artifactType: signature },
    index: { ...descriptor(plainIndex), annotations },
  };
  return { subject, sbomImage, signatureImage, plainIndex, descriptors };
}

describeRegistry("The referrers of a manifest (end-12a)", (given) => {
  it("are there whether it was pushed before them, after them, or never", async () => {
    const { client } = given;
    const { subject, sbomImage, signatureImage, plainIndex, descriptors } = family("order");
    const all = Object.values(descriptors);
    for (const when of ["before", "after", "never"]) {
      const repository = given.repository();
      const target = `/v2/${repository}/referrers/${subject.digest}`;
      if (when === "before") await pushImage(client, repository, subject);
      await expectReferrers(client, target, []);
      await pushImage(client, repository, sbomImage);
      await pushImage(client, repository, signatureImage, "tagged");
      await pushManifest(client, repository, plainIndex);
      if (when === "after") await pushImage(client, repository, subject);
      await expectReferrers(client, target, all);
    }
  });

  it("are those of this repository, and of this digest", async () => {
    const { client } = given;
    const [here, there] = [given.repository(), given.repository()];
    const { subject, sbomImage } = family("place");
    await pushImage(client, here, sbomImage);
    await pushImage(client, there, subject);
    await expectReferrers(client, `/v2/${there}/referrers/${subject.digest}`, []);
    const other = family("another place").subject;
    await expectReferrers(client, `/v2/${here}/referrers/${other.digest}`, []);
  });

  it("are known by digests of any algorithm, on both sides", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushBlob(client, repository, emptyConfig);
    for (const algorithm of algorithms) {
      const subject = image({ seed: "algorithms", algorithm });
      const made = { seed: "x", artifactType: sbom };
      const each = algorithms.map((own) => {
        return referrer(descriptor(subject), { ...made, algorithm: own });
      });
      for (const manifest of each) await pushManifest(client, repository, manifest);
      const expected = each.map((one) => Object.assign(descriptor(one), { artifactType: sbom }));
      await expectReferrers(client, `/v2/${repository}/referrers/${subject.digest}`, expected);
    }
  });

  it("are an empty index for a repository that is not there: never a 404", async () => {
    const { client } = given;
    for (const algorithm of algorithms) {
      const digest = digestOf(noise(5, "nobody"), algorithm);
      await expectReferrers(client, `/v2/team/absent/referrers/${digest}`, []);
      const filtered = `/v2/team/absent/referrers/${digest}?artifactType=${signature}`;
      const answer = await expectReferrers(client, filtered, []);
      assert.equal(answer.header("oci-filters-applied"), "artifactType");
      const noType = `/v2/team/absent/referrers/${digest}?artifactType=a%00b`;
      await expectReferrers(client, noType, []);
    }
  });

  it("are 400 for what is no digest", async () => {
    const { client } = given;
    for (const digest of ["latest", "sha256:abc", `md5:${"a".repeat(32)}`, "a:b"]) {
      const answer = await client.get(`/v2/team/app/referrers/${digest}`);
      expectError(answer, 400, "DIGEST_INVALID");
    }
  });

  it("are gone once deleted, and stay when the subject is", async () => {
    const { client } = given;
    const repository = given.repository();
    const { subject, sbomImage, signatureImage, descriptors } = family("deleted");
    for (const each of [subject, sbomImage, signatureImage])
      await pushImage(client, repository, each);
    const target = `/v2/${repository}/referrers/${subject.digest}`;
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${sbomImage.digest}`), 202);
    await expectReferrers(client, target, [descriptors.signature]);
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${subject.digest}`), 202);
    await expectReferrers(client, target, [descriptors.signature]);
    await pushManifest(client, repository, sbomImage);
    await expectReferrers(client, target, [descriptors.signature, descriptors.sbom]);
  });
});

describeRegistry("Referrers of one type (end-12b)", (given) => {
  it("are those with this artifactType, or with this config where there is none", async () => {
    const { client } = given;
    const repository = given.repository();
    const { subject, sbomImage, signatureImage, plainIndex, descriptors } = family("types");
    for (const each of [sbomImage, signatureImage]) await pushImage(client, repository, each);
    await pushManifest(client, repository, plainIndex);
    const target = `/v2/${repository}/referrers/${subject.digest}`;
    for (const [type, expected] of [
      [sbom, [descriptors.sbom]],
      [signature, [descriptors.signature]],
      [emptyConfig.mediaType, []],
      ["application/unknown", []],
      ["*", []],
      ["%", []],
    ] as const) {
      const filtered = `${target}?artifactType=${encodeURIComponent(type)}`;
      const answer = await expectReferrers(client, filtered, expected);
      assert.equal(answer.header("oci-filters-applied"), "artifactType");
    }
    const unfiltered = await expectReferrers(client, target, Object.values(descriptors));
    assert.equal(unfiltered.header("oci-filters-applied"), undefined);
  });

  it("are those without any type when the type asked for is empty", async () => {
    const { client } = given;
    const repository = given.repository();
    const { subject, sbomImage, plainIndex, descriptors } = family("empty type");
    await pushImage(client, repository, sbomImage);
    await pushManifest(client, repository, plainIndex);
    const target = `/v2/${repository}/referrers/${subject.digest}?artifactType=`;
    const answer = await expectReferrers(client, target, [descriptors.index]);
    assert.equal(answer.header("oci-filters-applied"), "artifactType");
  });
});

/** Follows the pages, each of which has to be an index that clients take. */
async function allPages(
  client: Client,
  first: string,
): Promise<readonly (readonly Descriptor[])[]> {
  const pages: (readonly Descriptor[])[] = [];
  for await (const answer of followPages(client, first)) {
    pages.push(descriptorsOf(answer));
    assert(
      answer.bytes.byteLength <= 4 * 1024 * 1024,
      `${answer.bytes.byteLength} bytes in a page`,
    );
  }
  return pages;
}

async function pushAll(
  client: Client,
  repository: string,
  manifests: readonly Content[],
): Promise<void> {
  await pushBlob(client, repository, emptyConfig);
  const queue = manifests.values();
  const worker = async (): Promise<void> => {
    for (const manifest of queue) await pushManifest(client, repository, manifest);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

describeRegistry("Many referrers", manyReferrers);

function manyReferrers(given: Given): void {
  it("come in pages of a thousand, each linked to the next, and filtered alike", async () => {
    const { client } = given;
    const repository = given.repository();
    const subject = descriptor(image({ seed: "many" }));
    const made = Array.from({ length: 1002 }, (_, number) => {
      const fields = { annotations: { number: String(number) } };
      const artifactType = number === 7 ? signature : sbom;
      return referrer(subject, { seed: "many", artifactType, fields });
    });
    await pushAll(client, repository, made);
    const target = `/v2/${repository}/referrers/${subject.digest}`;
    for (const [query, expected] of [
      ["", made],
      [`?artifactType=${encodeURIComponent(sbom)}`, made.filter((_, number) => number !== 7)],
    ] as const) {
      const pages = await allPages(client, `${target}${query}`);
      assert.equal(pages.length, 2);
      const digests = pages.flat().map(({ digest }) => digest);
      assert.deepEqual(digests.toSorted(), expected.map(({ digest }) => digest).toSorted());
    }
  });

  it("come in more pages when their annotations are large", async () => {
    const { client } = given;
    const repository = given.repository();
    const subject = descriptor(image({ seed: "large" }));
    const made = Array.from({ length: 5 }, (_, number) => {
      const annotations = { number: String(number), text: "x".repeat(1_500_000) };
      return referrer(subject, { seed: "large", artifactType: sbom, fields: { annotations } });
    });
    await pushAll(client, repository, made);
    const pages = await allPages(client, `/v2/${repository}/referrers/${subject.digest}`);
    assert(pages.length > 1 && pages.every((page) => page.length > 0));
    const digests = pages.flat().map(({ digest }) => digest);
    assert.deepEqual(digests.toSorted(), made.map(({ digest }) => digest).toSorted());
  });

  it("come alone when one is as large as a page", async () => {
    const { client } = given;
    const repository = given.repository();
    const subject = descriptor(image({ seed: "largest" }));
    const made = ["a", "b"].map((letter) => {
      const annotations = { text: letter.repeat(4_190_000) };
      return referrer(subject, { seed: "largest", artifactType: sbom, fields: { annotations } });
    });
    await pushAll(client, repository, made);
    const pages = await allPages(client, `/v2/${repository}/referrers/${subject.digest}`);
    assert.deepEqual(
      pages.map((page) => page.length),
      [1, 1],
    );
  });

  it("are 400 behind a last that is no digest", async () => {
    const { client } = given;
    const { digest } = image({ seed: "last" });
    const answer = await client.get(`/v2/team/app/referrers/${digest}?last=x`);
    expectError(answer, 400, "DIGEST_INVALID");
  });
}
