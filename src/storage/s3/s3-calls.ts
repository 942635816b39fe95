/** One try of one request, and what its failure means. */
import type { S3Client } from "@aws-sdk/client-s3";
import { BucketError, PartsLeftOver, PartsUnknown } from "../objects/object-bucket.ts";
import type { PiecesBody } from "../objects/vendor/pieces-body.ts";
import type { S3Sdk } from "./s3-client.ts";
import { failureOf, toBucketError } from "./s3-errors.ts";

export interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

export interface S3Place {
  readonly Bucket: string;
  readonly Key: string;
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

export class S3Calls {
  readonly sdk: S3Sdk;
  readonly client: S3Client;
  readonly bucket: { readonly Bucket: string };

  constructor(sdk: S3Sdk, client: S3Client, bucket: string) {
    this.sdk = sdk;
    this.client = client;
    this.bucket = { Bucket: bucket };
  }

  at(key: string): S3Place {
    return { ...this.bucket, Key: key };
  }

  /** Failures become errors of the port; an abort stays what it is. */
  async call<T>(
    name: string,
    signal: AbortSignal | undefined,
    send: (options: SendOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await send(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (error instanceof PartsLeftOver) throw error;
      const { code } = failureOf(error);
      if (unknownParts[name]?.has(code) === true) {
        throw new PartsUnknown("s3", `${name}: ${code}`, { cause: error });
      }
      throw toBucketError(name, error);
    }
  }

  /** The same with a body, whose memory is not in use any more when this ends. */
  async sending<T>(
    name: string,
    body: PiecesBody,
    signal: AbortSignal | undefined,
    send: (options: SendOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.call(name, signal, send);
    } finally {
      await body.released();
    }
  }
}

/** What an answer has to tell. */
export function told(call: string, value: string | undefined): string {
  if (value !== undefined && value !== "") return value;
  throw new BucketError("s3", `${call}: the answer is incomplete`, { transient: true });
}
