/**
 * Where an object store keeps things, below `rootdirectory`:
 *
 *     longshore/store.json                       the root's marker
 *     longshore/data/<fan>/<upload>/<name>       bytes that an upload brought, committed or not
 *     docker/registry/v2/blobs/<...>/data        Distribution's tree, with its keys only
 *
 * `fan` is the first two characters of the upload's id. A name is made anew for each attempt to
 * write, and never again: whatever a writer that is late does, it does to objects that nobody else
 * knows. A `BlobKey` is the part below `rootdirectory`, as on the filesystem.
 */
import assert from "node:assert/strict";
import { algorithmOf, hexOf, parseDigest, type Digest } from "../../oci/digest.ts";
import type { BlobKey } from "../blob-store.ts";

const dataFolder = "longshore/data/";
const blobsFolder = "docker/registry/v2/blobs/";
const registryFolder = "docker/registry/v2/";
const markerName = "longshore/store.json";

const wordPattern = /^[A-Za-z0-9_-]{1,128}$/;
const dataPattern = new RegExp(`(?:^|/)${dataFolder}[^/]+/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)$`);
const contentPattern = new RegExp(`^${blobsFolder}(sha[0-9]{3})/([0-9a-f]{2})/([0-9a-f]+)/data$`);
/** As S3 has it. Others allow as much or more. */
const rootBytesMax = 512;

export class ObjectNames {
  readonly #root: string;

  /** `rootDirectory` with or without slashes around it, as Distribution takes it. */
  constructor(rootDirectory: string) {
    const root = rootDirectory.replace(/^\/+/, "").replace(/\/+$/, "");
    if (Buffer.byteLength(root) > rootBytesMax) {
      throw new Error(`rootdirectory: longer than ${rootBytesMax} bytes`);
    }
    this.#root = root === "" ? "" : `${root}/`;
  }

  get marker(): string {
    return `${this.#root}${markerName}`;
  }

  /** The prefix of everything that uploads bring. */
  get data(): string {
    return `${this.#root}${dataFolder}`;
  }

  /** The prefix of Distribution's content. */
  get blobs(): string {
    return `${this.#root}${blobsFolder}`;
  }

  /** The prefix of everything that is Distribution's. */
  get registry(): string {
    return `${this.#root}${registryFolder}`;
  }

  /** The object of a blob's key. */
  object(key: BlobKey): string {
    assert(isDataKey(key) || digestAt(key) !== undefined, "not a key of this store");
    return `${this.#root}${key}`;
  }

  /** The object that an upload keeps under `name`. */
  uploaded(id: string, name: string): string {
    return this.object(dataKey(id, name));
  }

  /** The key of an object that a listing found; `undefined` for what is not ours. */
  keyOf(object: string): BlobKey | undefined {
    const key = object.slice(this.#root.length);
    return isDataKey(key) || digestAt(key) !== undefined ? (key as BlobKey) : undefined;
  }
}

/** Where an upload keeps bytes under `name`, and where they stay when they are committed. */
export function dataKey(id: string, name: string): BlobKey {
  assert(wordPattern.test(id), "not an id for an upload");
  assert(wordPattern.test(name), "not a name for an object");
  return `${dataFolder}${id.slice(0, 2)}/${id}/${name}` as BlobKey;
}

/** The upload and the name that a key, or an object's whole name, is made of. */
export function uploadedAt(
  key: string,
): { readonly id: string; readonly name: string } | undefined {
  const [, id, name] = dataPattern.exec(key) ?? [];
  return id === undefined || name === undefined ? undefined : { id, name };
}

/** Distribution's key of content. */
export function contentKey(digest: Digest): BlobKey {
  const hex = hexOf(digest);
  return `${blobsFolder}${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data` as BlobKey;
}

/** The content that a key of Distribution's stands for; `undefined` for any other key. */
export function digestAt(key: string): Digest | undefined {
  const [, algorithm, fan, hex] = contentPattern.exec(key) ?? [];
  if (algorithm === undefined || hex === undefined || !hex.startsWith(fan ?? "-")) return undefined;
  return parseDigest(`${algorithm}:${hex}`);
}

function isDataKey(key: string): boolean {
  return key.startsWith(dataFolder) && dataPattern.test(key);
}
