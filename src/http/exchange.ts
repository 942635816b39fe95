/**
 * What crosses the border between the app and whatever carries HTTP: a request as the app reads it,
 * and an answer.
 *
 * A standard `Request` is an `IncomingRequest`; `toResponse` makes a standard `Response` of an
 * answer. `node/` skips both, since building them costs more than the rest of a manifest's GET
 * (measured: 25 us for `new Response(bytes, { headers })`).
 */

/** The part of a standard `Request` that the app relies on. */
export interface IncomingRequest {
  readonly method: string;
  /** Absolute: scheme, host as the client named it, path and query as they were sent. */
  readonly url: string;
  readonly headers: { get(name: string): string | null; has(name: string): boolean };
  readonly body: ReadableStream<Uint8Array> | null;
  /** Aborts when the client has gone away. */
  readonly signal: AbortSignal;
  /** The peer's address without port, where the carrier knows it. */
  readonly remoteAddress?: string;
}

export type AnswerBody =
  | Uint8Array<ArrayBuffer>
  | string
  | ReadableStream<Uint8Array<ArrayBuffer>>
  | null;

/** An answer: repeated headers are separate entries, and stay separate lines. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: AnswerBody;
}

/** The app: never rejects, for any request. */
export type Handle = (request: IncomingRequest) => Promise<Answer>;

export function toResponse(answer: Answer): Response {
  const headers = new Headers();
  for (const [name, value] of answer.headers) headers.append(name, value);
  return new Response(answer.body, { status: answer.status, headers });
}
