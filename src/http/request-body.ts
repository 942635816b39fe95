/** Reading bodies: small ones whole, and what the headers say about large ones. */
import { OciError } from "../oci/errors.ts";
import { parseContentRange, type ByteSpan } from "../oci/range.ts";
import type { IncomingRequest } from "./exchange.ts";

/** What is taken at first for a body, whatever it announces: an idle client must not cost much. */
const firstBytes = 16 * 1024;

/**
 * The body as one piece; 413 as soon as it is known to be larger than `bytesMax`. It is collected
 * in one buffer that grows: a body of single bytes costs no more than another.
 */
export async function readBody(request: IncomingRequest, bytesMax: number): Promise<Uint8Array> {
  const announced = contentLength(request);
  if (announced !== undefined && announced > bytesMax) throw bodyTooLarge(bytesMax);
  if (request.body === null) return new Uint8Array(0);
  let bytes = new Uint8Array(Math.min(announced ?? firstBytes, firstBytes));
  let size = 0;
  const reader = request.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const needed = size + value.byteLength;
      if (needed > bytesMax) throw bodyTooLarge(bytesMax);
      if (needed > bytes.byteLength) {
        const larger = new Uint8Array(Math.min(bytesMax, Math.max(2 * bytes.byteLength, needed)));
        larger.set(bytes.subarray(0, size));
        bytes = larger;
      }
      bytes.set(value, size);
      size = needed;
    }
  } finally {
    reader.releaseLock();
  }
  return size === bytes.byteLength ? bytes : bytes.slice(0, size);
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
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  // Nothing is read ahead: the first read is what tells a client to continue.
  return new ReadableStream(
    {
      pull: async (controller) => {
        reader ??= body.getReader();
        const { done, value } = await reader.read();
        if (done) {
          controller.close();
          return;
        }
        controller.enqueue(value);
        leftBytes -= value.byteLength;
        if (leftBytes >= 0) return;
        controller.close();
        await reader.cancel();
      },
      cancel: (reason) => (reader === undefined ? body.cancel(reason) : reader.cancel(reason)),
    },
    { highWaterMark: 0 },
  );
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
