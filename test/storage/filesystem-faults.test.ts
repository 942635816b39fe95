/**
 * What only the filesystem store can suffer: full disks, broken files, filesystems without hard
 * links.
 */
import assert from "node:assert/strict";
import { link, mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { StorageError } from "../../src/storage/blob-store.ts";
import type { BlobKey, BlobStore } from "../../src/storage/blob-store.ts";
import {
  begin,
  bodyOf,
  collected,
  committed,
  contentOf,
  digest,
  mebibyte,
  readAll,
  sameBytes,
  someBytes,
  uploaded,
} from "../../src/storage/contract-support.ts";
import { nodeFileCalls } from "../../src/storage/filesystem-calls.ts";
import type { FileCalls } from "../../src/storage/filesystem-calls.ts";
import { createFilesystemStore } from "../../src/storage/filesystem.ts";

const folder = await mkdtemp(join(tmpdir(), "longshore-faults-"));
after(() => rm(folder, { recursive: true }));

interface TestRoot {
  readonly root: string;
  readonly store: BlobStore;
}

async function newStore(calls: Partial<FileCalls> = {}): Promise<TestRoot> {
  const root = await mkdtemp(join(folder, "root-"));
  const store = await createFilesystemStore({ root, calls: { ...nodeFileCalls, ...calls } });
  return { root, store };
}

function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
}

const failing = (code: string, syscall: string) => async (): Promise<never> => {
  throw systemError(code, syscall);
};

const withoutLinks = { link: failing("EPERM", "link") };

test("content lies where Distribution looks for it, uploads and trash do not", async () => {
  const { root, store } = await newStore();
  const bytes = someBytes(100);
  const name = digest(bytes);
  const hex = name.slice("sha256:".length);
  const upload = await uploaded(store, "id", bytes);
  const key = await store.commit(upload, name, 100);
  assert.equal(key, `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  assert.deepEqual(await readdir(join(root, "longshore/uploads")), ["id.0"]);
  await store.remove(key, "claim-1", async () => {
    assert.deepEqual(await readdir(join(root, "longshore/trash")), [`sha256-${hex}.claim-1`]);
    return true;
  });
  assert.deepEqual(await readdir(join(root, "longshore/trash")), []);
  const fan = join(root, dirname(dirname(key)));
  assert.deepEqual(await readdir(fan), []);
});

test("names that would leave their folder are refused", async () => {
  const { store } = await newStore();
  const key = await committed(store, someBytes(3));
  const bad = ["../x", "a/b", "", ".", "..", "a.b", "a\0b", "x".repeat(129), "ü"];
  for (const name of bad) {
    await assert.rejects(store.create(name), { code: "ERR_ASSERTION" });
    await assert.rejects(
      store.remove(key, name, async () => true),
      { code: "ERR_ASSERTION" },
    );
    await assert.rejects(store.abort({ id: "x", state: name }), { code: "ERR_ASSERTION" });
    await assert.rejects(store.open(name as BlobKey), { code: "ERR_ASSERTION" });
  }
  await assert.rejects(store.abort({ id: "x", state: "y.0" }), { code: "ERR_ASSERTION" });
  await assert.rejects(store.open(`../${key}` as BlobKey), { code: "ERR_ASSERTION" });
  assert.ok((await store.stat(key)) !== undefined);
});

test("foreign files in the tree are not listed", async () => {
  const { root, store } = await newStore();
  const key = await committed(store, someBytes(3));
  const hexFolder = dirname(join(root, key));
  await writeFile(`${join(root, key)}.1234.tmp`, "left by another registry");
  await writeFile(join(dirname(hexFolder), "README"), "");
  await mkdir(join(dirname(hexFolder), "abc"));
  await mkdir(join(root, "docker/registry/v2/blobs/md5/00/00"), { recursive: true });
  await writeFile(join(root, "docker/registry/v2/blobs/sha256/zz"), "");
  await writeFile(join(root, "longshore/uploads/notes.txt"), "");
  assert.deepEqual(
    (await collected(store.list())).map((stored) => stored.key),
    [key],
  );
  assert.deepEqual(await collected(store.listUploads()), []);
});

test("a file that was cut short is a StorageError and never short content", async () => {
  const { root, store } = await newStore();
  const key = await committed(store, someBytes(4 * mebibyte));
  const opened = await store.open(key);
  assert.ok(opened?.body instanceof ReadableStream);
  await truncate(join(root, key), mebibyte);
  await assert.rejects(readAll(opened.body), StorageError);
  const span = { start: 0, end: 4 * mebibyte - 1 };
  await assert.rejects(store.open(key, { span }), StorageError);
});

test("an upload that was cut short is not written on, nor committed", async () => {
  const { root, store } = await newStore();
  const bytes = someBytes(1000);
  const upload = await uploaded(store, "cut", bytes);
  await truncate(join(root, "longshore/uploads/cut.0"), 500);
  await assert.rejects(store.append(upload, bodyOf([]), { offset: 1000 }), StorageError);
  await assert.rejects(store.commit(upload, digest(bytes), 1000), StorageError);
  await assert.rejects(store.read(upload, 1000), StorageError);
});

test("a key that is a folder is a failure and not absence", async () => {
  const { root, store } = await newStore();
  const key = await committed(store, someBytes(3));
  await store.remove(key, "claim", async () => true);
  await mkdir(join(root, key), { recursive: true });
  await assert.rejects(store.open(key), StorageError);
});

test("a full disk is a StorageError, and nothing stays open", async () => {
  let open = 0;
  let written = 0;
  const calls: Partial<FileCalls> = {
    open: async (path, flags) => {
      const fd = await nodeFileCalls.open(path, flags);
      open += 1;
      return fd;
    },
    openFolder: async (path) => {
      const fd = await nodeFileCalls.openFolder(path);
      open += 1;
      return fd;
    },
    close: async (fd) => {
      open -= 1;
      await nodeFileCalls.close(fd);
    },
    writev: async (fd, chunks, position) => {
      written += 1;
      if (written > 2) throw systemError("ENOSPC", "writev");
      return await nodeFileCalls.writev(fd, chunks, position);
    },
  };
  const { store } = await newStore(calls);
  const upload = await begin(store, "full");
  let told: unknown;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(someBytes(300_000)),
    cancel: (why) => {
      told = why;
    },
  });
  await assert.rejects(store.append(upload, body, { offset: 0 }), (error) => {
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /ENOSPC/);
    assert.ok(error.cause instanceof Error);
    return true;
  });
  assert.ok(told instanceof Error);
  assert.equal(open, 0);
});

test("bytes that cannot be synced are not acknowledged", async () => {
  const { store } = await newStore({ fdatasync: failing("EIO", "fdatasync") });
  const upload = await begin(store, "unsynced");
  await assert.rejects(store.append(upload, bodyOf([someBytes(9)]), { offset: 0 }), StorageError);
});

test("writes that take only a part are continued", async () => {
  const { store } = await newStore({
    writev: async (fd, chunks, position) => {
      const some = Buffer.concat(chunks).subarray(0, 70_001);
      return await nodeFileCalls.writev(fd, [some], position);
    },
  });
  const bytes = someBytes(mebibyte);
  const chunks = [bytes.subarray(0, 10), bytes.subarray(10, 400_000), bytes.subarray(400_000)];
  const upload = await begin(store, "partly");
  const { size } = await store.append(upload, bodyOf(chunks), { offset: 0 });
  assert.ok(sameBytes(await readAll(await store.read(upload, size)), bytes));
});

test("no descriptor leaks", { skip: process.platform !== "linux" }, async () => {
  const { store } = await newStore();
  const descriptors = async (): Promise<number> => (await readdir("/proc/self/fd")).length;
  const key = await committed(store, someBytes(4 * mebibyte));
  const before = await descriptors();
  for (let round = 0; round < 20; round += 1) {
    await contentOf(store, key);
    const cancelled = await store.open(key);
    assert.ok(cancelled?.body instanceof ReadableStream);
    const reader = cancelled.body.getReader();
    await reader.read();
    await reader.cancel();
    await assert.rejects(store.open(key, { span: { start: 5 * mebibyte, end: 9 * mebibyte } }));
    await assert.rejects(store.open(key, { span: { start: 5 * mebibyte, end: 5 * mebibyte } }));
    const upload = await begin(store, "failing");
    const body = bodyOf([someBytes(100_000)], { error: new Error("gone") });
    await assert.rejects(store.append(upload, body, { offset: 0 }));
    await assert.rejects(store.append(upload, bodyOf([]), { offset: 200_000 }));
    await store.create("failing", { from: upload, size: 50_000 });
    await store.remove(key, "claim", async () => false);
  }
  assert.equal(await descriptors(), before);
});

test("a stream that is aborted while it reads closes its file afterwards", async () => {
  const abort = new AbortController();
  const reading = new Set<number>();
  const closed = Promise.withResolvers<boolean>();
  const { store } = await newStore({
    read: async (fd, into, position) => {
      reading.add(fd);
      queueMicrotask(() => abort.abort(new Error("gone")));
      const count = await nodeFileCalls.read(fd, into, position);
      reading.delete(fd);
      return count;
    },
    close: async (fd) => {
      if (abort.signal.aborted) closed.resolve(!reading.has(fd));
      await nodeFileCalls.close(fd);
    },
  });
  const key = await committed(store, someBytes(mebibyte));
  const opened = await store.open(key, { signal: abort.signal });
  assert.ok(opened?.body instanceof ReadableStream);
  await assert.rejects(readAll(opened.body), /gone/);
  assert.equal(await closed.promise, true);
});

test("where there are no hard links, a commit renames, and is safe to repeat", async () => {
  const { store } = await newStore(withoutLinks);
  const [bytes, broken] = [someBytes(70_000), someBytes(300)];
  const name = digest(bytes);
  await store.commit(await uploaded(store, "bad", broken), name, 300);
  const uploads = await Promise.all(
    Array.from({ length: 8 }, (_, index) => uploaded(store, `push-${index}`, bytes)),
  );
  const commits = uploads.flatMap((upload) => [
    store.commit(upload, name, 70_000),
    store.commit(upload, name, 70_000),
  ]);
  const [key] = await Promise.all(commits);
  assert.ok(key !== undefined);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
  for (const upload of uploads) await store.abort(upload);
  assert.deepEqual(await collected(store.listUploads()), []);
});

test("where there are no hard links, what is wanted again is put back", async () => {
  const { root, store } = await newStore(withoutLinks);
  const bytes = someBytes(300);
  const key = await committed(store, bytes);
  await store.remove(key, "one", async () => false);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
  await store.remove(key, "two", async () => {
    await committed(store, bytes);
    return false;
  });
  assert.ok(sameBytes(await contentOf(store, key), bytes));
  await store.remove(key, "three", async () => true);
  assert.equal(await store.stat(key), undefined);
  assert.deepEqual(await readdir(join(root, "longshore/trash")), []);
});

test("a removal that crashed half-way is finished by the same claim", async () => {
  const { root, store } = await newStore();
  const bytes = someBytes(300);
  const key = await committed(store, bytes);
  const crashed = await createFilesystemStore({
    root,
    calls: { ...nodeFileCalls, link: failing("EIO", "link") },
  });
  await assert.rejects(
    crashed.remove(key, "claim", async () => false),
    StorageError,
  );
  assert.equal(await store.stat(key), undefined);
  await store.remove(key, "claim", async () => false);
  assert.ok(sameBytes(await contentOf(store, key), bytes));
  assert.deepEqual(await readdir(join(root, "longshore/trash")), []);
});

test("two stores on one root commit and remove beside each other", async () => {
  const { root, store } = await newStore();
  const other = await createFilesystemStore({ root });
  const bytes = someBytes(500);
  const upload = await uploaded(store, "one", bytes);
  const second = await uploaded(other, "two", bytes);
  let key = await store.commit(upload, digest(bytes), 500);
  for (let round = 0; round < 100; round += 1) {
    await Promise.all([
      store.commit(upload, digest(bytes), 500),
      other.remove(key, `claim-${round}`, async () => round % 2 === 0),
      other.commit(second, digest(bytes), 500),
    ]);
    key = await other.commit(second, digest(bytes), 500);
    assert.ok(sameBytes(await contentOf(store, key), bytes));
  }
});

test("every folder with a new entry is synced before the answer, whoever made it", async () => {
  const paths = new Map<number, string>();
  const synced = new Set<string>();
  const calls: Partial<FileCalls> = {
    open: async (path, flags) => {
      const fd = await nodeFileCalls.open(path, flags);
      paths.set(fd, path);
      return fd;
    },
    openFolder: async (path) => {
      const fd = await nodeFileCalls.openFolder(path);
      paths.set(fd, path);
      return fd;
    },
    fsync: async (fd) => {
      await nodeFileCalls.fsync(fd);
      synced.add(paths.get(fd) ?? "");
    },
  };
  const { root, store } = await newStore(calls);
  const bytes = someBytes(500);
  // Another process has come as far as linking the bytes into place, and syncs nothing.
  const key = await committed((await newStoreAt(root)).store, bytes);
  const upload = await uploaded(store, "one", bytes);
  synced.clear();
  await store.commit(upload, digest(bytes), 500);
  const names = dirname(key).split("/");
  for (let depth = 0; depth <= names.length; depth += 1) {
    const path = join(root, ...names.slice(0, depth));
    assert.ok(synced.has(path), `${path} is not synced`);
  }
  assert.ok(synced.has(join(root, key)), "the bytes that were found are not synced");
  synced.clear();
  await store.commit(upload, digest(bytes), 500);
  assert.equal(synced.size, 3);
});

async function newStoreAt(root: string): Promise<TestRoot> {
  const store = await createFilesystemStore({
    root,
    calls: { ...nodeFileCalls, fsync: async () => undefined },
  });
  return { root, store };
}

test("a takeover beside a writer that goes on has the prefix only", async () => {
  const { root, store } = await newStore();
  const bytes = someBytes(2 * mebibyte);
  const from = await uploaded(store, "old", bytes);
  const { store: other } = await newStoreAt(root);
  const [state] = await Promise.all([
    other.create("old", { from, size: bytes.byteLength }),
    store.append(from, bodyOf([someBytes(mebibyte, 2)]), { offset: bytes.byteLength }),
  ]);
  const taken = { id: "old", state };
  assert.ok(sameBytes(await readAll(await other.read(taken, bytes.byteLength)), bytes));
  await assert.rejects(other.read(taken, bytes.byteLength + 1), StorageError);
});

test("an upload that has another name is written on in a file of its own", async () => {
  const { root, store } = await newStore();
  const upload = await uploaded(store, "named", someBytes(100));
  await link(join(root, "longshore/uploads/named.0"), join(root, "elsewhere"));
  const { state } = await store.append(upload, bodyOf([someBytes(5)]), { offset: 100 });
  assert.equal(state, "named.1");
  assert.deepEqual(await readdir(join(root, "longshore/uploads")), ["named.1"]);
});

test("a root that is a link is followed, for it is the operator's", async () => {
  const { root } = await newStore();
  const linked = join(folder, "linked");
  await symlink(root, linked);
  const store = await createFilesystemStore({ root: linked });
  const key = await committed(store, someBytes(10));
  assert.ok(sameBytes(await contentOf(store, key), someBytes(10)));
});
