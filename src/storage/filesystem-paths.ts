/**
 * Where the filesystem store keeps things, below its root:
 *
 *     docker/registry/v2/blobs/               Distribution's tree, byte for byte
 *       sha256/                               the digest's algorithm
 *         1f/                                 its first two hex digits, the "fan"
 *           1f0c...e9/                        all of them
 *             data                            the content
 *     longshore/                              what Distribution does not know
 *       uploads/<id>.<n>                      an upload's bytes; n counts its takeovers
 *       uploads/<id>.<n>.tmp                  the same bytes, about to replace broken ones
 *       trash/<algorithm>-<hex>.<claim>       content set aside, until it is known to be unwanted
 *       store.json                            which database this root belongs to
 *
 * Every name is checked against a strict grammar before it becomes part of a path.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { algorithmOf, hexOf, parseDigest } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobKey, StoredUpload } from "./blob-store.ts";

const blobsFolder = "docker/registry/v2/blobs";
const dataName = "data";

const keyPattern = new RegExp(
  `^${blobsFolder}/(?:${[
    `sha256/([0-9a-f]{2})/\\1[0-9a-f]{62}`,
    `sha384/([0-9a-f]{2})/\\2[0-9a-f]{94}`,
    `sha512/([0-9a-f]{2})/\\3[0-9a-f]{126}`,
  ].join("|")})/${dataName}$`,
);
const algorithmPattern = /^sha(?:256|384|512)$/;
const fanPattern = /^[0-9a-f]{2}$/;
const idPattern = /^[A-Za-z0-9_-]{1,128}$/;
/** Together with the longest digest it is a file's name, of 255 bytes at most. */
const claimPattern = /^[A-Za-z0-9_-]{1,100}$/;
const asidePattern = /^(sha\d+)-([0-9a-f]+)\.([A-Za-z0-9_-]{1,100})$/;
const statePattern = /^([A-Za-z0-9_-]{1,128})\.(0|[1-9][0-9]{0,8})(\.tmp)?$/;

/** The folders and the file of one content. */
export interface BlobPlace {
  readonly key: BlobKey;
  readonly data: string;
  readonly folder: string;
  readonly fan: string;
}

export interface UploadFile {
  readonly id: string;
  readonly state: string;
  readonly takeovers: number;
}

export class FilesystemPaths {
  readonly root: string;
  readonly blobs: string;
  readonly uploads: string;
  readonly trash: string;
  readonly marker: string;

  constructor(root: string) {
    this.root = root;
    this.blobs = join(root, blobsFolder);
    this.uploads = join(root, "longshore", "uploads");
    this.trash = join(root, "longshore", "trash");
    this.marker = join(root, "longshore", "store.json");
  }

  place(key: BlobKey): BlobPlace {
    assert(isBlobKey(key), "not a key of this store");
    const data = join(this.root, key);
    const folder = join(data, "..");
    return { key, data, folder, fan: join(folder, "..") };
  }

  upload(upload: StoredUpload): string {
    const file = parseUploadFile(upload.state);
    assert(file?.id === upload.id, "not an upload of this store");
    return join(this.uploads, upload.state);
  }

  /** Where content waits under a claim. The name says whose place it had. */
  aside(key: BlobKey, claim: string): string {
    assert(claimPattern.test(claim), "not a claim of this store");
    const [algorithm, , hex] = namesOf(key);
    return join(this.trash, `${algorithm}-${hex}.${claim}`);
  }
}

export function blobKeyOf(digest: Digest): BlobKey {
  const hex = hexOf(digest);
  const key = `${blobsFolder}/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/${dataName}`;
  assert(isBlobKey(key), "not a digest");
  return key;
}

/** The three names below `blobs/` that lead to the content. */
export function namesOf(key: BlobKey): readonly [algorithm: string, fan: string, hex: string] {
  assert(isBlobKey(key), "not a key of this store");
  const [algorithm = "", fan = "", hex = ""] = key.slice(blobsFolder.length + 1).split("/");
  return [algorithm, fan, hex];
}

/**
 * The key of the content that three names below `blobs/` lead to; `undefined` for foreign names.
 */
export function keyAt(algorithm: string, fan: string, hex: string): BlobKey | undefined {
  const key = `${blobsFolder}/${algorithm}/${fan}/${hex}/${dataName}`;
  return isBlobKey(key) ? key : undefined;
}

export function isAlgorithmName(name: string): boolean {
  return algorithmPattern.test(name);
}

export function isFanName(name: string): boolean {
  return fanPattern.test(name);
}

/** The file of the upload `id` after that many takeovers. Its name is the upload's state. */
export function uploadState(id: string, takeovers: number): string {
  assert(idPattern.test(id), "not an id for an upload");
  return `${id}.${takeovers}`;
}

export function parseUploadFile(name: string): UploadFile | undefined {
  const match = statePattern.exec(name);
  if (match === null) return undefined;
  const [state, id = "", takeovers = ""] = match;
  return { id, state, takeovers: Number(takeovers) };
}

/** What lies in the trash under that name; `undefined` for foreign names. */
export function parseAside(
  name: string,
): { readonly key: BlobKey; readonly digest: Digest; readonly claim: string } | undefined {
  const match = asidePattern.exec(name);
  if (match === null) return undefined;
  const [, algorithm = "", hex = "", claim = ""] = match;
  const key = keyAt(algorithm, hex.slice(0, 2), hex);
  const digest = parseDigest(`${algorithm}:${hex}`);
  return key && digest && { key, digest, claim };
}

function isBlobKey(text: string): text is BlobKey {
  return keyPattern.test(text);
}
