/** Multipart uploads on S3. */
import type {
  CompleteMultipartUploadCommand,
  ObjectCannedACL,
  StorageClass,
} from "@aws-sdk/client-s3";
import type { ByteSpan } from "../blob-store.ts";
import { PartsLeftOver, PartsUnknown } from "../objects/object-bucket.ts";
import type {
  Call,
  CompletedPart,
  ObjectPage,
  ObjectParts,
  PartsTarget,
  StartedParts,
} from "../objects/object-bucket.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import { told, type S3Calls, type S3Place, type SendOptions } from "./s3-calls.ts";
import { failureOf } from "./s3-errors.ts";
import type { S3ObjectSettings } from "./s3-settings.ts";

/** What each object that is made is given. */
export interface S3Made {
  readonly ServerSideEncryption?: "AES256" | "aws:kms";
  readonly SSEKMSKeyId?: string;
  readonly StorageClass?: StorageClass;
  readonly ACL?: ObjectCannedACL;
}

export class S3Parts implements ObjectParts {
  protected readonly calls: S3Calls;
  protected readonly made: S3Made;

  constructor(calls: S3Calls, object: S3ObjectSettings) {
    this.calls = calls;
    this.made = madeWith(object);
  }

  async beginParts(key: string, { signal }: Call): Promise<string> {
    const input = { ...this.calls.at(key), ...this.made };
    const command = new this.calls.sdk.CreateMultipartUploadCommand(input);
    const begun = await this.calls.call("beginParts", signal, (options) =>
      this.calls.client.send(command, options),
    );
    return told("beginParts", begun.UploadId);
  }

  async putPart(
    target: PartsTarget,
    number: number,
    pieces: readonly Uint8Array[],
    { signal }: Call,
  ): Promise<string> {
    const body = new PiecesBody(pieces);
    const command = new this.calls.sdk.UploadPartCommand({
      ...this.#part(target, number),
      Body: body,
      ContentLength: body.size,
    });
    const sent = await this.calls.sending("putPart", body, signal, (options) =>
      this.calls.client.send(command, options),
    );
    return told("putPart", tagOf(sent.ETag));
  }

  async copyPart(
    target: PartsTarget,
    number: number,
    { key, span }: { readonly key: string; readonly span: ByteSpan },
    { signal }: Call,
  ): Promise<string> {
    const command = new this.calls.sdk.UploadPartCopyCommand({
      ...this.#part(target, number),
      CopySource: `${this.calls.bucket.Bucket}/${key}`.split("/").map(encodeURIComponent).join("/"),
      CopySourceRange: `bytes=${span.start}-${span.end}`,
    });
    const copied = await this.calls.call("copyPart", signal, (options) =>
      this.calls.client.send(command, options),
    );
    return told("copyPart", tagOf(copied.CopyPartResult?.ETag));
  }

  async completeParts(
    target: PartsTarget,
    parts: readonly CompletedPart[],
    { signal }: Call,
  ): Promise<void> {
    const command = this.#completion(target, parts);
    await this.calls.call("completeParts", signal, async (options) => {
      try {
        return await this.calls.client.send(command, options);
      } catch (error) {
        const { code } = failureOf(error);
        // Ceph says this of a multipart upload that is gone, as if it were busy. A look tells.
        if (code === "InternalError") await this.#partsOf(target, options);
        // And this when it has parts that are left out.
        if (code === "InvalidPart") await this.#completeAll(target, parts, options);
        throw error;
      }
    });
  }

  /** All parts that were sent, where these are all among them and there are others behind. */
  async #completeAll(
    target: PartsTarget,
    wanted: readonly CompletedPart[],
    options: SendOptions,
  ): Promise<void> {
    const all = await this.#partsOf(target, options);
    const isThere = wanted.every(({ tag }, index) => all[index]?.tag === tag);
    if (!isThere || all.length <= wanted.length) return;
    await this.calls.client.send(this.#completion(target, all), options);
    throw new PartsLeftOver("s3", "completeParts: there are parts that were left out");
  }

  async #partsOf(target: PartsTarget, options: SendOptions): Promise<readonly CompletedPart[]> {
    const found: CompletedPart[] = [];
    for (let after: string | undefined, more = true; more;) {
      const upload = { ...this.calls.at(target.key), UploadId: target.id, PartNumberMarker: after };
      const page = await this.calls.client.send(
        new this.calls.sdk.ListPartsCommand(upload),
        options,
      );
      for (const { ETag, PartNumber: number = 0 } of page.Parts ?? []) {
        found.push({ number, tag: tagOf(ETag) ?? "" });
      }
      after = page.NextPartNumberMarker;
      more = page.IsTruncated === true && after !== undefined;
    }
    return found;
  }

  #completion(
    target: PartsTarget,
    parts: readonly CompletedPart[],
  ): CompleteMultipartUploadCommand {
    const Parts = parts.map(({ number, tag }) => ({ PartNumber: number, ETag: `"${tag}"` }));
    return new this.calls.sdk.CompleteMultipartUploadCommand({
      ...this.calls.at(target.key),
      UploadId: target.id,
      MultipartUpload: { Parts },
    });
  }

  async abortParts(target: PartsTarget, { signal }: Call): Promise<void> {
    const input = { ...this.calls.at(target.key), UploadId: target.id };
    const command = new this.calls.sdk.AbortMultipartUploadCommand(input);
    try {
      await this.calls.call("abortParts", signal, (options) =>
        this.calls.client.send(command, options),
      );
    } catch (error) {
      if (!(error instanceof PartsUnknown)) throw error;
    }
  }

  async listParts(
    prefix: string,
    after: PartsTarget | undefined,
    { signal }: Call,
  ): Promise<ObjectPage<StartedParts>> {
    const command = new this.calls.sdk.ListMultipartUploadsCommand({
      ...this.calls.bucket,
      Prefix: prefix,
      KeyMarker: after?.key,
      UploadIdMarker: after?.id,
    });
    const send = this.calls.call("listParts", signal, (options) =>
      this.calls.client.send(command, options),
    );
    const { IsTruncated: more = false, Uploads = [] } = await send;
    const items = Uploads.map(({ Initiated, Key: key = "", UploadId: id = "" }) => ({
      key,
      id,
      startedAt: Initiated?.getTime() ?? 0,
    }));
    return { items, more };
  }

  #part(
    target: PartsTarget,
    number: number,
  ): S3Place & { readonly UploadId: string; readonly PartNumber: number } {
    return { ...this.calls.at(target.key), UploadId: target.id, PartNumber: number };
  }
}

function madeWith({ acl, encryption, keyId, storageClass }: S3ObjectSettings): S3Made {
  return {
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption }),
    ...(keyId === undefined ? {} : { SSEKMSKeyId: keyId }),
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    ...(acl === undefined ? {} : { ACL: acl as ObjectCannedACL }),
  };
}

/** Servers differ in the quotes. */
function tagOf(etag: string | undefined): string | undefined {
  return etag?.replaceAll('"', "");
}
