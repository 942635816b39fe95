/** The filesystem store's upkeep: the root's marker, and content that was set aside. */
import { constants } from "node:fs";
import { dirname, join } from "node:path";
import type { SetAside, StoreUpkeep } from "./blob-store.ts";
import { unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import type { DurableFolders } from "./filesystem-folders.ts";
import { listBlobs } from "./filesystem-list.ts";
import { parseAside } from "./filesystem-paths.ts";
import type { FilesystemPaths } from "./filesystem-paths.ts";
import type { Placement } from "./filesystem-place.ts";

export class FilesystemUpkeep implements StoreUpkeep {
  readonly removes = true;
  readonly #calls: FileCalls;
  readonly #paths: FilesystemPaths;
  readonly #folders: DurableFolders;
  readonly #placement: Placement;

  constructor(parts: {
    readonly calls: FileCalls;
    readonly paths: FilesystemPaths;
    readonly folders: DurableFolders;
    readonly placement: Placement;
  }) {
    this.#calls = parts.calls;
    this.#paths = parts.paths;
    this.#folders = parts.folders;
    this.#placement = parts.placement;
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
    const { fd, path: temporary } = await this.#makeBeside(marker);
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

  /** A new file: another node may be at it as well, or has left one. */
  async #makeBeside(marker: string): Promise<{ readonly fd: number; readonly path: string }> {
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    for (let number = 1; ; number += 1) {
      const path = `${marker}.${number}`;
      const fd = await unless(this.#calls.open(path, O_WRONLY | O_CREAT | O_EXCL), "EEXIST");
      if (fd !== undefined) return { fd, path };
    }
  }

  /** A folder without content is what a removal leaves, and no content. */
  async holdsContent(): Promise<boolean> {
    const repositories = join(this.#paths.blobs, "..", "repositories");
    const names = await unless(this.#calls.readdir(repositories), "ENOENT", "ENOTDIR");
    if (names !== undefined && names.length > 0) return true;
    const content = await listBlobs(this.#calls, this.#paths, undefined).next();
    return content.done !== true;
  }

  async *listSetAside(): AsyncGenerator<SetAside> {
    const names = await unless(this.#calls.readdir(this.#paths.trash), "ENOENT", "ENOTDIR");
    for (const name of names?.toSorted() ?? []) {
      const aside = parseAside(name);
      if (aside === undefined) continue;
      const { claim: theirs, key } = aside;
      const settle: SetAside["settle"] = async (mine, confirm) => {
        const place = this.#paths.place(key);
        const from = this.#paths.aside(key, theirs);
        await this.#placement.settle(place, from, this.#paths.aside(key, mine), confirm);
      };
      yield { ...aside, settle };
    }
  }
}
