import type { Digest } from "../../oci/digest.ts";
/** A store whose URLs are made, or changed, by Distribution's storage middlewares. */
import type {
  AppendOptions,
  AppendResult,
  BlobKey,
  BlobStore,
  ListedBlob,
  OpenedBlob,
  OpenOptions,
  StoredBlob,
  StoredUpload,
  StoreUpkeep,
  UrlOptions,
} from "../blob-store.ts";
import { AwsAddresses } from "./aws-addresses.ts";
import { CloudFrontSigner, readPrivateKey } from "./cloudfront-signer.ts";
import type { CloudFrontOptions, LinkOptions } from "./link-options.ts";
import { parseBase, pathBelow, rewriteUrl } from "./link-urls.ts";

export interface LinkSurroundings {
  /**
   * What every key begins with in the S3 bucket below; `undefined` where there is no such bucket.
   */
  readonly s3RootDirectory: string | undefined;
  /** Milliseconds UTC. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
  /** What went wrong without a request failing for it. */
  readonly report: (problem: string, error: unknown) => void;
}

/** Where a client is sent for a blob. */
type Link = (key: BlobKey, options: UrlOptions) => Promise<string | undefined>;

const defaultDurationMs = 20 * 60 * 1000;

/**
 * The store with these on top of its own URLs, the last one outermost. Throws an Error that names
 * the key of the configuration when one of them cannot be.
 */
export async function linkStore(
  store: BlobStore,
  links: readonly LinkOptions[],
  surroundings: LinkSurroundings,
): Promise<BlobStore> {
  let link: Link = (key, options) => store.url(key, options);
  const ends: (() => void)[] = [];
  for (const options of links) {
    const inner = link;
    if (options.kind === "cloudfront") {
      const made = await cloudFrontLink(inner, options, surroundings);
      link = made.link;
      ends.push(made.close);
    } else if (options.kind === "redirect") {
      const base = parseBase("redirect", options.baseUrl);
      link = (key) => Promise.resolve(`${base}${pathBelow(key)}`);
    } else {
      link = async (key, wanted) => {
        const url = await inner(key, wanted);
        return url === undefined ? undefined : rewriteUrl(url, options);
      };
    }
  }
  return links.length === 0 ? store : new LinkedStore(store, link, ends);
}

async function cloudFrontLink(
  inner: Link,
  options: CloudFrontOptions,
  surroundings: LinkSurroundings,
): Promise<{ readonly link: Link; readonly close: () => void }> {
  const { now, s3RootDirectory } = surroundings;
  if (s3RootDirectory === undefined) {
    throw new Error("middleware cloudfront: works only in front of the storage driver s3");
  }
  const { baseUrl, keyPairId } = options;
  const withScheme = baseUrl.includes("://") ? baseUrl : `https://${baseUrl}`;
  const base = parseBase("cloudfront", withScheme);
  const root = s3RootDirectory.replace(/^\/+/, "").replace(/\/+$/, "");
  const privateKey = await readPrivateKey(options.privateKeyPath);
  const signer = new CloudFrontSigner(keyPairId, privateKey);
  const durationMs = options.durationMs ?? defaultDurationMs;
  const near = nearAddresses(options, surroundings);
  const link: Link = async (key, wanted) => {
    const { clientAddress } = wanted;
    if (clientAddress !== undefined && near?.includes(clientAddress) === true) {
      return await inner(key, wanted);
    }
    const url = `${base}${pathBelow(root === "" ? key : `${root}/${key}`)}`;
    return signer.sign(url, now() + durationMs);
  };
  return { link, close: () => near?.close() };
}

/** The clients for whom the bucket itself is near. */
function nearAddresses(
  { ipFilter = "none", ipRangesUrl, updateFrequencyMs }: CloudFrontOptions,
  surroundings: LinkSurroundings,
): AwsAddresses | undefined {
  if (ipFilter === "none") return undefined;
  const regions = ipFilter === "aws" ? undefined : ipFilter.regions;
  return new AwsAddresses({ url: ipRangesUrl, regions, updateFrequencyMs, ...surroundings });
}

class LinkedStore implements BlobStore {
  readonly name: string;
  readonly keys: BlobStore["keys"];
  readonly upkeep: StoreUpkeep;
  readonly #store: BlobStore;
  readonly #link: Link;
  readonly #ends: readonly (() => void)[];

  constructor(store: BlobStore, link: Link, ends: readonly (() => void)[]) {
    this.name = store.name;
    this.keys = store.keys;
    this.upkeep = store.upkeep;
    this.#store = store;
    this.#link = link;
    this.#ends = ends;
  }

  url(key: BlobKey, options: UrlOptions): Promise<string | undefined> {
    return this.#link(key, options);
  }

  open(key: BlobKey, options?: OpenOptions): Promise<OpenedBlob | undefined> {
    return this.#store.open(key, options);
  }

  stat(key: BlobKey): Promise<StoredBlob | undefined> {
    return this.#store.stat(key);
  }

  remove(key: BlobKey, claim: string, confirm: () => Promise<boolean>): Promise<void> {
    return this.#store.remove(key, claim, confirm);
  }

  list(after?: BlobKey): AsyncIterable<ListedBlob> {
    return this.#store.list(after);
  }

  create(
    id: string,
    prefix?: { readonly from: StoredUpload; readonly size: number },
  ): Promise<string> {
    return this.#store.create(id, prefix);
  }

  append(
    upload: StoredUpload,
    body: ReadableStream<Uint8Array>,
    options: AppendOptions,
  ): Promise<AppendResult> {
    return this.#store.append(upload, body, options);
  }

  read(
    upload: StoredUpload,
    size: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    return this.#store.read(upload, size, signal);
  }

  commit(upload: StoredUpload, digest: Digest, size: number): Promise<BlobKey> {
    return this.#store.commit(upload, digest, size);
  }

  abort(upload: StoredUpload, options?: { readonly keep?: BlobKey | undefined }): Promise<void> {
    return this.#store.abort(upload, options);
  }

  listUploads(after?: string): AsyncIterable<StoredUpload & { readonly modifiedAt: number }> {
    return this.#store.listUploads(after);
  }

  async close(): Promise<void> {
    for (const end of this.#ends) end();
    await this.#store.close();
  }
}
