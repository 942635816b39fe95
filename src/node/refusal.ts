/** Answers that never reach the app, or come in its place: always the error envelope. */
import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Answer } from "../http/exchange.ts";
import { errorEnvelope, OciError } from "../oci/errors.ts";

const jsonContentType = "application/json";
const apiVersion: readonly [string, string] = ["Docker-Distribution-API-Version", "registry/2.0"];

/** Ids of what was refused, by the error that says why: the client and the log get the same one. */
const requestIds = new WeakMap<OciError, string>();

/**
 * The id under which a refused request is known: the app, which would have made one, never saw it.
 */
export function requestIdOf(error: OciError): string {
  const id = requestIds.get(error) ?? randomUUID();
  requestIds.set(error, id);
  return id;
}

/** The client's fault, found before the app was asked. */
export function malformed(message: string, status = 400, cause?: unknown): OciError {
  return new OciError("UNSUPPORTED", { message, status, cause });
}

export function refusalAnswer(error: OciError): Answer & { readonly body: string } {
  const body = errorEnvelope([error]);
  return {
    status: error.status,
    headers: [
      ["Content-Type", jsonContentType],
      apiVersion,
      ["X-Request-Id", requestIdOf(error)],
      ["Content-Length", String(Buffer.byteLength(body))],
    ],
    body,
  };
}

/** The same as bytes for a socket that has no response object. */
export function rawRefusal(error: OciError): string {
  const { status, headers, body } = refusalAnswer(error);
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${lines}` +
    `Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${body}`
  );
}

/** What Node's parser or timers found wrong with a connection. */
export function refusalOfParserError(error: Error & { readonly code?: string }): OciError {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return malformed("the request's headers are too large", 431, error);
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return malformed("the body's chunk extensions are too large", 413, error);
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return malformed("the request's headers did not arrive in time", 408, error);
    case "HPE_INVALID_EOF_STATE":
      return new OciError("SIZE_INVALID", { message: "the request ended early", cause: error });
    default:
      return malformed("malformed HTTP request", 400, error);
  }
}
