/** What only the filesystem store's upkeep can meet: foreign files, lost ones, an unsure disk. */
import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UploadLost, type BlobStore, type StoredUpload } from "../../src/storage/blob-store.ts";
import {
  bodyOf,
  collected,
  committed,
  contentOf,
  digest,
  mebibyte,
  sameBytes,
  someBytes,
  uploaded,
} from "../../src/storage/contract-support.ts";
import { nodeFileCalls, type FileCalls } from "../../src/storage/filesystem-calls.ts";
import { createFilesystemStore } from "../../src/storage/filesystem.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-upkeep-"));
after(() => rm(folder, { recursive: true }));

async function newStore(
  calls: Partial<FileCalls> = {},
): Promise<{ readonly root: string; readonly store: BlobStore }> {
  const root = await mkdtemp(join(folder, "root-"));
  const store = await createFilesystemStore({ root, calls: { ...nodeFileCalls, ...calls } });
  return { root, store };
}

test("an upload whose file is gone, or was cut short, is lost and not merely broken", async () => {
  const { root, store } = await newStore();
  const bytes = someBytes(1000);
  const file = (upload: StoredUpload): string => join(root, "longshore/uploads", upload.state);
  const gone = await uploaded(store, "gone", bytes);
  await unlink(file(gone));
  const short = await uploaded(store, "short", bytes);
  await truncate(file(short), 999);
  for (const upload of [gone, short]) {
    const more = (): Promise<unknown> => store.append(upload, bodyOf([bytes]), { offset: 1000 });
    await assert.rejects(more, UploadLost);
    await assert.rejects(store.read(upload, 1000), UploadLost);
    await assert.rejects(store.commit(upload, digest(bytes), 1000), UploadLost);
    await assert.rejects(store.create(upload.id, { from: upload, size: 1000 }), UploadLost);
  }
});

test("what others put into our folders is neither set aside nor an upload", async () => {
  const { root, store } = await newStore();
  const hex = "a".repeat(64);
  for (const name of ["uploads", "trash"]) {
    await mkdir(join(root, "longshore", name), { recursive: true });
    const names = ["README", "claim", `sha256-${hex}`, `sha256-${hex}.`, `md5-${hex}.claim`];
    for (const each of [...names, `sha256-${hex}0.claim`, `sha256-${hex}.a.b`]) {
      await writeFile(join(root, "longshore", name, each), "");
    }
  }
  assert.deepEqual(await collected(store.upkeep.listSetAside()), []);
  assert.deepEqual(await collected(store.listUploads()), []);
});

test("folders that a removal left empty are no content, Distribution's links are", async () => {
  const { root, store } = await newStore();
  const key = await committed(store, someBytes(10));
  await store.remove(key, "claim", async () => true);
  assert.equal(await store.upkeep.holdsContent(), false);
  await mkdir(join(root, "docker/registry/v2/repositories/library"), { recursive: true });
  assert.equal(await store.upkeep.holdsContent(), true);
});

test("a marker is written whole or not at all, whatever an earlier attempt has left", async () => {
  let fails = true;
  const { root, store } = await newStore({
    fsync: async (fd) => {
      if (fails) throw Object.assign(new Error("EIO: fsync"), { code: "EIO", syscall: "fsync" });
      await nodeFileCalls.fsync(fd);
    },
  });
  await assert.rejects(store.upkeep.writeMarker("first"));
  assert.equal(await store.upkeep.readMarker(), undefined);
  fails = false;
  await Promise.all([1, 2, 3].map(() => store.upkeep.writeMarker("second")));
  assert.equal(await store.upkeep.readMarker(), "second");
  // The one that failed leaves its file, which nobody takes for a marker.
  const names = await readdir(join(root, "longshore"));
  assert.deepEqual(names.toSorted(), ["store.json", "store.json.1"]);
});

test("content is settled without hard links, too", async () => {
  const noLinks = Object.assign(new Error("EPERM: link"), { code: "EPERM", syscall: "link" });
  const { store } = await newStore({ link: () => Promise.reject(noLinks) });
  const bytes = someBytes(100);
  const key = await committed(store, bytes);
  const asked = Promise.withResolvers<void>();
  const never = new Promise<boolean>(() => undefined);
  void store.remove(key, "dead", () => {
    asked.resolve();
    return never;
  });
  await asked.promise;
  const [aside] = await collected(store.upkeep.listSetAside());
  await aside?.settle("mine", async () => false);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
  assert.deepEqual(await collected(store.upkeep.listSetAside()), []);
});

test("a large file that has no name any more is closed all the same", async () => {
  const path = join(folder, "large");
  for (const size of [mebibyte, 16 * mebibyte]) {
    const handle = await open(path, "w");
    await handle.truncate(size);
    await handle.close();
    const fd = await nodeFileCalls.open(path, 0);
    await unlink(path);
    await nodeFileCalls.close(fd);
    assert.throws(() => fstatSync(fd), { code: "EBADF" });
  }
});
