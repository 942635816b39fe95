/**
 * A server that answers as Google Cloud Storage does, as its documentation has it: the JSON API for
 * objects and the XML API for multipart uploads and signed URLs, as far as the adapter uses them.
 * It is strict: what the documentation does not allow, or this file does not know, is refused.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { FakeGcsObjects, Refused } from "./fake-gcs-objects.ts";
import { verifySignedUrl, type SigningAccount } from "./fake-gcs-signatures.ts";

export interface FakeGcsOptions {
  readonly bucket: string;
  /** The only one that lets a request in. Without it everybody is let in. */
  readonly token?: string;
  /** Whose signed URLs are good. */
  readonly account?: SigningAccount;
  /** Pages have no more items than this. Default 1,000, which is Google's. */
  readonly pageSize?: number;
  /** The smallest part that another one may follow, in bytes. Default 5 MiB, which is Google's. */
  readonly partBytesMin?: number;
  /** Milliseconds UTC. */
  readonly now?: () => number;
}

export interface FakeGcsRequest {
  readonly method: string;
  /** Without the endpoint. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage["headers"];
}

/** What a test has a request meet. */
export type FakeGcsFault =
  | { readonly status: number; readonly text: string }
  /** The connection is closed before the request has any effect. */
  | "reset"
  /** Half of the answer's body comes. */
  | "truncate";

type MaybeFault = FakeGcsFault | undefined;

/** The parameters that are known of each kind of request. */
const queries: Readonly<Record<string, readonly string[]>> = {
  list: ["prefix", "startOffset", "maxResults", "pageToken", "fields"],
  object: ["fields", "alt"],
  media: ["uploadType", "name", "fields"],
  uploads: ["uploads", "prefix", "key-marker", "upload-id-marker", "max-uploads"],
  upload: ["uploadId", "partNumber", "uploads"],
};

export class FakeGcs {
  readonly objects: FakeGcsObjects;
  readonly requests: FakeGcsRequest[] = [];
  /** The most requests that were under way at once. */
  peak = 0;
  #underWay = 0;
  /** Asked for each request. */
  fault: (request: FakeGcsRequest) => MaybeFault | Promise<MaybeFault> = () => undefined;
  readonly #options: FakeGcsOptions;
  readonly #server: Server;

  constructor(options: FakeGcsOptions) {
    this.#options = options;
    this.objects = new FakeGcsObjects({
      now: options.now ?? Date.now,
      pageSize: options.pageSize ?? 1000,
      partBytesMin: options.partBytesMin ?? 5 * 1024 * 1024,
    });
    this.#server = createServer((request, response) => {
      this.#underWay += 1;
      this.peak = Math.max(this.peak, this.#underWay);
      response.once("close", () => (this.#underWay -= 1));
      this.#serve(request, response).catch((error: unknown) => {
        if (!(error instanceof Refused)) {
          response.destroy(error instanceof Error ? error : undefined);
          return;
        }
        const { body, contentType } = error.answer();
        response.writeHead(error.status, { "Content-Type": contentType }).end(body);
      });
    });
  }

  /** Resolves with the endpoint. */
  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    const query = Object.fromEntries(url.searchParams);
    const { method = "" } = request;
    const seen = {
      method,
      path: url.pathname,
      query,
      headers: request.headers,
    };
    this.requests.push(seen);
    const body = await bodyOf(request);
    const fault = await this.fault(seen);
    if (fault === "reset") {
      response.destroy();
      return;
    }
    if (fault !== undefined && fault !== "truncate") {
      response.writeHead(fault.status).end(fault.text);
      return;
    }
    if (
      (method === "POST" || method === "PUT") &&
      request.headers["content-length"] === undefined
    ) {
      throw new Refused(411, "MissingContentLength");
    }
    const isSigned = url.searchParams.has("X-Goog-Signature");
    if (isSigned) this.#verify(request, url);
    else this.#authorize(request);
    this.#route({
      request,
      response,
      url,
      query,
      body,
      isSigned,
      isTruncated: fault !== undefined,
    });
  }

  #authorize({ headers }: IncomingMessage): void {
    const { token } = this.#options;
    if (token === undefined || headers.authorization === `Bearer ${token}`) return;
    throw new Refused(401, "authError", "Invalid Credentials");
  }

  #verify(request: IncomingMessage, url: URL): void {
    const { account, now = Date.now } = this.#options;
    if (account === undefined) throw new Refused(403, "AccessDenied", "Access denied.");
    verifySignedUrl(account, { request, url, now: now() });
  }

  #route(call: RoutedCall): void {
    const { pathname } = call.url;
    const json = /^\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(pathname);
    if (json !== null) {
      this.#mustBeOurs(json[1], "json");
      if (json[2] === undefined) this.#listObjects(call);
      else this.#object(call, decodeURIComponent(json[2]));
      return;
    }
    const upload = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(pathname);
    if (upload !== null) {
      this.#mustBeOurs(upload[1], "json");
      this.#upload(call);
      return;
    }
    const xml = /^\/([^/]+)(?:\/(.+))?$/.exec(pathname);
    if (xml === null) throw new Refused(400, "InvalidURI", pathname);
    this.#mustBeOurs(xml[1], "xml");
    if (xml[2] === undefined) this.#listUploads(call);
    else this.#multipart(call, decodeURIComponent(xml[2]));
  }

  #mustBeOurs(bucket: string | undefined, api: "json" | "xml"): void {
    if (decodeURIComponent(bucket ?? "") === this.#options.bucket) return;
    if (api === "xml")
      throw new Refused(404, "NoSuchBucket", "The specified bucket does not exist.");
    throw new Refused(404, "notFound", "The specified bucket does not exist.");
  }

  #listObjects({ query, request, response }: RoutedCall): void {
    mustBe(request.method === "GET" && knows("list", query), "list");
    const page = this.objects.list(query);
    sendJson(response, page);
  }

  #object({ isTruncated, query, request, response }: RoutedCall, key: string): void {
    mustBe(knows("object", query), "object");
    if (request.method === "DELETE") {
      this.objects.delete(key);
      response.writeHead(204).end();
      return;
    }
    mustBe(request.method === "GET", "object");
    if (query["alt"] === "media") this.#media(request, response, { key, isTruncated });
    else sendJson(response, this.objects.metadata(key, query["fields"] ?? ""));
  }

  #upload({ body, query, request, response }: RoutedCall): void {
    mustBe(request.method === "POST" && knows("media", query), "media");
    const { name, uploadType } = query;
    mustBe(uploadType === "media" && name !== undefined && name !== "", "media");
    this.objects.put(name ?? "", body);
    sendJson(response, this.objects.metadata(name ?? "", query["fields"] ?? ""));
  }

  #media(
    request: IncomingMessage,
    response: ServerResponse,
    { isTruncated, key }: { readonly key: string; readonly isTruncated: boolean },
  ): void {
    const bytes = this.objects.content(key);
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(first ?? 0);
    if (first !== undefined && start >= bytes.byteLength) {
      throw new Refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
    }
    const end =
      last === undefined ? bytes.byteLength : Math.min(Number(last) + 1, bytes.byteLength);
    const part = bytes.subarray(start, end);
    const headers = {
      "Content-Length": part.byteLength,
      "Content-Type": "application/octet-stream",
    };
    response.writeHead(first === undefined ? 200 : 206, headers);
    if (request.method === "HEAD") response.end();
    else if (!isTruncated) response.end(part);
    else response.write(part.subarray(0, part.byteLength >> 1), () => response.destroy());
  }

  #listUploads({ query, request, response }: RoutedCall): void {
    mustBe(request.method === "GET" && knows("uploads", query) && "uploads" in query, "uploads");
    sendXml(response, this.objects.listUploads(query));
  }

  #multipart({ body, isSigned, query, request, response }: RoutedCall, key: string): void {
    const { method } = request;
    if (isSigned && (method === "GET" || method === "HEAD")) {
      this.#media(request, response, { key, isTruncated: false });
      return;
    }
    mustBe(!isSigned && knows("upload", query), "upload");
    const { partNumber, uploadId } = query;
    if (method === "POST" && "uploads" in query) {
      mustBe(body.byteLength === 0, "a body");
      sendXml(response, this.objects.beginUpload(key));
    } else if (method === "PUT" && uploadId !== undefined) {
      const etag = this.objects.putPart(key, uploadId, { number: Number(partNumber), bytes: body });
      response.writeHead(200, { ETag: etag, "Content-Length": 0 }).end();
    } else if (method === "POST" && uploadId !== undefined) {
      sendXml(response, this.objects.completeUpload(key, uploadId, body.toString()));
    } else if (method === "DELETE" && uploadId !== undefined) {
      this.objects.abortUpload(key, uploadId);
      response.writeHead(204).end();
    } else {
      throw new Refused(400, "InvalidArgument", `${method} of an upload`);
    }
  }
}

interface RoutedCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly query: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly isSigned: boolean;
  readonly isTruncated: boolean;
}

function knows(kind: string, query: Readonly<Record<string, string>>): boolean {
  return Object.keys(query).every((name) => queries[kind]?.includes(name));
}

function mustBe(holds: boolean, what: string): void {
  if (!holds) throw new Refused(400, "invalid", `not a request that is known: ${what}`);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function sendJson(response: ServerResponse, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(200, { "Content-Type": "application/json; charset=UTF-8" }).end(text);
}

function sendXml(response: ServerResponse, text: string): void {
  const xml = `<?xml version='1.0' encoding='UTF-8'?>${text}`;
  response.writeHead(200, { "Content-Type": "application/xml; charset=UTF-8" }).end(xml);
}
