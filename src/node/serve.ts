/** Carries the app over HTTP/1.1: sockets, limits, malformed requests, draining. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Answer, Handle } from "../http/exchange.ts";
import { OciError } from "../oci/errors.ts";
import { BufferPool } from "./buffer-pool.ts";
import { Connection } from "./connection.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { NodeRequest } from "./node-request.ts";
import {
  malformed,
  rawRefusal,
  refusalAnswer,
  refusalOfParserError,
  requestIdOf,
} from "./refusal.ts";
import { sendAnswer } from "./send-answer.ts";
import { StreamSender } from "./stream-sender.ts";

export interface ListenOptions {
  /** Every address of the machine by default. */
  readonly host?: string;
  /** 0 for any free one. */
  readonly port: number;
}

export interface ServeOptions extends CarrierOptions, ListenOptions {}

export interface CarrierOptions {
  readonly handle: Handle;
  readonly limits?: Partial<Limits>;
  /**
   * The app or the stream of an answer failed: a defect, or a store that broke in mid-stream.
   * Without a context it is the listener: no descriptors left, for one.
   */
  readonly onError?: (error: unknown, context?: RequestContext) => void;
  /** A request was refused here; the app has not seen it. */
  readonly onRefused?: (
    refusal: OciError,
    context: Partial<RequestContext> & { readonly requestId: string },
  ) => void;
}

export interface RequestContext {
  readonly method: string;
  /** As the client sent it. */
  readonly target: string;
  readonly remoteAddress: string | undefined;
}

export interface RunningServer {
  /** Where a client on this machine reaches it: `http://host:port`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly connectionCount: number;
  /**
   * Accepts nothing more, ends idle connections, and lets what is in flight finish for `drainMs`
   * (0: not at all). Resolves when every connection is closed.
   */
  close(options: { readonly drainMs: number }): Promise<void>;
}

/** Connections that another process has accepted: one process listens, several serve. */
export interface ConnectionSource {
  /** Where the other process listens. */
  readonly address: AddressInfo;
  /** Hands over each connection from now on; nothing of it has been read. */
  start(take: (socket: Socket) => void): void;
}

export async function serve(options: ServeOptions): Promise<RunningServer> {
  const carrier = new Carrier(options);
  await carrier.listen(options);
  return carrier;
}

/** Serves what comes from `source`, and listens nowhere. */
export function serveConnections(options: CarrierOptions, source: ConnectionSource): RunningServer {
  const carrier = new Carrier(options);
  carrier.takeFrom(source);
  return carrier;
}

class Carrier implements RunningServer {
  readonly #options: CarrierOptions;
  readonly #limits: Limits;
  readonly #server: Server;
  readonly #sender: StreamSender;
  readonly #connections = new Map<Socket, Connection>();
  #address: AddressInfo | undefined;
  #closing: Promise<void> | undefined;
  #lastClosed: () => void = () => undefined;

  constructor(options: CarrierOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#sender = new StreamSender(
      new BufferPool(this.#limits.streamBufferBytesMax),
      (error, request) => this.#report(error, request),
    );
    this.#server = makeServer(this.#limits);
    this.#listenTo(this.#server);
  }

  get host(): string {
    return this.#bound.address;
  }

  get port(): number {
    return this.#bound.port;
  }

  get url(): string {
    const { address, family, port } = this.#bound;
    if (address === "::" || address === "0.0.0.0") return `http://localhost:${port}`;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async listen({ host, port }: ListenOptions): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
    await promise;
    this.#server.off("error", reject);
    this.#server.on("error", (error) => this.#options.onError?.(error));
    const address = this.#server.address();
    assert(address !== null && typeof address === "object");
    this.#address = address;
  }

  takeFrom({ address, start }: ConnectionSource): void {
    this.#address = address;
    // This is what makes Node look for headers that do not come.
    this.#server.emit("listening");
    start((socket) => {
      // Node does these for the connections that it accepts itself.
      if (this.#connections.size >= this.#limits.connectionsMax) {
        socket.destroy();
        return;
      }
      socket.allowHalfOpen = true;
      this.#server.emit("connection", socket);
    });
  }

  close({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const lastClosed = Promise.withResolvers<void>();
    this.#lastClosed = lastClosed.resolve;
    this.#server.close(() => resolve());
    for (const connection of this.#connections.values()) connection.drain();
    const timer = setTimeout(() => {
      for (const socket of this.#connections.keys()) socket.destroy();
    }, drainMs);
    await promise;
    if (this.#connections.size > 0) await lastClosed.promise;
    clearTimeout(timer);
  }

  get #bound(): AddressInfo {
    assert(this.#address !== undefined, "the server listens");
    return this.#address;
  }

  #listenTo(server: Server): void {
    server.on("connection", (socket) => this.#connected(socket));
    server.on("request", (incoming, response) => this.#take(incoming, response, "request"));
    server.on("checkContinue", (incoming, response) => this.#take(incoming, response, "continue"));
    server.on("checkExpectation", (incoming, response) => {
      this.#take(incoming, response, "expectation");
    });
    server.on("connect", (incoming: IncomingMessage, socket: Socket) => {
      socket.on("error", () => socket.destroy());
      const refusal = new OciError("UNSUPPORTED", { message: "CONNECT is not supported" });
      this.#refused(refusal, socket, incoming);
      socket.end(rawRefusal(refusal), () => socket.destroy());
    });
    server.on("clientError", (error, socket: Socket) => this.#clientFailed(error, socket));
    server.on("timeout", (socket: Socket) => this.#connections.get(socket)?.timedOut());
  }

  #connected(socket: Socket): void {
    const connection = new Connection(socket, this.#limits);
    this.#connections.set(socket, connection);
    socket.on("close", () => {
      this.#connections.delete(socket);
      if (this.#connections.size === 0) this.#lastClosed();
    });
    if (this.#closing !== undefined) connection.drain();
  }

  #take(
    incoming: IncomingMessage,
    response: ServerResponse,
    event: "request" | "continue" | "expectation",
  ): void {
    const connection = this.#connections.get(incoming.socket);
    if (connection === undefined || connection.inFlightCount >= this.#limits.pipelinedMax) {
      incoming.socket.destroy();
      return;
    }
    const expectsContinue = event === "continue";
    const request = new NodeRequest({
      incoming,
      response,
      connection,
      limits: this.#limits,
      expectsContinue,
    });
    connection.begin(request);
    const run = (): void => void this.#run(request, event === "expectation");
    // A request that was sent ahead waits until the one before it has its answer.
    if (response.socket === null) response.once("socket", run);
    else run();
  }

  async #run(request: NodeRequest, isUnknownExpectation: boolean): Promise<void> {
    try {
      const problem = isUnknownExpectation
        ? malformed("the expectation is not supported", 417)
        : request.check();
      if (problem === undefined) {
        await sendAnswer(request, await this.#options.handle(request), this.#sender);
      } else {
        this.#options.onRefused?.(problem, {
          ...contextOf(request),
          requestId: requestIdOf(problem),
        });
        await sendAnswer(request, refusalAnswer(problem), this.#sender);
      }
    } catch (error) {
      this.#report(error, request);
      await this.#sendFailure(request);
    }
  }

  /** The app broke its promise not to fail, or made headers that cannot be sent. */
  async #sendFailure(request: NodeRequest): Promise<void> {
    if (request.response.headersSent) {
      request.response.destroy();
      return;
    }
    request.response.statusMessage = "";
    const answer: Answer = refusalAnswer(new OciError("UNKNOWN"));
    await sendAnswer(request, answer, this.#sender);
  }

  #clientFailed(error: Error & { readonly code?: string }, socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || socket.destroyed || isSocketError(error)) {
      socket.destroy();
      return;
    }
    const refusal = refusalOfParserError(error);
    if (connection.fail(refusal)) this.#refused(refusal, socket);
  }

  #refused(refusal: OciError, socket: Socket, incoming?: IncomingMessage): void {
    this.#options.onRefused?.(refusal, {
      requestId: requestIdOf(refusal),
      remoteAddress: this.#connections.get(socket)?.remoteAddress,
      ...(incoming && { method: incoming.method ?? "", target: incoming.url ?? "" }),
    });
  }

  #report(error: unknown, request: NodeRequest): void {
    this.#options.onError?.(error, contextOf(request));
  }
}

function contextOf({ method, target, connection }: NodeRequest): RequestContext {
  return { method, target, remoteAddress: connection.remoteAddress };
}

/** The connection broke, as opposed to what came over it. */
function isSocketError(error: { readonly code?: string }): boolean {
  const { code } = error;
  return code !== undefined && !code.startsWith("HPE_") && code !== "ERR_HTTP_REQUEST_TIMEOUT";
}

function makeServer(limits: Limits): Server {
  const server = createServer({
    insecureHTTPParser: false,
    // As a standard `Headers` joins them; so two Host lines are an invalid one.
    joinDuplicateHeaders: true,
    // Checked by us, since Node's own answer lacks the envelope.
    requireHostHeader: false,
    optimizeEmptyRequests: true,
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headersTimeoutMs,
    // An upload may take hours; `timeout` below is what ends those that stand still.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.ceil(Math.min(limits.headersTimeoutMs / 4, 5_000)),
    noDelay: true,
    keepAlive: true,
  });
  server.timeout = limits.idleTimeoutMs;
  // Node drops headers beyond its count silently: one more is let in, and refused.
  server.maxHeadersCount = limits.headersCountMax + 1;
  server.maxConnections = limits.connectionsMax;
  // A client may shut down its sending side and still read. Not in Node's types, but there since
  // its first days.
  return Object.assign(server, { httpAllowHalfOpen: true });
}
