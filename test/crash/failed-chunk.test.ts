/** A chunk that fails leaves the upload as it was: one may end it, or send the chunk again. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";
import { OciError } from "../../src/oci/errors.ts";
import type { UploadTarget } from "../../src/registry/uploads.ts";
import { StorageError } from "../../src/storage/blob-store.ts";
import { nodeFileCalls, type FileCalls } from "../../src/storage/filesystem-calls.ts";
import {
  bodyOf,
  digestOfContent,
  openNode,
  origin,
  repositoryOf,
  type Node,
} from "../race/support/node.ts";
import { assertIntact, strayFiles, temporaryFolder } from "../race/support/places.ts";

const repository = repositoryOf("crash/chunks");
const start = Buffer.from("what was acknowledged");
const more = Buffer.from(", and what came after it");

for (const next of ["its end", "another chunk"] as const) {
  test(`a chunk longer than was said, and then ${next}`, async (context) => {
    const { node, root, target } = await begin(context, nodeFileCalls);
    const span = { start: start.byteLength, end: start.byteLength + 2 };
    await assert.rejects(
      node.registry.uploads.append(target, { ...bodyOf(more), span }),
      (error) => error instanceof OciError && error.code === "SIZE_INVALID",
    );
    await end(node, target, next === "its end" ? null : more);
    assert.deepEqual(await strayFiles(root), []);
    await assertIntact(root);
  });

  test(`a chunk that the disk did not take, and then ${next}`, async (context) => {
    let isFull = false;
    const fdatasync = async (fd: number): Promise<void> => {
      const error = Object.assign(new Error("no space"), { code: "ENOSPC", syscall: "fdatasync" });
      if (isFull) throw error;
      await nodeFileCalls.fdatasync(fd);
    };
    const { node, root, target } = await begin(context, { ...nodeFileCalls, fdatasync });
    isFull = true;
    await assert.rejects(node.registry.uploads.append(target, bodyOf(more)), StorageError);
    isFull = false;
    await end(node, target, next === "its end" ? null : more);
    assert.deepEqual(await strayFiles(root), []);
    await assertIntact(root);
  });
}

async function begin(
  context: TestContext,
  calls: FileCalls,
): Promise<{ readonly node: Node; readonly root: string; readonly target: UploadTarget }> {
  const root = join(await temporaryFolder(context), "root");
  const metadata = await openSqliteStore({ path: ":memory:" });
  context.after(() => metadata.close());
  const node = await openNode({ root, metadata, calls });
  const { id } = await node.registry.uploads.create(repository, "sha256");
  const target = { repository, id };
  await node.registry.uploads.append(target, bodyOf(start));
  return { node, root, target };
}

async function end({ registry }: Node, target: UploadTarget, last: Buffer | null): Promise<void> {
  const { offset } = await registry.uploads.status(target);
  assert.equal(offset, start.byteLength);
  const digest = digestOfContent(last === null ? start : Buffer.concat([start, last]));
  await registry.uploads.finish(target, digest, bodyOf(last), origin);
  await registry.blobs.check(repository, digest);
}
