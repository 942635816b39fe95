/** The `ObjectBucket` on Azure's blob storage: a translation, and no policy. */
import type { Readable } from "node:stream";
import type { BlobItem, BlockBlobClient, ContainerClient } from "@azure/storage-blob";
import type { ByteSpan } from "../blob-store.ts";
import { BucketError, PartsUnknown } from "../objects/object-bucket.ts";
import type {
  Call,
  CompletedPart,
  ObjectBucket,
  ObjectInfo,
  ObjectPage,
  PartLimits,
  PartsTarget,
  StartedParts,
} from "../objects/object-bucket.ts";
import { toWebStream } from "../objects/vendor/answers.ts";
import { inGroups } from "../objects/vendor/in-groups.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import { openAccount, type AccountSurroundings, type AzureAccount } from "./azure-account.ts";
import {
  fromBlockId,
  newBlock,
  newTarget,
  targetOf,
  targetStartedAt,
  toBlockId,
} from "./azure-blocks.ts";
import { brokenOff, failureOf, orAbsent, toBucketError, unlessThere } from "./azure-errors.ts";
import { AzureLinks } from "./azure-links.ts";
import type { AzureOptions } from "./azure-options.ts";
import { AzurePages } from "./azure-pages.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Two of an upload are in memory. With 50,000 of them a blob has up to 390 GiB. */
const defaultPartBytes = 8 * 1024 * 1024;
/**
 * Azure has no smallest block. This one keeps clients that send little at a time from using up the
 * 50,000: a blob has 48 GiB at least, and what is below it is read back by the next append.
 */
const partBytesMin = 1024 * 1024;
/** Azure's own, of a block. */
const partBytesMax = 4000 * 1024 * 1024;
/** Azure's own, of a blob. */
const partsMax = 50_000;
/** Azure's own. */
const pageSize = 5000;

export interface AzureSurroundings extends AccountSurroundings {
  /** Milliseconds UTC. */
  readonly now: () => number;
  /** A word that never comes again, on any node. */
  readonly newId: () => string;
}

/**
 * Throws an Error that names the parameter for options that cannot be, and one that names the
 * package to install where it is missing. Nothing is asked of Azure yet.
 */
export async function createAzureBucket(
  options: AzureOptions,
  surroundings: AzureSurroundings,
): Promise<ObjectBucket> {
  const { chunkBytes = defaultPartBytes } = options;
  if (chunkBytes < partBytesMin || chunkBytes > partBytesMax) {
    const allowed = `${partBytesMin} to ${partBytesMax} bytes`;
    throw new Error(`storage.azure: blocks of ${chunkBytes} bytes; possible are ${allowed}`);
  }
  const account = await openAccount(options, surroundings);
  const { container } = options;
  return new AzureBucket(account, { ...surroundings, container, chunkBytes });
}

interface Settings extends AzureSurroundings {
  readonly container: string;
  readonly chunkBytes: number;
}

class AzureBucket implements ObjectBucket {
  readonly name = "azure";
  readonly limits: PartLimits;
  readonly #account: AzureAccount;
  readonly #container: ContainerClient;
  readonly #links: AzureLinks;
  readonly #settings: Settings;
  readonly #pages = new AzurePages();
  /** Whether the server has said that it cannot. */
  #cannotCopy = false;

  constructor(account: AzureAccount, settings: Settings) {
    this.limits = { partBytes: settings.chunkBytes, partBytesMin, partsMax };
    this.#account = account;
    this.#container = account.service.getContainerClient(settings.container);
    this.#links = new AzureLinks(account, settings.now);
    this.#settings = settings;
  }

  async head(key: string, { signal }: Call): Promise<ObjectInfo | undefined> {
    return await this.#call("head", signal, async (options) => {
      const found = await orAbsent(this.#blob(key).getProperties(options));
      if (found === undefined) return undefined;
      const { contentLength: size = 0, lastModified } = found;
      return { key, size, modifiedAt: lastModified?.getTime() ?? 0 };
    });
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    { signal }: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    return await this.#call("get", signal, async (options) => {
      const start = span?.start ?? 0;
      const count = span && span.end - span.start + 1;
      // A body that breaks off is whoever reads it to take up again.
      const download = this.#blob(key).download(start, count, { ...options, maxRetryRequests: 0 });
      const found = await orAbsent(download);
      if (found === undefined) return undefined;
      const { contentLength: size = 0, readableStreamBody } = found;
      if (span !== undefined && size === 0) {
        const message = `get: nothing at ${start}, where the object ends`;
        throw new BucketError(this.name, message, { transient: false });
      }
      const translate = (error: unknown): unknown =>
        signal?.aborted === true ? signal.reason : brokenOff(error);
      return { size, body: toWebStream(readableStreamBody as Readable, translate) };
    });
  }

  async put(key: string, pieces: readonly Uint8Array[], { signal }: Call): Promise<void> {
    await this.#sending("put", pieces, signal, async (body, options) => {
      await this.#blob(key).upload(() => body, body.size, options);
    });
  }

  async delete(keys: readonly string[], { signal }: Call): Promise<void> {
    await this.#call("delete", signal, async (options) => {
      await inGroups(keys, async (key) => await orAbsent(this.#blob(key).delete(options)));
    });
  }

  async list(
    prefix: string,
    after: string | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<ObjectInfo>> {
    return await this.#call("list", signal, async (options) => {
      const isAfter = ({ key }: ObjectInfo): boolean => after === undefined || key > after;
      const request = { prefix, after, includesUncommitted: false, ...options };
      return await this.#page(request, (found) => found.map(toInfo).filter(isAfter));
    });
  }

  async url(key: string): Promise<string | undefined> {
    return await this.#call("url", undefined, async () => await this.#link(key));
  }

  /** Nothing is known to Azure before the first block. */
  async beginParts(): Promise<string> {
    const { newId, now } = this.#settings;
    return newTarget(now(), newId());
  }

  /** To a blob that was completed as well: `completeParts` then makes a longer one of it. */
  async putPart(
    { id, key }: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    { signal }: Call,
  ): Promise<string> {
    const block = newBlock(id, number, this.#settings.newId());
    await this.#sending("putPart", pieces, signal, async (body, options) => {
      await this.#blob(key).stageBlock(toBlockId(block), () => body, body.size, options);
    });
    return block;
  }

  async copyPart(
    { id, key }: PartsTarget,
    number: number,
    source: { readonly key: string; readonly span: ByteSpan },
    { signal }: Call,
  ): Promise<string | undefined> {
    if (this.#cannotCopy) return undefined;
    return await this.#call("copyPart", signal, async (options) => {
      const url = await this.#link(source.key);
      if (url === undefined) return undefined;
      const block = newBlock(id, number, this.#settings.newId());
      const { end, start } = source.span;
      const blob = this.#blob(key);
      try {
        const count = end - start + 1;
        await blob.stageBlockFromURL(toBlockId(block), url, start, count, options);
        return block;
      } catch (error) {
        if (failureOf(error).status !== notImplemented) throw error;
        this.#cannotCopy = true;
        return undefined;
      }
    });
  }

  /**
   * Blocks that a list leaves out are gone with it. So a list that came late, after a longer one,
   * must not have its way: the first one finds no blob, each later one the very blob that it has
   * looked at, and what that has already it keeps.
   */
  async completeParts(
    { id, key }: PartsTarget,
    parts: readonly CompletedPart[],
    { signal }: Call,
  ): Promise<void> {
    await this.#call("completeParts", signal, async (options) => {
      const wanted = parts.map(({ tag }) => tag);
      const blob = this.#blob(key);
      const ids = wanted.map(toBlockId);
      const isNew = { ...options, conditions: { ifNoneMatch: "*" } };
      if ((await unlessThere(blob.commitBlockList(ids, isNew))) !== undefined) return;
      const { committedBlocks = [], etag } = await blob.getBlockList("committed", options);
      const has = committedBlocks.map(({ name }) => fromBlockId(name));
      const isOwn = has.some((block) => targetOf(block) === id);
      if (isOwn && isPrefix(wanted, has)) {
        if (wanted.length === has.length) return;
        throw new PartsUnknown(this.name, "there is a longer blob already");
      }
      const conditions = etag === undefined ? {} : { ifMatch: etag };
      await blob.commitBlockList(ids, { ...options, conditions });
    });
  }

  /**
   * Azure forgets blocks after a week, or when a blob is made without them: an empty one, which is
   * deleted at once. Not where another target has blocks, or where there is a blob already.
   */
  async abortParts({ id, key }: PartsTarget, { signal }: Call): Promise<void> {
    await this.#call("abortParts", signal, async (options) => {
      const targets = await this.#targetsAt(key, options);
      if (targets.length !== 1 || targets[0] !== id) return;
      const blob = this.#blob(key);
      const conditions = { ifNoneMatch: "*" };
      const made = await unlessThere(blob.commitBlockList([], { ...options, conditions }));
      if (made?.etag === undefined) return;
      await orAbsent(blob.delete({ ...options, conditions: { ifMatch: made.etag } }));
    });
  }

  async listParts(
    prefix: string,
    after: PartsTarget | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<StartedParts>> {
    return await this.#call("listParts", signal, async (options) => {
      const request = { prefix, after: after?.key, includesUncommitted: true, ...options };
      return await this.#page(request, async (found) => {
        // One that was not completed is empty. So may others be, but they have no such blocks.
        const keys = found.map(toInfo).flatMap(({ key, size }) => (size === 0 ? [key] : []));
        const open = after === undefined ? keys : keys.filter((key) => key >= after.key);
        const targets = await inGroups(open, async (key) => {
          const ids = await this.#targetsAt(key, options);
          return ids.map((id) => ({ key, id, startedAt: targetStartedAt(id) }));
        });
        return targets.flat().filter(({ id, key }) => key !== after?.key || id > after.id);
      });
    });
  }

  async close(): Promise<void> {
    this.#account.http.destroy();
  }

  /** The targets that have blocks which are in no blob yet, in order. */
  async #targetsAt(key: string, options: CallOptions): Promise<readonly string[]> {
    const found = await orAbsent(this.#blob(key).getBlockList("uncommitted", options));
    const targets = (found?.uncommittedBlocks ?? []).flatMap(({ name }) => {
      return targetOf(fromBlockId(name)) ?? [];
    });
    return [...new Set(targets)].toSorted();
  }

  async #link(key: string): Promise<string | undefined> {
    const { containerName: container } = this.#container;
    return await this.#links.sign({ container, key, url: this.#blob(key).url });
  }

  #blob(key: string): BlockBlobClient {
    return this.#container.getBlockBlobClient(key);
  }

  /** The first page of Azure's, from `after` on, of which `pick` takes anything. */
  async #page<T>(
    { after, includesUncommitted, prefix, ...options }: PageRequest,
    pick: (found: readonly BlobItem[]) => readonly T[] | Promise<readonly T[]>,
  ): Promise<ObjectPage<T>> {
    const listing = `${includesUncommitted ? "all" : "committed"} ${prefix}`;
    let marker = after === undefined ? undefined : this.#pages.find(listing, after);
    for (;;) {
      const flat = this.#container.listBlobsFlat({
        ...options,
        prefix,
        includeUncommitedBlobs: includesUncommitted,
      });
      const pages = flat.byPage({
        maxPageSize: pageSize,
        ...(marker === undefined ? {} : { continuationToken: marker }),
      });
      const page = await pages.next();
      if (page.done === true) return { items: [], more: false };
      const found = page.value.segment.blobItems;
      marker = page.value.continuationToken;
      const more = marker !== undefined && marker !== "";
      const last = found.at(-1)?.name;
      if (more && marker !== undefined && last !== undefined) {
        this.#pages.add({ listing, after: last, marker });
      }
      const items = await pick(found);
      if (items.length > 0 || !more) return { items, more };
    }
  }

  /** One try. Failures become errors of the port; an abort stays what it is. */
  async #call<T>(
    name: string,
    signal: AbortSignal | undefined,
    send: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await send(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (error instanceof PartsUnknown) throw error;
      const { code } = failureOf(error);
      if (name === "completeParts" && unknownBlocks.has(code)) {
        throw new PartsUnknown(this.name, code, { cause: error });
      }
      throw toBucketError(name, error);
    }
  }

  /** The same with a body, whose memory is not in use any more when this ends. */
  async #sending(
    name: string,
    pieces: readonly Uint8Array[],
    signal: AbortSignal | undefined,
    send: (body: PiecesBody, options: CallOptions) => Promise<void>,
  ): Promise<void> {
    const body = new PiecesBody(pieces);
    try {
      await this.#call(name, signal, async (options) => await send(body, options));
    } finally {
      await body.released();
    }
  }
}

interface CallOptions {
  readonly abortSignal?: AbortSignal;
}

interface PageRequest extends CallOptions {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly includesUncommitted: boolean;
}

/** HTTP's. */
const notImplemented = 501;

/** What Azure says of blocks that it does not have. */
const unknownBlocks: ReadonlySet<string> = new Set([
  "InvalidBlockList",
  "BlobNotFound",
  // Another list was faster, with which all other blocks are gone.
  "ConditionNotMet",
]);

function toInfo({ name: key, properties }: BlobItem): ObjectInfo {
  const { contentLength: size = 0, lastModified } = properties;
  return { key, size, modifiedAt: lastModified.getTime() };
}

/** Whether `list` begins with all of `short`. */
function isPrefix(short: readonly string[], list: readonly string[]): boolean {
  return short.every((block, index) => list[index] === block);
}
