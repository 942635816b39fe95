/** A bucket on an S3 server, and what lies in it when everybody has gone home. */
import { randomBytes } from "node:crypto";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
} from "@aws-sdk/client-s3";
import type { S3Access } from "../../servers/s3.ts";

export class TestBucket {
  readonly name: string;
  readonly server: S3Access;
  readonly #client: S3Client;

  private constructor(server: S3Access, name: string) {
    this.server = server;
    this.name = name;
    this.#client = new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
      forcePathStyle: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  static async create(server: S3Access): Promise<TestBucket> {
    const bucket = new TestBucket(server, `longshore-${randomBytes(6).toString("hex")}`);
    await bucket.#client.send(new CreateBucketCommand({ Bucket: bucket.name }));
    return bucket;
  }

  async put(key: string, content: Uint8Array): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: this.name, Key: key, Body: content }));
  }

  async delete(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.name, Key: key }));
  }

  /** Keys in byte order. */
  async keys(prefix = ""): Promise<readonly string[]> {
    const found: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.name,
          Prefix: prefix,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      );
      found.push(...(page.Contents ?? []).flatMap(({ Key }) => Key ?? []));
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return found;
  }

  /** Keys of multipart uploads that were begun and neither completed nor aborted. */
  async unfinished(prefix = ""): Promise<readonly string[]> {
    const found: string[] = [];
    let after: Pick<ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> | undefined =
      {};
    while (after !== undefined) {
      const page: ListMultipartUploadsCommandOutput = await this.#client.send(
        new ListMultipartUploadsCommand({ Bucket: this.name, Prefix: prefix, ...after }),
      );
      found.push(...(page.Uploads ?? []).flatMap(({ Key }) => Key ?? []));
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      after =
        IsTruncated === true
          ? { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker }
          : undefined;
    }
    return found;
  }

  close(): void {
    this.#client.destroy();
  }
}
