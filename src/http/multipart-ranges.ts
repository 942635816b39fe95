/**
 * Several ranges in one answer (RFC 9110 section 14.6), as snapshotters ask for that pull lazily.
 * Parts are opened one after another, so that a request for many ranges holds one file open.
 */
import type { ByteSpan } from "../oci/range.ts";
import type { OpenedBlob } from "../registry/registry.ts";
import type { HeaderList } from "./answers.ts";

interface Part {
  readonly span: ByteSpan;
  readonly head: Uint8Array<ArrayBuffer>;
}

export function multipartRanges(content: {
  readonly spans: readonly ByteSpan[];
  readonly size: number;
  readonly contentType: string;
  /** Must not occur in the content; a part of its digest cannot. */
  readonly boundary: string;
  readonly open: (span: ByteSpan) => Promise<OpenedBlob>;
}): { readonly headers: HeaderList; readonly body: ReadableStream<Uint8Array<ArrayBuffer>> } {
  const { boundary } = content;
  const encoder = new TextEncoder();
  const parts = content.spans.map((span, index): Part => {
    const lines = [
      `${index === 0 ? "" : "\r\n"}--${boundary}`,
      `Content-Type: ${content.contentType}`,
      `Content-Range: bytes ${span.start}-${span.end}/${content.size}`,
      "\r\n",
    ];
    return { span, head: encoder.encode(lines.join("\r\n")) };
  });
  const end = encoder.encode(`\r\n--${boundary}--\r\n`);
  const length = parts.reduce(
    (sum, { head, span }) => sum + head.byteLength + span.end - span.start + 1,
    end.byteLength,
  );
  return {
    headers: [
      ["Content-Type", `multipart/byteranges; boundary=${boundary}`],
      ["Content-Length", String(length)],
    ],
    body: ReadableStream.from(writeParts(parts, end, content.open)),
  };
}

async function* writeParts(
  parts: readonly Part[],
  end: Uint8Array<ArrayBuffer>,
  open: (span: ByteSpan) => Promise<OpenedBlob>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (const { head, span } of parts) {
    yield head;
    const { body } = await open(span);
    if (body instanceof Uint8Array) yield body;
    else yield* body;
  }
  yield end;
}
