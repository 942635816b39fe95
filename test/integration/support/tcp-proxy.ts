/**
 * A wire between a node and what it depends on, which a test can cut, stretch and hold. It listens
 * on a port of its own and knows nothing of what goes through.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { lasting } from "./pauses.ts";

export type Direction = "request" | "response";

interface Wire {
  readonly client: Socket;
  readonly target: Socket;
}

/** Told of every piece before it goes on. What it returns decides when: at once, or later. */
export type Watch = (piece: Buffer, direction: Direction) => Promise<void> | undefined;

export class TcpProxy {
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #wires = new Set<Wire>();
  /** Pieces wait for this before they go on. */
  #gate: PromiseWithResolvers<void> | undefined;
  #delayMs = 0;
  #bytesLeft = Number.POSITIVE_INFINITY;
  #isRefusing = false;
  #watch: Watch | undefined;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** In front of a server on this machine. */
  static async start(endpoint: string): Promise<TcpProxy> {
    const { port } = new URL(endpoint);
    const proxy = new TcpProxy(Number(port));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The endpoint as it is reached through here. */
  through(endpoint: string): string {
    const url = new URL(endpoint);
    url.port = String(this.port);
    return url.href;
  }

  get connections(): number {
    return this.#wires.size;
  }

  /** Ends every connection at once, as a lost route or a restarted balancer does. */
  cut(): void {
    for (const { client, target } of this.#wires) {
      client.resetAndDestroy();
      target.resetAndDestroy();
    }
  }

  /** From now on connections are accepted and ended; those that stand go on. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
  }

  /** Nothing goes on in either direction, and nobody is told, until `release`. */
  hold(): void {
    this.#gate ??= Promise.withResolvers<void>();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  /** Each piece takes so much longer, ms. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** After so many more bytes of answers every connection is cut, amid whatever it was at. */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  watch(watch: Watch | undefined): void {
    this.#watch = watch;
  }

  /** As if nothing had ever been asked of it. */
  heal(): void {
    this.#delayMs = 0;
    this.#bytesLeft = Number.POSITIVE_INFINITY;
    this.#isRefusing = false;
    this.#watch = undefined;
    this.release();
  }

  async close(): Promise<void> {
    this.heal();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.on("error", () => undefined);
      client.resetAndDestroy();
      return;
    }
    const target = connect({ port: this.#targetPort, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [client, target]) socket.setNoDelay(true);
    const wire = { client, target };
    this.#wires.add(wire);
    const end = (): void => {
      this.#wires.delete(wire);
      client.destroy();
      target.destroy();
    };
    for (const socket of [client, target]) {
      socket.on("error", end);
      socket.on("close", end);
    }
    this.#forward(client, target, "request");
    this.#forward(target, client, "response");
  }

  /** Piece by piece: the next one is read when this one has been written. */
  #forward(from: Socket, to: Socket, direction: Direction): void {
    from.on("data", (piece: Buffer) => {
      from.pause();
      void this.#pass(piece, from, to, direction);
    });
    from.on("end", () => {
      if (this.#gate === undefined) to.end();
      else void this.#gate.promise.then(() => to.end());
    });
  }

  async #pass(piece: Buffer, from: Socket, to: Socket, direction: Direction): Promise<void> {
    const watched = this.#watch?.(piece, direction);
    if (watched !== undefined) await watched;
    if (this.#gate !== undefined) await this.#gate.promise;
    if (this.#delayMs > 0) await lasting(this.#delayMs);
    if (direction === "response") this.#bytesLeft -= piece.byteLength;
    if (this.#bytesLeft < 0) {
      const rest = Math.max(0, piece.byteLength + this.#bytesLeft);
      if (rest > 0) await written(to, piece.subarray(0, rest));
      this.#bytesLeft = Number.POSITIVE_INFINITY;
      this.cut();
      return;
    }
    if (to.destroyed) return;
    await written(to, piece);
    from.resume();
  }
}

/** Also when the socket is gone: then nobody needs the piece. */
function written(to: Socket, piece: Buffer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  to.once("close", resolve);
  to.write(piece, () => {
    to.off("close", resolve);
    resolve();
  });
  return promise;
}
