/** A registry to throw bad input at, with limits that a test can wait for. */
import assert from "node:assert/strict";
import { compose } from "../../src/app.ts";
import { toResponse, type Handle } from "../../src/http/exchange.ts";
import type { Limits } from "../../src/node/limits.ts";
import { serve } from "../../src/node/serve.ts";
import { errorsOf, type Answer } from "../http/answer.ts";
import { carryInProcess, Client } from "../http/client.ts";
import { RawConnection } from "../http/raw-connection.ts";

export interface Target {
  readonly handle: Handle;
  readonly client: Client;
  readonly port: number;
  connect(): Promise<RawConnection>;
  /** Ends it; nothing must have failed behind its answers. */
  close(): Promise<void>;
}

export async function startTarget(limits: Partial<Limits> = {}): Promise<Target> {
  const problems: string[] = [];
  const registry = await compose({
    storage: "memory",
    report: (problem, error) => problems.push(`${problem}: ${String(error)}`),
    observe: ({ error, status, target }) => {
      if (status >= 500) problems.push(`${status} for ${target}: ${String(error)}`);
    },
  });
  const { handle } = registry;
  const served = await serve({
    handle,
    limits,
    host: "127.0.0.1",
    port: 0,
    onError: (error, context) => problems.push(`${context?.target}: ${String(error)}`),
  });
  return {
    handle,
    client: new Client(carryInProcess(async (request) => toResponse(await handle(request)))),
    port: served.port,
    connect: () => RawConnection.open(served.port),
    close: async () => {
      await served.close({ drainMs: 0 });
      await registry.close();
      assert.deepEqual(problems, []);
    },
  };
}

/** Bytes of an error answer, at most: it never hands a client's own text back at length. */
const errorBytesMax = 4096;

/** Not our fault, in the protocol's form, and not long. */
export function expectSane(answer: Answer, what: string): void {
  const { status } = answer;
  assert(status >= 200 && status < 500, `${what}: ${answer.toString()}`);
  // The root is alive, and no part of the API.
  if (status === 200 && answer.header("cache-control") === "no-cache") return;
  assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0", what);
  if (status < 400 || status === 412 || answer.bytes.byteLength === 0) return;
  errorsOf(answer);
  assert(answer.bytes.byteLength <= errorBytesMax, `${what}: ${answer.toString()}`);
}

/** Refused, and said so in the protocol's form. */
export function expectRefused(answer: Answer, what: string): void {
  expectSane(answer, what);
  assert(answer.status >= 400, `${what}: ${answer.toString()}`);
}
