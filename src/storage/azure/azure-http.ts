/** `VendorHttp` as Azure's client wants it. */
import type { HttpOperationResponse, IHttpClient, WebResource } from "@azure/storage-blob";
import { textOf } from "../objects/vendor/answers.ts";
import type { VendorHttp } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";

export function azureHttpClient(http: VendorHttp): IHttpClient {
  return { sendRequest: async (request) => await sendRequest(http, request) };
}

async function sendRequest(http: VendorHttp, request: WebResource): Promise<HttpOperationResponse> {
  const { abortSignal, headers, method, url } = request;
  const message = await http.send({
    method,
    url,
    headers: headers.rawHeaders(),
    body: bodyOf(request.body),
    signal: abortSignal instanceof AbortSignal ? abortSignal : undefined,
  });
  const { statusCode: status = 0 } = message;
  // The client has no other way to make headers.
  const answered = headers.clone();
  for (const name of answered.headerNames()) answered.remove(name);
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) answered.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const response = { request, status, headers: answered };
  const isStream = request.streamResponseStatusCodes?.has(status) === true;
  if (isStream && method !== "HEAD") return { ...response, readableStreamBody: message };
  return { ...response, bodyAsText: await textOf(message) };
}

function bodyOf(body: unknown): PiecesBody | Uint8Array | string | undefined {
  // A stream is handed over as what makes it.
  const made: unknown = typeof body === "function" ? (body as () => unknown)() : body;
  if (made === undefined || made === null) return undefined;
  if (made instanceof PiecesBody || made instanceof Uint8Array) return made;
  if (typeof made === "string") return made;
  throw new TypeError("a body that is neither text nor bytes");
}
