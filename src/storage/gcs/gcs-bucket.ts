/** The `ObjectBucket` on Google Cloud Storage: a translation, and no policy. */
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
import { openAccount, type GcsAccount } from "./gcs-account.ts";
import { brokenOff, GcsRefusal, isNoObject, refusalOf, toBucketError } from "./gcs-errors.ts";
import { signedUrl } from "./gcs-links.ts";
import type { GcsOptions } from "./gcs-options.ts";
import { GcsRequests } from "./gcs-requests.ts";
import { elementOf, elementsOf } from "./gcs-xml.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Distribution's. Two parts of an upload are in memory; 10,000 of them are 156 GiB. */
const defaultPartBytes = 16 * 1024 * 1024;
/** What Distribution asks of `chunksize`, since Google asks it of other uploads. */
const partUnitBytes = 256 * 1024;
/** Google's own, of a part that another one follows. Instead of a smaller `chunksize`. */
const googlePartBytesMin = 5 * 1024 * 1024;
/** Google's own. */
const partBytesMax = 5 * 1024 * 1024 * 1024;
const partsMax = 10_000;
const pageSize = 1000;
/** Distribution's. */
const defaultConcurrency = 50;
const concurrencyMin = 25;

const binary = { "Content-Type": "application/octet-stream" };

export interface GcsSurroundings {
  /** Milliseconds UTC. */
  readonly now: () => number;
  /** HTTPS_PROXY and the like. Default: no proxy. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
  /** Where the service is not Google's: the smallest part that another one may follow, in bytes. */
  readonly partBytesMin?: number | undefined;
}

/**
 * Throws an Error that names the parameter for options that cannot be, and one that names the
 * package to install where it is missing. Nothing is asked of Google yet.
 */
export async function createGcsBucket(
  options: GcsOptions,
  { now, partBytesMin = googlePartBytesMin, proxyEnv }: GcsSurroundings,
): Promise<ObjectBucket> {
  const { bucket, chunkBytes = defaultPartBytes, userAgent } = options;
  if (!(chunkBytes > 0 && chunkBytes <= partBytesMax) || chunkBytes % partUnitBytes !== 0) {
    throw new Error(`storage.gcs.chunksize: has to be a multiple of ${partUnitBytes} bytes`);
  }
  const account = await openAccount(options);
  const maxConcurrency = Math.max(options.maxConcurrency ?? defaultConcurrency, concurrencyMin);
  const requests = new GcsRequests({ account, bucket, maxConcurrency, userAgent, proxyEnv });
  const partBytes = Math.max(chunkBytes, partBytesMin);
  return new GcsBucket({ account, requests, limits: { partBytes, partBytesMin, partsMax }, now });
}

interface Settings {
  readonly account: GcsAccount;
  readonly requests: GcsRequests;
  readonly limits: PartLimits;
  readonly now: () => number;
}

class GcsBucket implements ObjectBucket {
  readonly name = "gcs";
  readonly limits: PartLimits;
  readonly #settings: Settings;
  readonly #requests: GcsRequests;

  constructor(settings: Settings) {
    this.limits = settings.limits;
    this.#settings = settings;
    this.#requests = settings.requests;
  }

  async head(key: string, { signal }: Call): Promise<ObjectInfo | undefined> {
    return await this.#call("head", signal, async () => {
      const url = this.#requests.jsonUrl(key, { fields: "name,size,updated" });
      const found = await orNoObject(this.#requests.ask({ method: "GET", url, signal }));
      return found && toInfo(JSON.parse(found.text) as JsonObject);
    });
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    { signal }: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    return await this.#call("get", signal, async () => {
      const url = this.#requests.jsonUrl(key, { alt: "media" });
      const headers = span === undefined ? {} : { Range: `bytes=${span.start}-${span.end}` };
      const request = { method: "GET", url, headers, signal } as const;
      const found = await orNoObject(this.#requests.open(request));
      if (found === undefined) return undefined;
      const translate = (error: unknown): unknown =>
        signal?.aborted === true ? signal.reason : brokenOff(error);
      const size = Number(found.headers["content-length"]);
      return { size, body: toWebStream(found, translate) };
    });
  }

  async put(key: string, pieces: readonly Uint8Array[], { signal }: Call): Promise<void> {
    await this.#sending("put", pieces, signal, async (body) => {
      const url = this.#requests.uploadUrl({ uploadType: "media", name: key, fields: "size" });
      const request = { method: "POST", url, headers: binary, body, signal } as const;
      const { text } = await this.#requests.ask(request);
      const { size } = JSON.parse(text) as JsonObject;
      if (size !== String(body.size)) throw this.#odd("put", `${size} bytes of ${body.size}`);
    });
  }

  async delete(keys: readonly string[], { signal }: Call): Promise<void> {
    await this.#call("delete", signal, async () => {
      await inGroups(keys, async (key) => {
        const url = this.#requests.jsonUrl(key, {});
        await orNoObject(this.#requests.ask({ method: "DELETE", url, signal }));
      });
    });
  }

  async list(
    prefix: string,
    after: string | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<ObjectInfo>> {
    return await this.#call("list", signal, async () => {
      let pageToken: string | undefined;
      for (;;) {
        const url = this.#requests.jsonUrl(undefined, {
          prefix: prefix === "" ? undefined : prefix,
          // This one included.
          startOffset: after,
          maxResults: pageSize,
          fields: "items(name,size,updated),nextPageToken",
          pageToken,
        });
        const { text } = await this.#requests.ask({ method: "GET", url, signal });
        const page = JSON.parse(text) as JsonPage;
        const items = (page.items ?? []).map(toInfo).filter(({ key }) => key !== after);
        pageToken = page.nextPageToken;
        // Google may give an empty page, and go on.
        const more = pageToken !== undefined;
        if (items.length > 0 || !more) return { items, more };
      }
    });
  }

  async url(key: string, method: "GET" | "HEAD"): Promise<string | undefined> {
    return await this.#call("url", undefined, async () => {
      const { account, now } = this.#settings;
      const signer = await account.signer();
      if (signer === undefined) return undefined;
      const url = new URL(this.#requests.xmlUrl(key, {}));
      return await signedUrl(signer, { method, url, now: now() });
    });
  }

  async beginParts(key: string, { signal }: Call): Promise<string> {
    return await this.#call("beginParts", signal, async () => {
      const url = this.#requests.xmlUrl(key, { uploads: "" });
      const request = { method: "POST", url, headers: binary, signal } as const;
      const { text } = await this.#requests.ask(request);
      const id = elementOf(text, "UploadId");
      if (id === undefined || id === "") throw this.#odd("beginParts", "the answer has no id");
      return id;
    });
  }

  async putPart(
    { id, key }: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    { signal }: Call,
  ): Promise<string> {
    return await this.#sending("putPart", pieces, signal, async (body) => {
      const url = this.#requests.xmlUrl(key, { partNumber: number, uploadId: id });
      const request = { method: "PUT", url, headers: binary, body, signal } as const;
      const { headers } = await this.#requests.ask(request);
      const tag = headers.etag?.replaceAll('"', "");
      if (tag === undefined || tag === "") throw this.#odd("putPart", "the answer has no ETag");
      return tag;
    });
  }

  /** Google's multipart uploads take no bytes from other objects. */
  async copyPart(): Promise<undefined> {
    return undefined;
  }

  async completeParts(
    { id, key }: PartsTarget,
    parts: readonly CompletedPart[],
    { signal }: Call,
  ): Promise<void> {
    await this.#call("completeParts", signal, async () => {
      const url = this.#requests.xmlUrl(key, { uploadId: id });
      const list = parts.map(
        ({ number, tag }) => `<Part><PartNumber>${number}</PartNumber><ETag>"${tag}"</ETag></Part>`,
      );
      const body = `<CompleteMultipartUpload>${list.join("")}</CompleteMultipartUpload>`;
      const headers = { "Content-Type": "application/xml" };
      const { text } = await this.#requests.ask({ method: "POST", url, headers, body, signal });
      // S3's language lets a server say 200 before it knows.
      if (elementOf(text, "Code") !== undefined) throw refusalOf(500, text);
    });
  }

  async abortParts({ id, key }: PartsTarget, { signal }: Call): Promise<void> {
    try {
      await this.#call("abortParts", signal, async () => {
        const url = this.#requests.xmlUrl(key, { uploadId: id });
        await this.#requests.ask({ method: "DELETE", url, signal });
      });
    } catch (error) {
      if (!(error instanceof PartsUnknown)) throw error;
    }
  }

  async listParts(
    prefix: string,
    after: PartsTarget | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<StartedParts>> {
    return await this.#call("listParts", signal, async () => {
      const url = this.#requests.xmlUrl(undefined, {
        uploads: "",
        prefix: prefix === "" ? undefined : prefix,
        "key-marker": after?.key,
        "upload-id-marker": after?.id,
        "max-uploads": pageSize,
      });
      const { text } = await this.#requests.ask({ method: "GET", url, signal });
      const items = elementsOf(text, "Upload").map((upload) => ({
        key: elementOf(upload, "Key") ?? "",
        id: elementOf(upload, "UploadId") ?? "",
        startedAt: Date.parse(elementOf(upload, "Initiated") ?? ""),
      }));
      return { items, more: elementOf(text, "IsTruncated") === "true" };
    });
  }

  async close(): Promise<void> {
    this.#requests.destroy();
  }

  /** One try. Failures become errors of the port; an abort stays what it is. */
  async #call<T>(
    name: string,
    signal: AbortSignal | undefined,
    send: () => Promise<T>,
  ): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (error instanceof GcsRefusal && unknownParts.has(error.code)) {
        throw new PartsUnknown(this.name, error.code, { cause: error });
      }
      throw toBucketError(name, error);
    }
  }

  /** The same with a body, whose memory is not in use any more when this ends. */
  async #sending<T>(
    name: string,
    pieces: readonly Uint8Array[],
    signal: AbortSignal | undefined,
    send: (body: PiecesBody) => Promise<T>,
  ): Promise<T> {
    const body = new PiecesBody(pieces);
    try {
      return await this.#call(name, signal, async () => await send(body));
    } finally {
      await body.released();
    }
  }

  /** An answer that is a success, and does not say so. */
  #odd(call: string, message: string): BucketError {
    return new BucketError(this.name, `${call}: ${message}`, { transient: true });
  }
}

interface JsonObject {
  readonly name: string;
  /** A number's text. */
  readonly size: string;
  readonly updated: string;
}

interface JsonPage {
  readonly items?: readonly JsonObject[];
  readonly nextPageToken?: string;
}

/** What is said of a multipart upload that has ended, or of a part that it does not have. */
const unknownParts: ReadonlySet<string> = new Set(["NoSuchUpload", "InvalidPart"]);

async function orNoObject<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isNoObject(error)) return undefined;
    throw error;
  }
}

function toInfo({ name: key, size, updated }: JsonObject): ObjectInfo {
  return { key, size: Number(size), modifiedAt: Date.parse(updated) };
}
