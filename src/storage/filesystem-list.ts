/** Walking the filesystem store's tree in order, with one folder's names in memory per level. */
import { join } from "node:path";
import { parseDigest } from "../oci/digest.ts";
import type { BlobKey, ListedBlob, StoredBlob, StoredUpload } from "./blob-store.ts";
import { unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import { isAlgorithmName, isFanName, keyAt, namesOf, parseUploadFile } from "./filesystem-paths.ts";
import type { FilesystemPaths, UploadFile } from "./filesystem-paths.ts";

/**
 * Keys are ordered as their names are, level by level, since all names of one level are equally
 * long.
 */
export async function* listBlobs(
  calls: FileCalls,
  paths: FilesystemPaths,
  after: BlobKey | undefined,
): AsyncGenerator<ListedBlob> {
  const [afterAlgorithm, afterFan, afterHex] = after === undefined ? ["", "", ""] : namesOf(after);
  for (const algorithm of await namesIn(calls, paths.blobs)) {
    if (!isAlgorithmName(algorithm) || algorithm < afterAlgorithm) continue;
    const first = algorithm === afterAlgorithm;
    for (const fan of await namesIn(calls, join(paths.blobs, algorithm))) {
      if (!isFanName(fan) || (first && fan < afterFan)) continue;
      for (const hex of await namesIn(calls, join(paths.blobs, algorithm, fan))) {
        if (first && hex <= afterHex) continue;
        const key = keyAt(algorithm, fan, hex);
        const digest = parseDigest(`${algorithm}:${hex}`);
        if (key === undefined || digest === undefined) continue;
        const blob = await statBlob(calls, paths, key);
        if (blob !== undefined) yield { ...blob, source: { digest } };
      }
    }
  }
}

export async function statBlob(
  calls: FileCalls,
  paths: FilesystemPaths,
  key: BlobKey,
): Promise<StoredBlob | undefined> {
  const stats = await unless(calls.stat(paths.place(key).data), "ENOENT", "ENOTDIR");
  if (stats === undefined || !stats.isFile()) return undefined;
  return { key, size: stats.size, modifiedAt: Math.trunc(stats.mtimeMs) };
}

/** Every file of every upload: one that was taken over may have left more than one. */
export async function* listUploadFiles(
  calls: FileCalls,
  paths: FilesystemPaths,
  after: string | undefined,
): AsyncGenerator<StoredUpload & { readonly modifiedAt: number }> {
  const files = (await namesIn(calls, paths.uploads))
    .map(parseUploadFile)
    .filter((file) => file !== undefined)
    .filter((file) => after === undefined || file.id > after)
    .toSorted(byIdAndTakeovers);
  for (const { id, state } of files) {
    const stats = await unless(calls.stat(join(paths.uploads, state)), "ENOENT");
    if (stats !== undefined) yield { id, state, modifiedAt: Math.trunc(stats.mtimeMs) };
  }
}

async function namesIn(calls: FileCalls, folder: string): Promise<readonly string[]> {
  const names = await unless(calls.readdir(folder), "ENOENT", "ENOTDIR");
  return names === undefined ? [] : names.toSorted();
}

function byIdAndTakeovers(a: UploadFile, b: UploadFile): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return a.takeovers - b.takeovers;
}
