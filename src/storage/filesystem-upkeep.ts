/** The filesystem store's upkeep: the root's marker, and content that was set aside. */
import { constants } from "node:fs";
import { dirname, join } from "node:path";
import type { BlobKey, StoreUpkeep } from "./blob-store.ts";
import { unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import type { DurableFolders } from "./filesystem-folders.ts";
import { parseAside } from "./filesystem-paths.ts";
import type { FilesystemPaths } from "./filesystem-paths.ts";

export class FilesystemUpkeep implements StoreUpkeep {
  readonly #calls: FileCalls;
  readonly #paths: FilesystemPaths;
  readonly #folders: DurableFolders;

  constructor(calls: FileCalls, paths: FilesystemPaths, folders: DurableFolders) {
    this.#calls = calls;
    this.#paths = paths;
    this.#folders = folders;
  }

  async readMarker(): Promise<string | undefined> {
    const bytes = await unless(this.#calls.readFile(this.#paths.marker), "ENOENT", "ENOTDIR");
    return bytes && new TextDecoder().decode(bytes);
  }

  /** Whole or not at all: a marker that was cut off would be somebody else's. */
  async writeMarker(text: string): Promise<void> {
    const { marker } = this.#paths;
    const folder = dirname(marker);
    await this.#folders.make(folder);
    const temporary = `${marker}.${process.pid}.tmp`;
    const { O_CREAT, O_TRUNC, O_WRONLY } = constants;
    const fd = await this.#calls.open(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    try {
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.byteLength;) {
        at += await this.#calls.writev(fd, [bytes.subarray(at)], at);
      }
      await this.#calls.fsync(fd);
    } finally {
      await this.#calls.close(fd);
    }
    await this.#calls.rename(temporary, marker);
    await Promise.all([this.#folders.sync(folder), this.#folders.syncAbove(folder)]);
  }

  async holdsContent(): Promise<boolean> {
    for (const folder of [this.#paths.blobs, join(this.#paths.blobs, "..", "repositories")]) {
      const names = await unless(this.#calls.readdir(folder), "ENOENT", "ENOTDIR");
      if (names !== undefined && names.length > 0) return true;
    }
    return false;
  }

  async *listSetAside(): AsyncGenerator<{ readonly key: BlobKey; readonly claim: string }> {
    const names = await unless(this.#calls.readdir(this.#paths.trash), "ENOENT", "ENOTDIR");
    for (const name of names?.toSorted() ?? []) {
      const aside = parseAside(name);
      if (aside !== undefined) yield aside;
    }
  }
}
