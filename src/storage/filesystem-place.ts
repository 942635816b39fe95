/**
 * How content comes to its place and leaves it (invariants I1 and I4). Both sides work without a
 * lock, in any number of processes: each step is one atomic call, and whoever finds the other one
 * in the way begins anew.
 */
import { constants } from "node:fs";
import { dirname } from "node:path";
import { StorageError, UploadLost } from "./blob-store.ts";
import { done, errorCode, unless } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";
import type { DurableFolders } from "./filesystem-folders.ts";
import type { BlobPlace } from "./filesystem-paths.ts";

/**
 * Each further attempt means that a remover took a folder away in between, which it does once per
 * content.
 */
const attemptsMax = 16;

/**
 * What a filesystem without hard links answers, or one that allows no further link or none of ours.
 */
const noLinkCodes = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

type Linked = "linked" | "exists" | "vanished" | "unsupported";

export class Placement {
  readonly #calls: FileCalls;
  readonly #folders: DurableFolders;

  constructor(calls: FileCalls, folders: DurableFolders) {
    this.#calls = calls;
    this.#folders = folders;
  }

  /**
   * Gives the file `from`, whose `size` bytes are durable, a second name at `place`, and syncs
   * every folder above. `from` stays, except where there are no hard links.
   */
  async put(from: string, place: BlobPlace, size: number): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if ((await this.#enter(from, place, size)) && (await this.#sync(place))) return;
    }
    throw new StorageError("filesystem", `${place.key} was taken away ${attemptsMax} times`);
  }

  /**
   * Takes the content away; `aside` is where it waits for what `confirm` says. Absent content is
   * confirmed too: it may have been set aside by an attempt that crashed, and the caller's row of
   * it wants to go as well.
   */
  async take(place: BlobPlace, aside: string, confirm: () => Promise<boolean>): Promise<void> {
    const trash = dirname(aside);
    if (!(await done(this.#calls.rename(place.data, aside), "ENOENT"))) {
      await this.#folders.make(trash);
      await done(this.#calls.rename(place.data, aside), "ENOENT");
    }
    await this.#folders.syncAbove(trash);
    await this.#decide(place, aside, confirm);
  }

  /**
   * The same for content that waits at `theirs` since its remover has died, or seems to: moved to
   * `aside` first, so that a remover which wakes has nothing in its hands any more.
   */
  async settle(
    place: BlobPlace,
    theirs: string,
    aside: string,
    confirm: () => Promise<boolean>,
  ): Promise<void> {
    if (!(await done(this.#calls.rename(theirs, aside), "ENOENT"))) return;
    await this.#decide(place, aside, confirm);
  }

  async #decide(place: BlobPlace, aside: string, confirm: () => Promise<boolean>): Promise<void> {
    let unwanted = false;
    try {
      unwanted = await confirm();
    } finally {
      if (!unwanted) await this.#putBack(aside, place);
      await done(this.#calls.unlink(aside), "ENOENT");
    }
    if (unwanted) await done(this.#calls.rmdir(place.folder), "ENOENT", "ENOTEMPTY", "EEXIST");
  }

  /** One attempt to have the right bytes at the place; false when something vanished under it. */
  async #enter(from: string, place: BlobPlace, size: number): Promise<boolean> {
    const found = await unless(this.#calls.look(from), "ENOENT");
    if (found === undefined) {
      if ((await this.#sizeKept(place, size)) === size) return true;
      throw new UploadLost("filesystem", `neither an upload nor ${place.key} has the bytes`);
    }
    if (found.size !== size) {
      const message = `an upload has ${found.size} bytes and not ${size}`;
      if (found.size < size) throw new UploadLost("filesystem", message);
      throw new StorageError("filesystem", message);
    }
    await this.#makeFolder(place);
    const linked = await this.#link(from, place.data);
    if (linked === "linked") return true;
    if (linked === "vanished") return false;
    const kept = await this.#sizeKept(place, size);
    if (kept === size) return true;
    if (linked === "unsupported") return await done(this.#calls.rename(from, place.data), "ENOENT");
    return kept !== undefined && (await this.#replace(from, place));
  }

  async #makeFolder(place: BlobPlace): Promise<void> {
    try {
      await this.#calls.mkdir(place.folder);
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST") return;
      if (code !== "ENOENT") throw error;
      await this.#folders.make(place.folder);
    }
  }

  /**
   * The size of what lies at the place. If that is right it stays; it is somebody else's, and
   * whether it is durable is not known yet.
   */
  async #sizeKept(place: BlobPlace, size: number): Promise<number | undefined> {
    const fd = await unless(this.#calls.open(place.data, constants.O_RDONLY), "ENOENT");
    if (fd === undefined) return undefined;
    try {
      const found = await this.#calls.fstat(fd);
      if (found.size === size) await this.#calls.fsync(fd);
      return found.size;
    } finally {
      await this.#calls.close(fd);
    }
  }

  /** Bytes of a wrong size lie there. A link cannot replace, a rename can. */
  async #replace(from: string, place: BlobPlace): Promise<boolean> {
    const temporary = `${from}.tmp`;
    const linked = await this.#link(from, temporary);
    if (linked === "unsupported") return await done(this.#calls.rename(from, place.data), "ENOENT");
    if (linked === "vanished") return false;
    const renamed = await done(this.#calls.rename(temporary, place.data), "ENOENT");
    // To rename one link of a file onto another one of the same file does nothing: the temporary
    // one stays.
    await done(this.#calls.unlink(temporary), "ENOENT");
    return renamed;
  }

  /** Newer bytes that lie at the place already stay. */
  async #putBack(aside: string, place: BlobPlace): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const linked = await this.#link(aside, place.data);
      if (linked === "exists") return;
      if (linked === "unsupported") {
        if ((await unless(this.#calls.stat(place.data), "ENOENT")) !== undefined) return;
        await done(this.#calls.rename(aside, place.data), "ENOENT");
      }
      if (linked !== "vanished" && (await this.#sync(place))) return;
      // Either nothing had been set aside, or the folder was removed meanwhile.
      if ((await unless(this.#calls.stat(aside), "ENOENT")) === undefined) return;
      await this.#makeFolder(place);
    }
    throw new StorageError("filesystem", `${place.key} could not be put back`);
  }

  async #link(from: string, to: string): Promise<Linked> {
    try {
      await this.#calls.link(from, to);
      return "linked";
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST") return "exists";
      if (code === "ENOENT") return "vanished";
      if (code !== undefined && noLinkCodes.has(code)) return "unsupported";
      throw error;
    }
  }

  /** False when the folder was removed again, with what had just been put into it. */
  async #sync(place: BlobPlace): Promise<boolean> {
    const synced = Promise.all([
      this.#folders.sync(place.folder),
      this.#folders.sync(place.fan),
      this.#folders.syncAbove(place.fan),
    ]);
    return (await unless(synced, "ENOENT")) !== undefined;
  }
}
