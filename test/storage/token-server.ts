/** Exchanges whatever it is shown for a token, as Google's service for machines elsewhere does. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class TokenServer {
  /** Tokens that were given out. */
  count = 0;
  /** Resolves with the first request. */
  readonly asked: Promise<void>;
  readonly #server: Server;

  /** Without a token it never answers. */
  constructor(token: string | undefined) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.asked = promise;
    this.#server = createServer((request, response) => {
      request.resume();
      resolve();
      if (token === undefined) return;
      this.count += 1;
      const answer = {
        access_token: token,
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
        token_type: "Bearer",
        expires_in: 3600,
      };
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(answer));
    });
  }

  /** Resolves with the URL to ask at. */
  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
