/** The `ObjectBucket` on S3 and what speaks its language: a translation, and no policy. */
import type { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import type { ByteSpan } from "../blob-store.ts";
import type {
  BucketError,
  Call,
  ObjectBucket,
  ObjectInfo,
  ObjectPage,
  PartLimits,
} from "../objects/object-bucket.ts";
import { toWebStream } from "../objects/vendor/answers.ts";
import { Downloads } from "../objects/vendor/downloads.ts";
import { VendorHttp } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import { S3Calls } from "./s3-calls.ts";
import { createLinkClient, createS3Client, loadS3Packages } from "./s3-client.ts";
import type { S3Packages } from "./s3-client.ts";
import { failureOf, toBucketError } from "./s3-errors.ts";
import { DownloadBody } from "./s3-http.ts";
import { S3Log } from "./s3-log.ts";
import type { S3Options, S3Surroundings } from "./s3-options.ts";
import { S3Parts } from "./s3-parts.ts";
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

class S3Bucket extends S3Parts implements ObjectBucket {
  readonly name = "s3";
  readonly limits: PartLimits;
  readonly #presigner: S3Packages["presigner"];
  readonly #http: VendorHttp;
  readonly #downloads: Downloads | undefined;
  readonly #links: S3Client;

  constructor(
    { presigner, sdk }: S3Packages,
    settings: S3Settings,
    { log, proxyEnv }: S3Surroundings,
  ) {
    const { bucket, copies, logLevel, object, partBytes, partBytesMin, skipVerify } = settings;
    const http = new VendorHttp({ skipVerify, proxyEnv });
    const downloads = hasProxy(proxyEnv)
      ? undefined
      : new Downloads({ skipVerify, translate: toReadError });
    const options = { sdk, settings, log: new S3Log(logLevel, log), http, downloads };
    super(new S3Calls(sdk, createS3Client(options), bucket), object);
    this.#presigner = presigner;
    this.#http = http;
    this.#downloads = downloads;
    this.#links = createLinkClient(options);
    this.limits = { partBytes, partBytesMin, partsMax, copies };
  }

  async head(key: string, { signal }: Call): Promise<ObjectInfo | undefined> {
    const command = new this.calls.sdk.HeadObjectCommand(this.calls.at(key));
    const found = await this.calls.call("head", signal, async (options) => {
      try {
        return await this.calls.client.send(command, options);
      } catch (error) {
        if (failureOf(error).status !== 404) throw error;
        // The answer to HEAD has no body that would tell a missing object from a missing bucket.
        await this.calls.client.send(
          new this.calls.sdk.HeadBucketCommand(this.calls.bucket),
          options,
        );
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
    const command = new this.calls.sdk.GetObjectCommand({ ...this.calls.at(key), Range });
    const found = await this.calls.call("get", signal, async (options) => {
      try {
        return await this.calls.client.send(command, options);
      } catch (error) {
        if (failureOf(error).code === "NoSuchKey") return undefined;
        throw error;
      }
    });
    if (found === undefined) return undefined;
    return {
      size: found.ContentLength ?? 0,
      body: bodyOf(found.Body as Readable),
    };
  }

  async put(key: string, pieces: readonly Uint8Array[], { signal }: Call): Promise<void> {
    const body = new PiecesBody(pieces);
    const command = new this.calls.sdk.PutObjectCommand({
      ...this.calls.at(key),
      ...this.made,
      Body: body,
      ContentLength: body.size,
    });
    await this.calls.sending("put", body, signal, (options) =>
      this.calls.client.send(command, options),
    );
  }

  async delete(keys: readonly string[], { signal }: Call): Promise<void> {
    const [only] = keys;
    if (only === undefined) return;
    if (keys.length === 1) {
      const command = new this.calls.sdk.DeleteObjectCommand(this.calls.at(only));
      await this.calls.call("delete", signal, (options) =>
        this.calls.client.send(command, options),
      );
      return;
    }
    const Objects = keys.map((Key) => ({ Key }));
    const Delete = { Objects, Quiet: true };
    const command = new this.calls.sdk.DeleteObjectsCommand({ ...this.calls.bucket, Delete });
    await this.calls.call("delete", signal, async (options) => {
      const { Errors = [] } = await this.calls.client.send(command, options);
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
    const command = new this.calls.sdk.ListObjectsV2Command({
      ...this.calls.bucket,
      Prefix: prefix,
      StartAfter: after,
    });
    const send = this.calls.call("list", signal, (options) =>
      this.calls.client.send(command, options),
    );
    const { Contents = [], IsTruncated: more = false } = await send;
    const items = Contents.map(({ Key: key = "", LastModified, Size: size = 0 }) => ({
      key,
      size,
      modifiedAt: LastModified?.getTime() ?? 0,
    }));
    return { items, more };
  }

  async url(key: string, method: "GET" | "HEAD"): Promise<string> {
    const { GetObjectCommand, HeadObjectCommand } = this.calls.sdk;
    const { getSignedUrl } = this.#presigner;
    const signing = { expiresIn: urlSeconds };
    return await this.calls.call("url", undefined, () =>
      method === "GET"
        ? getSignedUrl(this.#links, new GetObjectCommand(this.calls.at(key)), signing)
        : getSignedUrl(this.#links, new HeadObjectCommand(this.calls.at(key)), signing),
    );
  }

  async close(): Promise<void> {
    this.calls.client.destroy();
    this.#links.destroy();
    this.#http.destroy();
    this.#downloads?.destroy();
  }
}

function bodyOf(body: Readable): ReadableStream<Bytes> {
  return body instanceof DownloadBody ? body.download.body : toWebStream(body, toReadError);
}

function hasProxy(env: S3Surroundings["proxyEnv"]): boolean {
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
  return names.some((name) => (env?.[name] ?? "") !== "");
}

function toReadError(error: unknown): BucketError {
  return toBucketError("get", error);
}
