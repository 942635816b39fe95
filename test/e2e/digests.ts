/** Hashing of what lies in files and in memory. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

export interface Hashed {
  readonly digest: string;
  readonly size: number;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export async function hashFile(path: string): Promise<Hashed> {
  return hashStream(createReadStream(path, { highWaterMark: 1 << 20 }));
}

/** The digest of a layer's tar, whatever it is compressed with: the image's `diff_id`. */
export async function hashUncompressed(path: string): Promise<Hashed> {
  const magic = (await firstBytes(path, 4)).toString("hex");
  const compressed = createReadStream(path, { highWaterMark: 1 << 20 });
  const options = { chunkSize: 1 << 20 };
  if (magic.startsWith("1f8b")) return hashStream(compressed.pipe(createGunzip(options)));
  if (magic === "28b52ffd") return hashStream(compressed.pipe(createZstdDecompress(options)));
  return hashStream(compressed);
}

async function firstBytes(path: string, byteCount: number): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(byteCount) });
  return buffer.subarray(0, bytesRead);
}

export async function hashStream(stream: Readable | ReadableStream<Uint8Array>): Promise<Hashed> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    size += chunk.byteLength;
  }
  return { digest: `sha256:${hash.digest("hex")}`, size };
}
