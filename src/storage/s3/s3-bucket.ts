import type { Readable } from "node:stream";
/** The `ObjectBucket` on S3 and what speaks its language: a translation, and no policy. */
import type { S3Client } from "@aws-sdk/client-s3";
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
import { VendorHttp } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import { createLinkClient, createS3Client, loadS3Packages } from "./s3-client.ts";
import type { S3Packages, S3Sdk } from "./s3-client.ts";
import { failureOf, toBucketError } from "./s3-errors.ts";
import { S3Log } from "./s3-log.ts";
import type { S3Options, S3Surroundings } from "./s3-options.ts";
import { s3Settings, type S3Settings } from "./s3-settings.ts";

/** How long a signed URL can be used, in seconds: as Distribution has it. */
const urlSeconds = 20 * 60;
/** S3's own. */
const partsMax = 10_000;

/**
 * Throws an Error that names the parameter for options that cannot be, and one that names the
 * packages to install where these are missing. Nothing is asked of S3 yet.
 */
export async function createS3Bucket(
  options: S3Options,
  surroundings: S3Surroundings = {},
): Promise<ObjectBucket> {
  const settings = s3Settings(options);
  return new S3Bucket(await loadS3Packages(), settings, surroundings);
}

type Bytes = Uint8Array<ArrayBuffer>;

class S3Bucket implements ObjectBucket {
  readonly name = "s3";
  readonly limits: PartLimits;
  readonly #settings: S3Settings;
  readonly #sdk: S3Sdk;
  readonly #packages: S3Packages;
  readonly #http: VendorHttp;
  readonly #client: S3Client;
  readonly #links: S3Client;
  /** What each object that is made is given. */
  readonly #made: ReturnType<typeof madeWith>;

  constructor(packages: S3Packages, settings: S3Settings, { log, proxyEnv }: S3Surroundings) {
    const { copies, logLevel, partBytes, partBytesMin, skipVerify } = settings;
    const { sdk } = packages;
    const http = new VendorHttp({ skipVerify, proxyEnv });
    const options = { sdk, settings, log: new S3Log(logLevel, log), http };
    this.#http = http;
    this.#packages = packages;
    this.#sdk = sdk;
    this.#settings = settings;
    this.#client = createS3Client(options);
    this.#links = createLinkClient(options);
    this.#made = madeWith(settings);
    this.limits = { partBytes, partBytesMin, partsMax, copies };
  }

  async head(key: string, { signal }: Call): Promise<ObjectInfo | undefined> {
    const command = new this.#sdk.HeadObjectCommand(this.#at(key));
    const found = await this.#call("head", signal, async (options) => {
      try {
        return await this.#client.send(command, options);
      } catch (error) {
        if (failureOf(error).status !== 404) throw error;
        // The answer to HEAD has no body that would tell a missing object from a missing bucket.
        await this.#client.send(new this.#sdk.HeadBucketCommand(this.#bucket), options);
        return undefined;
      }
    });
    if (found === undefined) return undefined;
    const { ContentLength: size = 0, LastModified } = found;
    return { key, size, modifiedAt: LastModified?.getTime() ?? 0 };
  }

  async get(
    key: string,
    span: ByteSpan | undefined,
    { signal }: Call,
  ): Promise<{ readonly size: number; readonly body: ReadableStream<Bytes> } | undefined> {
    const Range = span && `bytes=${span.start}-${span.end}`;
    const command = new this.#sdk.GetObjectCommand({ ...this.#at(key), Range });
    const found = await this.#call("get", signal, async (options) => {
      try {
        return await this.#client.send(command, options);
      } catch (error) {
        if (failureOf(error).code === "NoSuchKey") return undefined;
        throw error;
      }
    });
    if (found === undefined) return undefined;
    return {
      size: found.ContentLength ?? 0,
      body: toWebStream(found.Body as Readable, toReadError),
    };
  }

  async put(key: string, pieces: readonly Uint8Array[], { signal }: Call): Promise<void> {
    const body = new PiecesBody(pieces);
    const command = new this.#sdk.PutObjectCommand({
      ...this.#at(key),
      ...this.#made,
      Body: body,
      ContentLength: body.size,
    });
    await this.#sending("put", body, signal, (options) => this.#client.send(command, options));
  }

  async delete(keys: readonly string[], { signal }: Call): Promise<void> {
    const [only] = keys;
    if (only === undefined) return;
    if (keys.length === 1) {
      const command = new this.#sdk.DeleteObjectCommand(this.#at(only));
      await this.#call("delete", signal, (options) => this.#client.send(command, options));
      return;
    }
    const Objects = keys.map((Key) => ({ Key }));
    const Delete = { Objects, Quiet: true };
    const command = new this.#sdk.DeleteObjectsCommand({ ...this.#bucket, Delete });
    await this.#call("delete", signal, async (options) => {
      const { Errors = [] } = await this.#client.send(command, options);
      const failed = Errors.find(({ Code }) => Code !== "NoSuchKey");
      if (failed === undefined) return;
      // Its status is not told: as if it had been refused alone.
      throw Object.assign(new Error(failed.Message ?? ""), { name: failed.Code ?? "Unknown" });
    });
  }

  async list(
    prefix: string,
    after: string | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<ObjectInfo>> {
    const command = new this.#sdk.ListObjectsV2Command({
      ...this.#bucket,
      Prefix: prefix,
      StartAfter: after,
    });
    const send = this.#call("list", signal, (options) => this.#client.send(command, options));
    const { Contents = [], IsTruncated: more = false } = await send;
    const items = Contents.map(({ Key: key = "", LastModified, Size: size = 0 }) => ({
      key,
      size,
      modifiedAt: LastModified?.getTime() ?? 0,
    }));
    return { items, more };
  }

  async url(key: string, method: "GET" | "HEAD"): Promise<string> {
    const { GetObjectCommand, HeadObjectCommand } = this.#sdk;
    const { getSignedUrl } = this.#packages.presigner;
    const signing = { expiresIn: urlSeconds };
    return await this.#call("url", undefined, () =>
      method === "GET"
        ? getSignedUrl(this.#links, new GetObjectCommand(this.#at(key)), signing)
        : getSignedUrl(this.#links, new HeadObjectCommand(this.#at(key)), signing),
    );
  }

  async beginParts(key: string, { signal }: Call): Promise<string> {
    const input = { ...this.#at(key), ...this.#made };
    const command = new this.#sdk.CreateMultipartUploadCommand(input);
    const begun = await this.#call("beginParts", signal, (options) =>
      this.#client.send(command, options),
    );
    return this.#told("beginParts", begun.UploadId);
  }

  async putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    { signal }: Call,
  ): Promise<string> {
    const body = new PiecesBody(pieces);
    const command = new this.#sdk.UploadPartCommand({
      ...this.#part(target, number),
      Body: body,
      ContentLength: body.size,
    });
    const sent = await this.#sending("putPart", body, signal, (options) =>
      this.#client.send(command, options),
    );
    return this.#told("putPart", tagOf(sent.ETag));
  }

  async copyPart(
    target: PartsTarget,
    number: number,
    { key, span }: { readonly key: string; readonly span: ByteSpan },
    { signal }: Call,
  ): Promise<string> {
    const command = new this.#sdk.UploadPartCopyCommand({
      ...this.#part(target, number),
      CopySource: `${this.#settings.bucket}/${key}`.split("/").map(encodeURIComponent).join("/"),
      CopySourceRange: `bytes=${span.start}-${span.end}`,
    });
    const copied = await this.#call("copyPart", signal, (options) =>
      this.#client.send(command, options),
    );
    return this.#told("copyPart", tagOf(copied.CopyPartResult?.ETag));
  }

  async completeParts(
    target: PartsTarget,
    parts: readonly CompletedPart[],
    { signal }: Call,
  ): Promise<void> {
    const Parts = parts.map(({ number, tag }) => ({ PartNumber: number, ETag: `"${tag}"` }));
    const upload = { ...this.#at(target.key), UploadId: target.id };
    const command = new this.#sdk.CompleteMultipartUploadCommand({
      ...upload,
      MultipartUpload: { Parts },
    });
    await this.#call("completeParts", signal, async (options) => {
      try {
        return await this.#client.send(command, options);
      } catch (error) {
        if (failureOf(error).code !== "InternalError") throw error;
        // Ceph says so of a multipart upload that is gone, as if it were busy.
        await this.#client.send(new this.#sdk.ListPartsCommand(upload), options);
        throw error;
      }
    });
  }

  async abortParts(target: PartsTarget, { signal }: Call): Promise<void> {
    const input = { ...this.#at(target.key), UploadId: target.id };
    const command = new this.#sdk.AbortMultipartUploadCommand(input);
    try {
      await this.#call("abortParts", signal, (options) => this.#client.send(command, options));
    } catch (error) {
      if (!(error instanceof PartsUnknown)) throw error;
    }
  }

  async listParts(
    prefix: string,
    after: PartsTarget | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<StartedParts>> {
    const command = new this.#sdk.ListMultipartUploadsCommand({
      ...this.#bucket,
      Prefix: prefix,
      KeyMarker: after?.key,
      UploadIdMarker: after?.id,
    });
    const send = this.#call("listParts", signal, (options) => this.#client.send(command, options));
    const { IsTruncated: more = false, Uploads = [] } = await send;
    const items = Uploads.map(({ Initiated, Key: key = "", UploadId: id = "" }) => ({
      key,
      id,
      startedAt: Initiated?.getTime() ?? 0,
    }));
    return { items, more };
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#links.destroy();
    this.#http.destroy();
  }

  get #bucket(): { readonly Bucket: string } {
    return { Bucket: this.#settings.bucket };
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { ...this.#bucket, Key: key };
  }

  #part(
    target: PartsTarget,
    number: number,
  ): {
    readonly Bucket: string;
    readonly Key: string;
    readonly UploadId: string;
    readonly PartNumber: number;
  } {
    return { ...this.#at(target.key), UploadId: target.id, PartNumber: number };
  }

  /** One try. Failures become errors of the port; an abort stays what it is. */
  async #call<T>(
    name: string,
    signal: AbortSignal | undefined,
    send: (options: { readonly abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      return await send(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      const { code } = failureOf(error);
      if (unknownParts[name]?.has(code) === true) {
        throw new PartsUnknown(this.name, `${name}: ${code}`, { cause: error });
      }
      throw toBucketError(name, error);
    }
  }

  /** The same with a body, whose memory is not in use any more when this ends. */
  async #sending<T>(
    name: string,
    body: PiecesBody,
    signal: AbortSignal | undefined,
    send: (options: { readonly abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#call(name, signal, send);
    } finally {
      await body.released();
    }
  }

  #told(name: string, value: string | undefined): string {
    if (value !== undefined && value !== "") return value;
    throw new BucketError(this.name, `${name}: the answer is incomplete`, { transient: true });
  }
}

/** What a multipart upload is called that has ended. Ceph and Swift say now and then NoSuchKey. */
const unknown = ["NoSuchUpload", "InvalidUploadId", "NoSuchKey"] as const;
const unknownParts: Readonly<Record<string, ReadonlySet<string> | undefined>> = {
  putPart: new Set(unknown),
  // Here another key may be meant: the source's.
  copyPart: new Set(["NoSuchUpload"]),
  completeParts: new Set([...unknown, "InvalidPart"]),
  abortParts: new Set(unknown),
};

function madeWith({ object }: S3Settings): {
  readonly ServerSideEncryption?: "AES256" | "aws:kms";
  readonly SSEKMSKeyId?: string;
  readonly StorageClass?: StorageClass;
  readonly ACL?: ObjectAcl;
} {
  const { acl, encryption, keyId, storageClass } = object;
  return {
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption }),
    ...(keyId === undefined ? {} : { SSEKMSKeyId: keyId }),
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    ...(acl === undefined ? {} : { ACL: acl as ObjectAcl }),
  };
}

type StorageClass = import("@aws-sdk/client-s3").StorageClass;
type ObjectAcl = import("@aws-sdk/client-s3").ObjectCannedACL;

function toReadError(error: unknown): BucketError {
  return toBucketError("get", error);
}

/** Servers differ in the quotes. */
function tagOf(etag: string | undefined): string | undefined {
  return etag?.replaceAll('"', "");
}
