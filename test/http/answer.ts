/** An answer as a client has it, and what every answer of the registry has in common. */
import assert from "node:assert/strict";
import { errorCatalogue } from "../../src/oci/errors.ts";

export type HeaderLine = readonly [name: string, value: string];

export class Answer {
  readonly status: number;
  /** As they came; in process, repeated headers have been joined. */
  readonly lines: readonly HeaderLine[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #headers: Headers;

  constructor(status: number, lines: readonly HeaderLine[], bytes: Uint8Array<ArrayBuffer>) {
    this.status = status;
    this.lines = lines;
    this.bytes = bytes;
    this.#headers = new Headers(lines.map(([name, value]): [string, string] => [name, value]));
  }

  header(name: string): string | undefined {
    return this.#headers.get(name) ?? undefined;
  }

  /** A header that has to be there. */
  required(name: string): string {
    const value = this.header(name);
    assert(value !== undefined, `the header ${name} is missing: ${this.toString()}`);
    return value;
  }

  /** The elements of a header that is a list, on however many lines. */
  list(name: string): readonly string[] {
    const value = this.header(name);
    return value === undefined ? [] : value.split(",").map((element) => element.trim());
  }

  text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  toString(): string {
    const lines = this.lines.map(([name, value]) => `${name}: ${value}`);
    const start = new TextDecoder().decode(this.bytes.subarray(0, 1000));
    return [this.status, ...lines, "", start].join("\n");
  }
}

/** Status and headers; a header that is expected to be `undefined` must not be there. */
export function expectAnswer(
  answer: Answer,
  status: number,
  headers: Readonly<Record<string, string | RegExp | undefined>> = {},
): void {
  assert.equal(answer.status, status, answer.toString());
  for (const [name, expected] of Object.entries(headers)) {
    const actual = answer.header(name);
    const message = `${name}: ${actual}, in ${answer.toString()}`;
    if (expected instanceof RegExp) assert.match(actual ?? "", expected, message);
    else assert.equal(actual, expected, message);
  }
}

export interface ErrorEntry {
  readonly code: string;
  readonly message?: string;
  readonly detail?: unknown;
}

/** An error in the protocol's form. spec: error codes. */
export function expectError(answer: Answer, status: number, code: string): ErrorEntry {
  assert.equal(answer.status, status, answer.toString());
  const [first] = errorsOf(answer);
  assert.equal(first?.code, code, answer.toString());
  return first;
}

/** The entries of an envelope, which is checked. */
export function errorsOf(answer: Answer): readonly ErrorEntry[] {
  const type = answer.required("content-type");
  assert.match(type, /^application\/json(?:; charset=utf-8)?$/, answer.toString());
  const body = answer.json() as { readonly errors?: readonly ErrorEntry[] };
  assert.deepEqual(Object.keys(body), ["errors"], answer.toString());
  const { errors = [] } = body;
  assert(errors.length > 0, answer.toString());
  for (const { code, message } of errors) {
    assert(Object.hasOwn(errorCatalogue, code), `${code} is no code of the protocol`);
    assert.equal(typeof message, "string");
  }
  return errors;
}

/** What holds for whatever was asked. */
export function checkCommon(method: string, answer: Answer): void {
  assert.equal(answer.header("docker-distribution-api-version"), "registry/2.0", answer.toString());
  assert.match(answer.required("x-request-id"), /^[A-Za-z0-9_.:-]{1,64}$/);
  assert.notEqual(answer.header("x-content-type-options"), undefined, answer.toString());
  const length = answer.header("content-length");
  const isBodiless = method === "HEAD" || answer.status === 204 || answer.status === 304;
  if (isBodiless) {
    assert.equal(answer.bytes.byteLength, 0, answer.toString());
    return;
  }
  assert.equal(length, String(answer.bytes.byteLength), answer.toString());
  // A 412 says nothing but its headers: RFC 9110 section 13.
  if (answer.status >= 400 && answer.status !== 412) errorsOf(answer);
}
