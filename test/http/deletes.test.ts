/** Deleting tags, manifests and blobs. spec: end-9, end-10; invariant I2. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError } from "./answer.ts";
import { content, descriptor, digestOf, image, index, noise, referrer } from "./content.ts";
import { describeRegistry } from "./matrix.ts";
import {
  expectBlob,
  expectManifest,
  expectNoBlob,
  pushBlob,
  pushImage,
  pushManifest,
  tagsOf,
} from "./pushing.ts";

const absent = digestOf(noise(10, "absent"));

describeRegistry("Deleting a tag (end-9)", (given) => {
  it("takes the tag away, and nothing else", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "tag" }), "one", "two");
    expectAnswer(await client.delete(`/v2/${repository}/manifests/one`), 202);
    expectAnswer(await client.get(`/v2/${repository}/manifests/one`), 404);
    await expectManifest(client, repository, manifest, "two");
    expectAnswer(await client.delete(`/v2/${repository}/manifests/two`), 202);
    await expectManifest(client, repository, manifest);
    assert.deepEqual(await tagsOf(client, repository), []);
  });

  it("is 404 when it is not there: never was, or not any more", async () => {
    const { client } = given;
    const repository = given.repository();
    await pushImage(client, repository, image({ seed: "tag" }), "once");
    expectAnswer(await client.delete(`/v2/${repository}/manifests/once`), 202);
    for (const [name, tag] of [
      [repository, "once"],
      [repository, "never"],
      ["team/absent", "once"],
    ] as const) {
      const answer = await client.delete(`/v2/${name}/manifests/${tag}`);
      expectError(answer, 404, "MANIFEST_UNKNOWN");
    }
  });

  it("can be undone by a push", async () => {
    const { client } = given;
    const repository = given.repository();
    const manifest = await pushImage(client, repository, image({ seed: "undone" }), "tag");
    expectAnswer(await client.delete(`/v2/${repository}/manifests/tag`), 202);
    await pushManifest(client, repository, manifest, "tag");
    await expectManifest(client, repository, manifest, "tag");
  });
});

describeRegistry("Deleting a manifest (end-9)", (given) => {
  it("takes all of its tags with it, and leaves other manifests alone", async () => {
    const { client } = given;
    const repository = given.repository();
    const gone = await pushImage(client, repository, image({ seed: "gone" }), "a", "b", "c");
    const kept = await pushImage(client, repository, image({ seed: "kept" }), "d", "b");
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${gone.digest}`), 202);
    for (const reference of ["a", "c", gone.digest]) {
      const answer = await client.get(`/v2/${repository}/manifests/${reference}`);
      expectError(answer, 404, "MANIFEST_UNKNOWN");
    }
    assert.deepEqual(await tagsOf(client, repository), ["b", "d"]);
    await expectManifest(client, repository, kept, "b");
    for (const blob of gone.blobs) await expectBlob(client, repository, blob);
  });

  it("is 404 the second time, and where it never was", async () => {
    const { client } = given;
    const repository = given.repository();
    const { digest } = await pushImage(client, repository, image({ seed: "twice" }));
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${digest}`), 202);
    for (const [name, reference] of [
      [repository, digest],
      [repository, absent],
      ["team/absent", digest],
    ] as const) {
      const answer = await client.delete(`/v2/${name}/manifests/${reference}`);
      expectError(answer, 404, "MANIFEST_UNKNOWN");
    }
    const answer = await client.delete(`/v2/${repository}/manifests/sha256:abc`);
    expectError(answer, 400, "DIGEST_INVALID");
  });

  it("is one repository's matter, and can be undone by a push", async () => {
    const { client } = given;
    const [one, other] = [given.repository(), given.repository()];
    const manifest = image({ seed: "two homes" });
    for (const repository of [one, other]) await pushImage(client, repository, manifest, "tag");
    expectAnswer(await client.delete(`/v2/${one}/manifests/${manifest.digest}`), 202);
    await expectManifest(client, other, manifest, "tag");
    await pushManifest(client, one, manifest, "tag");
    await expectManifest(client, one, manifest, "tag");
  });

  it("is refused while an index has it, and says which", async () => {
    const { client } = given;
    const repository = given.repository();
    const child = await pushImage(client, repository, image({ seed: "child" }), "child");
    const indexes = ["x", "y"].map((name) =>
      index([descriptor(child)], { fields: { annotations: { name } } }),
    );
    for (const each of indexes) await pushManifest(client, repository, each);
    for (;;) {
      const refused = await client.delete(`/v2/${repository}/manifests/${child.digest}`);
      const { detail } = expectError(refused, 405, "UNSUPPORTED");
      const { manifests } = detail as { readonly manifests: readonly string[] };
      assert.deepEqual(manifests.toSorted(), indexes.map(({ digest }) => digest).toSorted());
      await expectManifest(client, repository, child, "child");
      const parent = indexes.pop();
      expectAnswer(await client.delete(`/v2/${repository}/manifests/${parent?.digest}`), 202);
      if (indexes.length === 0) break;
    }
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${child.digest}`), 202);
  });

  it("is not hindered by what only refers to it as a subject", async () => {
    const { client } = given;
    const repository = given.repository();
    const subject = await pushImage(client, repository, image({ seed: "subject" }));
    const made = { seed: "sbom", artifactType: "a/b" };
    const sbom = await pushImage(client, repository, referrer(descriptor(subject), made));
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${subject.digest}`), 202);
    await expectManifest(client, repository, sbom);
  });

  it("of one digest leaves the same bytes under another", async () => {
    const { client } = given;
    const repository = given.repository();
    const [one, other] = [image({ seed: "same" }), image({ seed: "same", algorithm: "sha512" })];
    await pushImage(client, repository, one);
    await pushImage(client, repository, other, other.digest);
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${one.digest}`), 202);
    await expectManifest(client, repository, other);
  });
});

describeRegistry("Deleting a blob (end-10)", (given) => {
  it("takes it away, once", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("unused");
    await pushBlob(client, repository, blob);
    const target = `/v2/${repository}/blobs/${blob.digest}`;
    const answer = await client.delete(target);
    expectAnswer(answer, 202, { "content-length": "0", "docker-content-digest": blob.digest });
    await expectNoBlob(client, repository, blob.digest);
    expectError(await client.get(target), 404, "BLOB_UNKNOWN");
    expectError(await client.delete(target), 404, "BLOB_UNKNOWN");
    await pushBlob(client, repository, blob);
    await expectBlob(client, repository, blob);
  });

  it("is 404 where it never was, 400 for what is no digest", async () => {
    const { client } = given;
    for (const repository of [given.repository(), "team/absent"]) {
      const answer = await client.delete(`/v2/${repository}/blobs/${absent}`);
      expectError(answer, 404, "BLOB_UNKNOWN");
    }
    expectError(await client.delete("/v2/team/app/blobs/sha256:x"), 400, "DIGEST_INVALID");
  });

  it("is refused while a manifest of its repository has it, and says which", async () => {
    const { client } = given;
    const [repository, other] = [given.repository(), given.repository()];
    const manifest = await pushImage(client, repository, image({ seed: "in use", layers: 2 }));
    for (const blob of manifest.blobs) {
      await pushBlob(client, other, blob);
      const answer = await client.delete(`/v2/${repository}/blobs/${blob.digest}`);
      const { detail } = expectError(answer, 405, "UNSUPPORTED");
      assert.deepEqual(detail, { manifests: [manifest.digest] });
      await expectBlob(client, repository, blob);
      expectAnswer(await client.delete(`/v2/${other}/blobs/${blob.digest}`), 202);
      await expectNoBlob(client, other, blob.digest);
    }
    expectAnswer(await client.delete(`/v2/${repository}/manifests/${manifest.digest}`), 202);
    for (const { digest } of manifest.blobs) {
      expectAnswer(await client.delete(`/v2/${repository}/blobs/${digest}`), 202);
      await expectNoBlob(client, repository, digest);
    }
  });

  it("goes by any digest that it has", async () => {
    const { client } = given;
    const repository = given.repository();
    const blob = content("two names", undefined, "sha512");
    await pushBlob(client, repository, blob);
    expectAnswer(await client.delete(`/v2/${repository}/blobs/${blob.digest}`), 202);
    for (const digest of [blob.digest, digestOf(blob.bytes)]) {
      await expectNoBlob(client, repository, digest);
    }
  });
});

const switchedOff = { settings: { deleteEnabled: false } };

describeRegistry(
  "Deletion, switched off",
  (given) => {
    it("is 405 for everything, there or not", async () => {
      const { client } = given;
      const repository = given.repository();
      const manifest = await pushImage(client, repository, image({ seed: "kept" }), "tag");
      const blob = content("kept");
      await pushBlob(client, repository, blob);
      for (const rest of [
        "manifests/tag",
        "manifests/absent",
        `manifests/${manifest.digest}`,
        `blobs/${blob.digest}`,
        `blobs/${absent}`,
      ]) {
        expectError(await client.delete(`/v2/${repository}/${rest}`), 405, "UNSUPPORTED");
      }
      await expectManifest(client, repository, manifest, "tag");
      await expectBlob(client, repository, blob);
    });

    it("does not keep an upload from being given up", async () => {
      const { client } = given;
      const begun = await client.post(`/v2/${given.repository()}/blobs/uploads/`);
      expectAnswer(await client.delete(begun.required("location")), 204);
    });
  },
  switchedOff,
);

describeRegistry(
  "Deletion of what is referred to, allowed",
  (given) => {
    it("takes a blob from under its manifest, as Distribution does", async () => {
      const { client } = given;
      const repository = given.repository();
      const manifest = await pushImage(client, repository, image({ seed: "under" }), "tag");
      for (const { digest } of manifest.blobs) {
        expectAnswer(await client.delete(`/v2/${repository}/blobs/${digest}`), 202);
        await expectNoBlob(client, repository, digest);
      }
      await expectManifest(client, repository, manifest, "tag");
      for (const blob of manifest.blobs) await pushBlob(client, repository, blob);
      for (const blob of manifest.blobs) await expectBlob(client, repository, blob);
    });

    it("takes an image from under its index", async () => {
      const { client } = given;
      const repository = given.repository();
      const child = await pushImage(client, repository, image({ seed: "child" }), "child");
      const list = index([descriptor(child)]);
      await pushManifest(client, repository, list, "list");
      expectAnswer(await client.delete(`/v2/${repository}/manifests/${child.digest}`), 202);
      await expectManifest(client, repository, list, "list");
      assert.deepEqual(await tagsOf(client, repository), ["list"]);
      await pushManifest(client, repository, child);
      expectAnswer(await client.delete(`/v2/${repository}/manifests/${list.digest}`), 202);
    });
  },
  { settings: { deleteReferenced: "allow" } },
);
