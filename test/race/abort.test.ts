/** In one process a new writer to an upload ends the one before, whatever that is doing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { UploadConflict } from "../../src/registry/upload-errors.ts";
import { nodeFileCalls, type Bytes } from "../../src/storage/filesystem-calls.ts";
import { bodyOf, digestOfContent, openNode, origin, repositoryOf } from "./support/node.ts";
import { assertIntact, strayFiles, temporaryFolder } from "./support/places.ts";
import { Random } from "./support/random.ts";

const repository = repositoryOf("race/abort");

test("a PATCH ends a PUT that reads its bytes once more", async (context) => {
  const root = join(await temporaryFolder(context), "root");
  const metadata = await openSqliteStore({ path: ":memory:" });
  context.after(() => metadata.close());
  const reading = Promise.withResolvers<void>();
  const mayRead = Promise.withResolvers<void>();
  const read = async (fd: number, into: Bytes, position: number): Promise<number> => {
    reading.resolve();
    await mayRead.promise;
    return await nodeFileCalls.read(fd, into, position);
  };
  const { registry } = await openNode({ root, metadata, calls: { ...nodeFileCalls, read } });
  const { id } = await registry.uploads.create(repository, "sha256");
  const target = { repository, id };
  const [start, more] = [new Random(1).bytes(200_000), new Random(2).bytes(1000)];
  await registry.uploads.append(target, bodyOf(start));
  // Nobody has hashed it by this algorithm.
  const digest = digestOf("sha512", createHash("sha512").update(start).digest("hex"));
  const put = registry.uploads.finish(target, digest, bodyOf(null), origin);
  const refused = assert.rejects(
    put,
    (error) => error instanceof UploadConflict && error.upload.offset === start.byteLength,
  );
  await reading.promise;
  const patched = registry.uploads.append(target, bodyOf(more));
  mayRead.resolve();
  await refused;
  assert.equal((await patched).offset, start.byteLength + more.byteLength);
  const content = Buffer.concat([start, more]);
  await registry.uploads.finish(target, digestOfContent(content), bodyOf(null), origin);
  await registry.blobs.check(repository, digestOfContent(content));
  assert.deepEqual(await strayFiles(root), []);
  await assertIntact(root);
});
