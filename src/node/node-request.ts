/**
 * A request as `node:http` hands it over, seen as the app's `IncomingRequest`. What is not asked
 * for is not made.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IncomingRequest } from "../http/exchange.ts";
import { OciError } from "../oci/errors.ts";
import type { Connection } from "./connection.ts";
import type { Limits } from "./limits.ts";
import { parseRawTarget } from "./raw-target.ts";
import { malformed } from "./refusal.ts";
import { RequestBody } from "./request-body.ts";

export interface NodeRequestOptions {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  readonly limits: Limits;
  /** The client waits for a 100 before it sends the body. */
  readonly expectsContinue: boolean;
}

export class NodeRequest implements IncomingRequest {
  readonly method: string;
  readonly headers: IncomingHeaders;
  readonly remoteAddress?: string;
  readonly response: ServerResponse;
  readonly connection: Connection;
  /** The idle time passed once while the client's bytes were awaited. */
  isTimedOut = false;
  readonly #incoming: IncomingMessage;
  readonly #limits: Limits;
  #awaitsContinue: boolean;
  #host = "";
  #pathAndQuery = "";
  #url: string | undefined;
  #body: RequestBody | undefined;
  #abortController: AbortController | undefined;
  #isAborted = false;
  #isGone = false;
  #whenGone: (() => void) | undefined;

  constructor(options: NodeRequestOptions) {
    const { incoming, response, connection } = options;
    this.#incoming = incoming;
    this.#limits = options.limits;
    this.#awaitsContinue = options.expectsContinue;
    this.response = response;
    this.connection = connection;
    this.method = incoming.method ?? "GET";
    this.headers = new IncomingHeaders(incoming);
    if (connection.remoteAddress !== undefined) this.remoteAddress = connection.remoteAddress;
    response.on("close", () => {
      if (!response.writableFinished) this.#gone();
      connection.finished(this);
    });
  }

  get url(): string {
    return (this.#url ??= `http://${this.#host}${this.#pathAndQuery}`);
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#framing === "none" || this.method === "GET" || this.method === "HEAD") return null;
    return this.#openBody().stream;
  }

  get signal(): AbortSignal {
    this.#abortController ??= new AbortController();
    if (this.#isAborted) this.#abortController.abort();
    return this.#abortController.signal;
  }

  /** The target as it came. */
  get target(): string {
    return this.#incoming.url ?? "";
  }

  /** The client is gone: nobody reads an answer. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Whether it is the client who must do something next. */
  get waitsForClient(): boolean {
    return this.#body?.awaited === true || this.response.writableLength > 0;
  }

  /** What is wrong with the request's line and headers; must be asked before the app is. */
  check(): OciError | undefined {
    if (this.#incoming.rawHeaders.length > 2 * this.#limits.headersCountMax) {
      return malformed("the request has too many headers", 431);
    }
    const target = parseRawTarget(this.target);
    if ("problem" in target) return new OciError("NAME_INVALID", { message: target.problem });
    this.#pathAndQuery = target.pathAndQuery;
    return this.#checkHost(target.authority) ?? this.#checkCoding();
  }

  abort(): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#abortController?.abort();
  }

  /** Calls back when the client goes away before it has the whole answer. */
  whenGone(callback: () => void): void {
    this.#whenGone = callback;
    if (this.#isGone) callback();
  }

  /** Tells the app that its body is broken. False if the whole body has come already. */
  failBody(error: OciError): boolean {
    if (this.#incoming.complete) return false;
    this.#openBody().fail(error);
    return true;
  }

  /** What the app has left of the body: `large` means that the connection cannot be kept. */
  get remainder(): "none" | "small" | "large" {
    const framing = this.#framing;
    if (framing === "none" || this.#incoming.complete) return "none";
    if (framing === "chunked" || this.#awaitsContinue) return "large";
    const announcedBytes = Number(this.#incoming.headers["content-length"]);
    const leftBytes = announcedBytes - (this.#body?.receivedBytes ?? 0);
    return leftBytes <= this.#limits.drainBytesMax ? "small" : "large";
  }

  /** Reads what is left of the body after the answer, within limits. */
  dropRemainder(): void {
    if (this.#incoming.complete && this.#body === undefined) return;
    const body = this.#openBody();
    const { connection } = this;
    let droppedBytes = 0;
    body.discard((bytes) => {
      droppedBytes += bytes;
      if (droppedBytes > this.#limits.drainBytesMax) body.pause();
    });
    if (this.#incoming.complete) return;
    connection.expectSoon();
    this.#incoming.once("end", () => connection.cameInTime());
  }

  get #framing(): "none" | "sized" | "chunked" {
    const { headers } = this.#incoming;
    if (headers["transfer-encoding"] !== undefined) return "chunked";
    const length = headers["content-length"];
    return length === undefined || length === "0" ? "none" : "sized";
  }

  #openBody(): RequestBody {
    this.#body ??= new RequestBody(this.#incoming, () => this.#sayContinue());
    return this.#body;
  }

  #sayContinue(): void {
    if (!this.#awaitsContinue || this.response.headersSent || this.#isGone) return;
    this.#awaitsContinue = false;
    this.response.writeContinue();
  }

  #checkHost(authority: string | undefined): OciError | undefined {
    // spec: RFC 9112 3.2.2, the target's authority replaces the Host header.
    const host = authority ?? this.#incoming.headers.host ?? this.#hostOfHttp10();
    if (host === undefined) return malformed("the request has no Host header");
    if (!this.connection.isKnownHost(host)) return malformed("the Host header is invalid");
    this.#host = host;
    return undefined;
  }

  #hostOfHttp10(): string | undefined {
    if (this.#incoming.httpVersion === "1.1") return undefined;
    const { localAddress, localPort, localFamily } = this.connection.socket;
    return `${localFamily === "IPv6" ? `[${localAddress}]` : localAddress}:${localPort}`;
  }

  #checkCoding(): OciError | undefined {
    const coding = this.#incoming.headers["transfer-encoding"];
    if (coding === undefined || coding.toLowerCase() === "chunked") return undefined;
    return malformed("the body's Transfer-Encoding is not supported");
  }

  #gone(): void {
    this.#isGone = true;
    this.abort();
    this.#whenGone?.();
  }
}

/** Reads headers as a standard `Headers` does; repeated ones are joined. */
class IncomingHeaders {
  readonly #incoming: IncomingMessage;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
  }

  get(name: string): string | null {
    const { headers } = this.#incoming;
    const value: unknown = headers[name] ?? headers[name.toLowerCase()];
    if (typeof value === "string") return value;
    return Array.isArray(value) ? value.join(", ") : null;
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }
}
