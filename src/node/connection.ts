import type { Socket } from "node:net";
import type { OciError } from "../oci/errors.ts";
import type { Limits } from "./limits.ts";
import { isValidHost } from "./raw-target.ts";
import { malformed, rawRefusal } from "./refusal.ts";

/** A request on this connection whose answer is not with the operating system yet. */
export interface InFlightRequest {
  readonly response: { readonly headersSent: boolean };
  /** Whether it is the client whom the request waits for. */
  readonly waitsForClient: boolean;
  isTimedOut: boolean;
  /** Ends the body with an error; false when nobody reads it any more. */
  failBody(error: OciError): boolean;
  abort(): void;
}

/** One client's connection: what is in flight on it, and how it ends. */

export class Connection {
  readonly socket: Socket;
  readonly remoteAddress: string | undefined;
  readonly #limits: Limits;
  readonly #inFlight: InFlightRequest[] = [];
  #isLast = false;
  #isFailed = false;
  #failure: OciError | undefined;
  #bytesReadAtFailure = 0;
  #timer: NodeJS.Timeout | undefined;
  #checkedHost: string | undefined;

  constructor(socket: Socket, limits: Limits) {
    this.socket = socket;
    this.#limits = limits;
    // IPv4 clients of a dual-stack listener.
    this.remoteAddress = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "");
    socket.on("end", () => this.#halfClosed());
    socket.on("close", () => clearTimeout(this.#timer));
  }

  /** Whether the answer to `request` is the last thing sent here, and says so. */
  endsWith(request: InFlightRequest): boolean {
    return this.#isLast && this.#failure === undefined && this.#inFlight.at(-1) === request;
  }

  get inFlightCount(): number {
    return this.#inFlight.length;
  }

  begin(request: InFlightRequest): void {
    this.#inFlight.push(request);
  }

  /** The answer to `request` is with the operating system, or the client is gone. */
  finished(request: InFlightRequest): void {
    const index = this.#inFlight.indexOf(request);
    if (index !== -1) this.#inFlight.splice(index, 1);
    if (this.#inFlight.length > 0 || this.socket.destroyed) return;
    if (this.#failure !== undefined) this.#refuse(this.#failure);
    else if (this.#isLast) this.socket.destroySoon();
  }

  /** No request after those that are in flight; without any the connection ends now. */
  drain(): void {
    this.#isLast = true;
    // What has sent bytes since has a request on the way, which will get its answer.
    if (this.#inFlight.length === 0 && this.socket.bytesRead === 0) this.socket.destroy();
  }

  /**
   * The answer in flight is the last. The socket then stays open for a moment, since closing it
   * while the client still sends would be a reset, which can take the answer away from under the
   * client's eyes.
   */
  endLingering(): void {
    this.#isLast = true;
    // This is what `node:http` calls after a last answer.
    this.socket.destroySoon = () => this.#linger();
  }

  /** The rest of a small refused body must come soon. */
  expectSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.socket.destroy(), this.#limits.lingerMs);
  }

  cameInTime(): void {
    if (!this.#isLast) clearTimeout(this.#timer);
  }

  /** A host that was good is not checked again for each request. */
  isKnownHost(host: string): boolean {
    if (host === this.#checkedHost) return true;
    if (!isValidHost(host)) return false;
    this.#checkedHost = host;
    return true;
  }

  /**
   * Node's parser gave up on the connection. What is in flight gets its answer, then the refusal is
   * sent. False if it had given up before.
   */
  fail(refusal: OciError): boolean {
    if (this.#isFailed) {
      // The parser fails again for all that comes: this is how a failed connection is drained.
      const droppedBytes = this.socket.bytesRead - this.#bytesReadAtFailure;
      if (droppedBytes > this.#limits.drainBytesMax) this.socket.pause();
      return false;
    }
    const isOver = this.#isLast && this.#inFlight.length === 0;
    this.#isFailed = true;
    this.#bytesReadAtFailure = this.socket.bytesRead;
    this.endLingering();
    if (isOver) {
      this.#linger();
      return false;
    }
    const last = this.#inFlight.at(-1);
    if (last === undefined) this.#refuse(refusal);
    else if (!last.failBody(refusal)) this.#failure = refusal;
    return true;
  }

  /** No bytes moved for the idle time. */
  timedOut(): void {
    const current = this.#inFlight[0];
    if (current === undefined || current.isTimedOut) {
      this.socket.destroy();
    } else if (!current.waitsForClient) {
      // It is the app that takes its time.
      this.socket.setTimeout(this.#limits.idleTimeoutMs);
    } else if (current.response.headersSent) {
      this.socket.destroy();
    } else {
      current.isTimedOut = true;
      this.endLingering();
      current.failBody(malformed("the request's body did not arrive in time", 408));
      this.socket.setTimeout(this.#limits.idleTimeoutMs);
    }
  }

  #refuse(refusal: OciError): void {
    this.#failure = undefined;
    if (!this.socket.writable) {
      this.socket.destroy();
      return;
    }
    this.socket.write(rawRefusal(refusal));
    this.#linger();
  }

  #linger(): void {
    if (this.socket.destroyed) return;
    this.socket.end();
    this.expectSoon();
  }

  #halfClosed(): void {
    if (this.#inFlight.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      for (const request of this.#inFlight) if (!request.response.headersSent) request.abort();
    }, this.#limits.halfCloseGraceMs);
  }
}
