/** A proxy before the registry which notes what clients ask, and can hold an upload halfway. */
import { once } from "node:events";
import {
  Agent,
  createServer,
  request,
  type ClientRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import type { Workspace } from "./workspace.ts";

/** A request and its answer. */
export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly range: string | undefined;
  /** Absent until, or unless, the server answers. */
  readonly status: number | undefined;
  /** Bytes of the request's body that passed. */
  readonly sentBytes: number;
  /** Bytes of the answer's body that passed. */
  readonly receivedBytes: number;
}

export async function startRecorder(
  workspace: Workspace,
  server: { readonly host: string },
): Promise<Recorder> {
  const recorder = new Recorder(server.host);
  workspace.defer(() => recorder.close());
  await recorder.listen();
  return recorder;
}

export class Recorder {
  readonly #target: URL;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  #exchanges: MutableExchange[] = [];
  #hold: Hold | undefined;

  constructor(targetHost: string) {
    this.#target = new URL(`http://${targetHost}`);
    this.#server = createServer((incoming, outgoing) => {
      this.#pass(incoming, outgoing);
    });
    this.#server.on("checkContinue", (incoming: IncomingMessage, outgoing: ServerResponse) => {
      this.#pass(incoming, outgoing);
    });
    this.#server.requestTimeout = 0;
  }

  /** How clients name this registry. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Since the last `forget`, in the order in which they began. */
  get exchanges(): readonly Exchange[] {
    return this.#exchanges;
  }

  /** Everything about uploads: what begins, feeds or ends one. */
  get uploads(): readonly Exchange[] {
    return this.#exchanges.filter(
      ({ method, path }) => method !== "GET" && path.includes("/blobs/uploads/"),
    );
  }

  /** Bytes of blobs that were uploaded. */
  get uploadedBytes(): number {
    return this.uploads.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  }

  forget(): void {
    this.#exchanges = [];
  }

  /**
   * Lets so many bytes of each upload request pass and not one more until `release`. Resolves when
   * the first request has come to that point.
   */
  async holdUploadsAfter(byteCount: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hold = { byteCount, reached: resolve };
    return promise;
  }

  release(): void {
    this.#hold = undefined;
  }

  async listen(): Promise<void> {
    this.#server.listen({ port: 0, host: "127.0.0.1" });
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = "", url: path = "" } = incoming;
    const { range } = incoming.headers;
    const exchange: MutableExchange = {
      ...{ method, path, range },
      ...{ status: undefined, sentBytes: 0, receivedBytes: 0 },
    };
    this.#exchanges.push(exchange);
    const onward = request({
      ...{ hostname: this.#target.hostname, port: this.#target.port, agent: this.#agent },
      ...{ method, path, headers: incoming.rawHeaders, setHost: false },
    });
    onward.on("continue", () => {
      outgoing.writeContinue();
    });
    onward.on("response", (answer) => {
      passAnswer(answer, outgoing, exchange);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => {
      if (!outgoing.writableFinished) onward.destroy();
    });
    void this.#passBody(incoming, onward, exchange).catch(() => onward.destroy());
  }

  async #passBody(
    incoming: IncomingMessage,
    onward: ClientRequest,
    exchange: MutableExchange,
  ): Promise<void> {
    const upload = exchange.path.includes("/blobs/uploads/");
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      const hold = upload ? this.#hold : undefined;
      const allowed = hold === undefined ? chunk.length : hold.byteCount - exchange.sentBytes;
      const passed = chunk.subarray(0, Math.max(0, allowed));
      exchange.sentBytes += passed.length;
      if (!onward.write(passed)) await Promise.race([once(onward, "drain"), once(onward, "close")]);
      if (hold !== undefined && passed.length < chunk.length) {
        hold.reached();
        // Held: whoever holds it ends one of the two sides.
        await once(onward, "close");
        return;
      }
    }
    onward.end();
  }
}

interface Hold {
  readonly byteCount: number;
  readonly reached: () => void;
}

type MutableExchange = { -readonly [Key in keyof Exchange]: Exchange[Key] };

function passAnswer(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  exchange: MutableExchange,
): void {
  exchange.status = answer.statusCode;
  outgoing.writeHead(answer.statusCode ?? 0, answer.statusMessage, answer.rawHeaders);
  answer.on("data", (chunk: Buffer) => {
    exchange.receivedBytes += chunk.length;
  });
  answer.on("aborted", () => outgoing.destroy());
  answer.on("error", () => outgoing.destroy());
  answer.pipe(outgoing);
}
