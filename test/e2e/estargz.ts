/** Layers that clients pull lazily: eStargz, a gzipped tar in pieces with a table of contents. */
import { gzipSync } from "node:zlib";
import { digestOf } from "./digests.ts";
import { tarEnd, tarEntry } from "./tar.ts";

export interface LazyLayer {
  readonly bytes: Buffer<ArrayBuffer>;
  /** The digest of the whole tar, the table of contents included. */
  readonly diffId: string;
  /** For the annotation of the layer's descriptor. */
  readonly tocDigest: string;
}

export const tocDigestAnnotation = "containerd.io/snapshot/stargz/toc.digest";

/** Each file's content is a gzip member of its own: a range of the layer is enough to have it. */
export function makeLazyLayer(files: Readonly<Record<string, Buffer>>): LazyLayer {
  const tar: Buffer[] = [];
  const members: Buffer[] = [];
  const append = (...pieces: readonly Buffer[]): number => {
    const offset = lengthOf(members);
    tar.push(...pieces);
    members.push(gzipSync(Buffer.concat(pieces)));
    return offset;
  };
  const entries = Object.entries(files).map(([name, content]) => {
    const { header, padding } = tarEntry(name, content.length);
    append(header);
    const offset = append(content, padding);
    const digest = digestOf(content);
    const modtime = "1970-01-01T00:00:00Z";
    const size = content.length;
    return { name, type: "reg", size, mode: 0o755, modtime, offset, digest, chunkDigest: digest };
  });
  const toc = Buffer.from(JSON.stringify({ version: 1, entries }));
  const { header, padding } = tarEntry("stargz.index.json", toc.length);
  const tocOffset = append(header, toc, padding, tarEnd);
  members.push(footer(tocOffset));
  return {
    bytes: Buffer.concat(members),
    diffId: digestOf(Buffer.concat(tar)),
    tocDigest: digestOf(toc),
  };
}

/** An empty gzip member whose header tells where the table of contents begins. */
function footer(tocOffset: number): Buffer {
  const extra = Buffer.from(`SG\x16\0${tocOffset.toString(16).padStart(16, "0")}STARGZ`);
  const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, extra.length, 0]);
  const emptyBlock = Buffer.from([1, 0, 0, 0xff, 0xff]);
  return Buffer.concat([header, extra, emptyBlock, Buffer.alloc(8)]);
}

function lengthOf(buffers: readonly Buffer[]): number {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  return length;
}
