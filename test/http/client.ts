/** A small client of the API, over whatever carries requests: the app itself, or a socket. */
import { once } from "node:events";
import { request as httpRequest, type Agent, type IncomingMessage } from "node:http";
import { Answer, checkCommon, type HeaderLine } from "./answer.ts";

export type RequestHeaders = Readonly<Record<string, string | readonly string[]>>;
export type RequestBody =
  | string
  | Uint8Array<ArrayBuffer>
  | ReadableStream<Uint8Array<ArrayBuffer>>;

export interface ClientRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly host: string;
  readonly headers: RequestHeaders;
  readonly body: RequestBody | undefined;
}

export type Carry = (request: ClientRequest) => Promise<Answer>;

interface Extras {
  readonly headers?: RequestHeaders;
  readonly body?: RequestBody;
  readonly host?: string;
}

export class Client {
  readonly #carry: Carry;

  constructor(carry: Carry) {
    this.#carry = carry;
  }

  /** `target`: a path, or a Location that the registry has given, absolute or not. */
  async send(method: string, target: string, extras: Extras = {}): Promise<Answer> {
    const path = target.replace(/^https?:\/\/[^/]+/, "");
    const headers = { ...framing(method, extras.body), ...extras.headers };
    const host = extras.host ?? "registry.example";
    const answer = await this.#carry({ method, target: path, host, headers, body: extras.body });
    if (path !== "/") checkCommon(method, answer);
    return answer;
  }

  get(target: string, headers: RequestHeaders = {}): Promise<Answer> {
    return this.send("GET", target, { headers });
  }

  head(target: string, headers: RequestHeaders = {}): Promise<Answer> {
    return this.send("HEAD", target, { headers });
  }

  delete(target: string): Promise<Answer> {
    return this.send("DELETE", target);
  }

  post(target: string, body?: RequestBody, headers?: RequestHeaders): Promise<Answer> {
    return this.send("POST", target, extrasOf(body, headers));
  }

  put(target: string, body?: RequestBody, headers?: RequestHeaders): Promise<Answer> {
    return this.send("PUT", target, extrasOf(body, headers));
  }

  patch(target: string, body?: RequestBody, headers?: RequestHeaders): Promise<Answer> {
    return this.send("PATCH", target, extrasOf(body, headers));
  }
}

function extrasOf(body: RequestBody | undefined, headers: RequestHeaders | undefined): Extras {
  return { ...(body === undefined ? {} : { body }), ...(headers === undefined ? {} : { headers }) };
}

/** A stream has no length to announce; all else that may have a body says how long it is. */
function framing(method: string, body: RequestBody | undefined): RequestHeaders {
  if (body instanceof ReadableStream) return {};
  if (body !== undefined) return { "Content-Length": String(Buffer.byteLength(body)) };
  return method === "GET" || method === "HEAD" ? {} : { "Content-Length": "0" };
}

/** In process: a standard Request in, a standard Response out. */
export function carryInProcess(fetch: (request: Request) => Promise<Response>): Carry {
  return async ({ body, headers, host, method, target }) => {
    const list = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      typeof value === "string" ? [[name, value]] : value.map((each) => [name, each]),
    );
    const init = {
      method,
      headers: new Headers(list),
      // A string would bring a Content-Type of its own.
      ...(body === undefined ? {} : { body: typeof body === "string" ? Buffer.from(body) : body }),
      ...(body instanceof ReadableStream ? { duplex: "half" as const } : {}),
    };
    const response = await fetch(new Request(`http://${host}${target}`, init));
    const bytes = new Uint8Array(await response.arrayBuffer());
    return new Answer(response.status, [...response.headers], bytes);
  };
}

/** Over sockets, which are kept for the next request. */
export function carryOverSockets(port: number, agent: Agent): Carry {
  return async (request) => {
    const { body, headers, host, method, target } = request;
    const lines = { Host: host, ...headers } as Record<string, string | string[]>;
    const outgoing = httpRequest({
      ...{ agent, method, port, host: "127.0.0.1" },
      path: target,
      headers: lines,
    });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    outgoing.on("response", resolve);
    outgoing.on("error", reject);
    if (body instanceof ReadableStream) {
      for await (const chunk of body) {
        if (outgoing.destroyed || outgoing.closed) break;
        if (!outgoing.write(chunk)) await Promise.race([once(outgoing, "drain"), promise]);
      }
      outgoing.end();
    } else {
      outgoing.end(body);
    }
    return await readAnswer(await promise);
  };
}

async function readAnswer(incoming: IncomingMessage): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Uint8Array);
  const bytes = new Uint8Array(Buffer.concat(chunks));
  const { rawHeaders } = incoming;
  const lines: HeaderLine[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    lines.push([rawHeaders[at] ?? "", rawHeaders[at + 1] ?? ""]);
  }
  return new Answer(incoming.statusCode ?? 0, lines, bytes);
}

/** A body in pieces, whose length nobody announces. */
export function streamOf(
  pieces: Iterable<Uint8Array<ArrayBuffer>>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(pieces);
}
