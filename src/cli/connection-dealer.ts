/** The primary's socket: accepts connections, and gives each to the worker with the fewest. */
import assert from "node:assert/strict";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { ListenAddress } from "../config/config.ts";

/** Who takes connections. */
export interface ConnectionTaker {
  /** Connections that it has, or that are on their way to it. */
  readonly connectionCount: number;
  /** Gives the connection away: it is no longer this process's. */
  take(socket: Socket): void;
}

/**
 * While no worker is ready so many connections wait for one: as many as wait in the kernel when a
 * process is too slow to accept them (Node's default backlog).
 */
const waitingMax = 511;

export class ConnectionDealer {
  readonly #server: Server;
  /** Who was given one longest ago is first. */
  readonly #takers = new Set<ConnectionTaker>();
  readonly #waiting = new Set<Socket>();
  readonly #onError: (error: unknown) => void;
  #isClosed = false;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
    // As `node/serve.ts` has its own: these options stay with a connection that is given away.
    const options = { allowHalfOpen: true, keepAlive: true, noDelay: true, pauseOnConnect: true };
    this.#server = createServer(options, (socket) => {
      socket.on("error", () => undefined);
      this.deal(socket);
    });
  }

  /** Port 0 is any free one; the answer says which. */
  async listen({ host, port }: ListenAddress): Promise<AddressInfo> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", reject);
    this.#server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
    await promise;
    this.#server.off("error", reject);
    // No descriptors left, for one: the connection is lost, and the next may be accepted.
    this.#server.on("error", this.#onError);
    const address = this.#server.address();
    assert(address !== null && typeof address === "object");
    return address;
  }

  add(taker: ConnectionTaker): void {
    this.#takers.add(taker);
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket);
      this.deal(socket);
    }
  }

  remove(taker: ConnectionTaker): void {
    this.#takers.delete(taker);
  }

  /** Gives a connection away, or keeps it until there is somebody to take it. */
  deal(socket: Socket): void {
    const taker = this.#fewest();
    if (taker !== undefined) {
      this.#takers.delete(taker);
      this.#takers.add(taker);
      taker.take(socket);
    } else if (!this.#isClosed && this.#waiting.size < waitingMax) this.#wait(socket);
    else socket.destroy();
  }

  /** Accepts nothing more. Connections that were given away are their workers'. */
  close(): void {
    this.#isClosed = true;
    this.#server.close();
    for (const socket of this.#waiting) socket.destroy();
  }

  #wait(socket: Socket): void {
    this.#waiting.add(socket);
    socket.once("close", () => this.#waiting.delete(socket));
  }

  #fewest(): ConnectionTaker | undefined {
    let best: ConnectionTaker | undefined;
    for (const taker of this.#takers) {
      if (best === undefined || taker.connectionCount < best.connectionCount) best = taker;
    }
    return best;
  }
}
