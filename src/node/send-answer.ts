/** Writes an answer to its client: small bodies in one go, streams through the server's buffers. */
import type { Answer } from "../http/exchange.ts";
import type { NodeRequest } from "./node-request.ts";
import type { StreamSender } from "./stream-sender.ts";

/**
 * Up to this, head and body are written as one string, which `node:http` hands to the kernel in one
 * call.
 */
const oneWriteBytesMax = 12 * 1024;

/** Throws what the answer's author did wrong (invalid headers); then nothing has been sent. */
export async function sendAnswer(
  request: NodeRequest,
  answer: Answer,
  sender: StreamSender,
): Promise<void> {
  const { response, connection } = request;
  const { status, body } = answer;
  const streamed = body instanceof ReadableStream;
  if (request.isGone) {
    if (streamed) await body.cancel();
    return;
  }
  const { remainder } = request;
  if (remainder === "large") connection.endLingering();
  if (connection.endsWith(request)) response.shouldKeepAlive = false;
  const isBodiless = request.method === "HEAD" || status === 204 || status === 304;
  const { lines, contentLength } = headLines(answer, isBodiless);
  try {
    response.writeHead(status, lines);
  } catch (error) {
    if (streamed) await body.cancel(error);
    throw error;
  }
  if (!streamed) {
    if (isBodiless || body === null) response.end();
    else if (typeof body === "string") response.end(body);
    else endWithBytes(request, body);
  } else if (isBodiless) {
    response.end();
    await body.cancel();
  } else {
    await sender.send(request, body, contentLength);
  }
  if (remainder !== "none") request.dropRemainder();
}

function endWithBytes({ response }: NodeRequest, body: Uint8Array<ArrayBuffer>): void {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.byteLength > oneWriteBytesMax) response.end(bytes);
  else response.end(bytes.toString("latin1"), "latin1");
}

function headLines(
  { headers, body }: Answer,
  isBodiless: boolean,
): { lines: string[]; contentLength: number | undefined } {
  const lines: string[] = [];
  let contentLength: number | undefined;
  for (const [name, value] of headers) {
    lines.push(name, value);
    if (name.length === 14 && name.toLowerCase() === "content-length")
      contentLength = Number(value);
  }
  if (contentLength === undefined && !isBodiless && !(body instanceof ReadableStream)) {
    contentLength = body === null ? 0 : Buffer.byteLength(body);
    lines.push("Content-Length", String(contentLength));
  }
  return { lines, contentLength };
}
