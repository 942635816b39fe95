/** Reading bodies: small ones whole, and what the headers say about large ones. */
import { OciError } from "../oci/errors.ts";
import { parseContentRange, type ByteSpan } from "../oci/range.ts";
import type { IncomingRequest } from "./exchange.ts";

/** The body as one piece; 413 as soon as it is known to be larger than `bytesMax`. */
export async function readBody(request: IncomingRequest, bytesMax: number): Promise<Uint8Array> {
  const announced = contentLength(request);
  if (announced !== undefined && announced > bytesMax) throw bodyTooLarge(bytesMax);
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.byteLength;
      if (size > bytesMax) throw bodyTooLarge(bytesMax);
      chunks.push(value);
    }
  } finally {
    reader.releaseLock();
  }
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks, size);
}

function bodyTooLarge(bytesMax: number): OciError {
  return new OciError("MANIFEST_INVALID", {
    status: 413,
    message: `manifest invalid: larger than ${bytesMax} bytes`,
    detail: { max: bytesMax },
  });
}

/** `undefined` when the body is streamed. */
function contentLength(request: IncomingRequest): number | undefined {
  const header = request.headers.get("content-length");
  return header === null ? undefined : Number(header);
}

/**
 * The body as a stream, which ends soon after the chunk that its span promises: more than that is
 * not received only to be refused. Where a length was announced, the carrier keeps to that.
 */
export function streamWithin(
  request: IncomingRequest,
  span: ByteSpan | undefined,
): ReadableStream<Uint8Array> | null {
  const { body } = request;
  if (body === null || span === undefined || contentLength(request) !== undefined) return body;
  let leftBytes = span.end - span.start + 1;
  const within = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      leftBytes -= chunk.byteLength;
      controller.enqueue(chunk);
      if (leftBytes < 0) controller.terminate();
    },
  });
  return body.pipeThrough(within);
}

/** Where the client says that its chunk lies. A span and a length that differ are an error. */
export function chunkSpan(request: IncomingRequest): ByteSpan | undefined {
  const header = request.headers.get("content-range");
  if (header === null) return undefined;
  const span = parseContentRange(header);
  if (span === undefined) {
    throw new OciError("RANGE_INVALID", {
      message: "Content-Range must be <first>-<last>, as numbers of bytes",
      status: 400,
    });
  }
  const length = contentLength(request);
  if (length !== undefined && length !== span.end - span.start + 1) {
    throw new OciError("SIZE_INVALID", { detail: { range: header.slice(0, 100), length } });
  }
  return span;
}
