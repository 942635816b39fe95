/**
 * Makes folder entries durable. A file survives a power cut only when the folder that names it is
 * synced too, and so each folder above. Whoever finds a folder in place cannot know whether the one
 * who made it has synced its entry yet, so every committer syncs for itself, and never trusts what
 * it merely sees.
 */
import { dirname, relative } from "node:path";
import { errorCode } from "./filesystem-calls.ts";
import type { FileCalls } from "./filesystem-calls.ts";

interface Syncing {
  /** Began before a caller's entry was certainly there, so it may miss it. */
  readonly running: Promise<void>;
  /** Begins when `running` ends: everyone who asks meanwhile shares it. */
  next: Promise<void> | undefined;
}

export class DurableFolders {
  readonly #calls: FileCalls;
  readonly #root: string;
  readonly #syncing = new Map<string, Syncing>();
  readonly #above = new Map<string, Promise<void>>();

  /** `root` is where the chain of folders ends; it is the operator's. */
  constructor(calls: FileCalls, root: string) {
    this.#calls = calls;
    this.#root = root;
  }

  /** Resolves when every entry that `folder` had at the time of the call is durable. */
  sync(folder: string): Promise<void> {
    const syncing = this.#syncing.get(folder);
    if (syncing === undefined) return this.#begin(folder);
    syncing.next ??= syncing.running.then(
      () => this.#begin(folder),
      () => this.#begin(folder),
    );
    return syncing.next;
  }

  /**
   * Resolves when the entries of `folder` and of each folder above it, up to the root, are durable.
   * That is done once per process: these folders stay, and one who saw one made and synced need not
   * do it again.
   */
  syncAbove(folder: string): Promise<void> {
    const known = this.#above.get(folder);
    if (known !== undefined) return known;
    const parent = dirname(folder);
    const inside = relative(this.#root, parent) !== "";
    const syncs = Promise.all([this.sync(parent), inside ? this.syncAbove(parent) : undefined]);
    const above = syncs.then(() => undefined);
    this.#above.set(folder, above);
    above.catch(() => this.#above.delete(folder));
    return above;
  }

  /**
   * Makes `folder` and those above it where they are missing; what was made has to be synced anew.
   */
  async make(folder: string): Promise<void> {
    const made = await this.#calls.mkdirs(folder);
    // Nothing made means that somebody else just did, and it may have been any of them.
    for (let path = folder; path !== this.#root && path !== dirname(path); path = dirname(path)) {
      this.#above.delete(path);
      if (path === made) break;
    }
  }

  #begin(folder: string): Promise<void> {
    const running = this.#sync(folder);
    const syncing: Syncing = { running, next: undefined };
    this.#syncing.set(folder, syncing);
    const forget = (): void => {
      if (this.#syncing.get(folder) === syncing && syncing.next === undefined) {
        this.#syncing.delete(folder);
      }
    };
    running.then(forget, forget);
    return running;
  }

  async #sync(folder: string): Promise<void> {
    const fd = await this.#calls.openFolder(folder);
    try {
      await this.#calls.fsync(fd);
    } catch (error) {
      // Some network and FUSE filesystems cannot sync a folder, and say so; there is nothing else
      // to call.
      const code = errorCode(error);
      if (code !== "EINVAL" && code !== "ENOTSUP") throw error;
    } finally {
      await this.#calls.close(fd);
    }
  }
}
