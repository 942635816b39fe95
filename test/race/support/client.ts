/** A client that speaks the protocol: it neither repeats nor hides what it is answered. */
import assert from "node:assert/strict";
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import { sha256 } from "./random.ts";

export interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
  header(name: string): string | undefined;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** The connection ended before the answer did. */
export class Disconnected extends Error {
  override readonly name = "Disconnected";
}

export const octets = { "Content-Type": "application/octet-stream" };
export const imageType = "application/vnd.oci.image.manifest.v1+json";
const manifestType = { "Content-Type": imageType };

/** No answer on this machine takes so long, ms: then the test says which one hangs. */
const answerLimitMs = 30_000;

/** A request whose body the test sends piece by piece. */
export class OpenRequest {
  readonly answer: Promise<Answer>;
  readonly #request: ClientRequest;

  constructor(request: ClientRequest) {
    this.#request = request;
    this.answer = answerTo(request);
    // It may come while the test looks elsewhere.
    this.answer.catch(() => undefined);
  }

  /** Resolves when the operating system has taken the piece, or nobody will. */
  async send(piece: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const sent = (): void => resolve();
    if (this.#request.closed) return;
    this.#request.once("close", sent);
    this.#request.write(piece, sent);
    await promise;
    this.#request.off("close", sent);
  }

  end(): Promise<Answer> {
    this.#request.end();
    return this.answer;
  }
}

export type PushMethod = "post" | "put" | "patch";
export const pushMethods: readonly PushMethod[] = ["post", "put", "patch"];

export class Client {
  readonly url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.url = url;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Begins a request whose body follows. */
  open(
    method: string,
    target: string,
    headers: Readonly<Record<string, string | number>> = {},
  ): OpenRequest {
    return new OpenRequest(this.#request(method, target, headers));
  }

  async send(method: string, target: string, options: RequestOptions = {}): Promise<Answer> {
    const { body, headers = {} } = options;
    const length = body === undefined ? {} : { "Content-Length": body.byteLength };
    const sent = this.#request(method, target, { ...headers, ...length });
    const answer = answerTo(sent);
    if (body === undefined) sent.end();
    else sent.end(body);
    return await answer;
  }

  get(target: string): Promise<Answer> {
    return this.send("GET", target);
  }

  /** Begins an upload; resolves with its location. */
  async beginUpload(repository: string): Promise<string> {
    const begun = await this.send("POST", `/v2/${repository}/blobs/uploads/`);
    assertStatus(begun, 202);
    return locationOf(begun);
  }

  /** One chunk, at its place. Its answer is whatever it is. */
  async patch(location: string, offset: number, chunk: Uint8Array): Promise<Answer> {
    const span = `${offset}-${offset + chunk.byteLength - 1}`;
    const headers = { ...octets, "Content-Range": span };
    return await this.send("PATCH", location, { headers, body: chunk });
  }

  async finish(location: string, digest: string, body?: Uint8Array): Promise<Answer> {
    const target = withDigest(location, digest);
    if (body === undefined) return await this.send("PUT", target);
    return await this.send("PUT", target, { headers: octets, body });
  }

  /** Pushes a blob. The last answer is whatever it is. */
  async tryPush(repository: string, content: Uint8Array, method: PushMethod): Promise<Answer> {
    const digest = sha256(content);
    if (method === "post") {
      const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
      return await this.send("POST", target, { headers: octets, body: content });
    }
    const location = await this.beginUpload(repository);
    if (method === "put") return await this.finish(location, digest, content);
    const patched = await this.send("PATCH", location, { headers: octets, body: content });
    assertStatus(patched, 202);
    return await this.finish(locationOf(patched), digest);
  }

  /** Pushes a blob, which has to succeed; resolves with its digest. */
  async push(
    repository: string,
    content: Uint8Array,
    method: PushMethod = "post",
  ): Promise<string> {
    assertStatus(await this.tryPush(repository, content, method), 201);
    return sha256(content);
  }

  async putManifest(repository: string, reference: string, manifest: Buffer): Promise<Answer> {
    const target = `/v2/${repository}/manifests/${reference}`;
    return await this.send("PUT", target, { headers: manifestType, body: manifest });
  }

  /** Every tag of the repository; none when it does not exist. */
  async tags(repository: string): Promise<readonly string[]> {
    const listed = await this.get(`/v2/${repository}/tags/list`);
    assert(listed.status === 200 || listed.status === 404, describe(listed));
    if (listed.status === 404) return [];
    const { tags } = JSON.parse(listed.bytes.toString()) as { readonly tags: readonly string[] };
    return tags;
  }

  #request(
    method: string,
    target: string,
    headers: Readonly<Record<string, string | number>>,
  ): ClientRequest {
    return request(`${this.url}${target}`, { agent: this.#agent, method, headers });
  }
}

export function assertStatus(answer: Answer, ...expected: readonly number[]): void {
  assert(
    expected.includes(answer.status),
    `${expected.join(" or ")} expected: ${describe(answer)}`,
  );
}

/** An answer in a message. */
export function describe({ bytes, status }: Answer): string {
  return `${status} ${bytes.subarray(0, 300).toString()}`;
}

/** Where to go on, without the host: after a restart it is another one. */
export function locationOf(answer: Answer): string {
  const location = answer.header("location");
  assert(location !== undefined, `a location is missing: ${describe(answer)}`);
  const { pathname, search } = new URL(location, "http://registry.invalid");
  return `${pathname}${search}`;
}

/** How many bytes an upload has. One byte looks as none does, so no test sends just one. */
export function offsetOf(answer: Answer): number {
  const last = /^0-(\d+)$/.exec(answer.header("range") ?? "")?.[1];
  assert(last !== undefined, `a range is missing: ${describe(answer)}`);
  return last === "0" ? 0 : Number(last) + 1;
}

export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
}

export function imageManifest(config: Uint8Array, layers: readonly Uint8Array[]): Buffer {
  const descriptor = (mediaType: string, content: Uint8Array) => ({
    mediaType,
    digest: sha256(content),
    size: content.byteLength,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: imageType,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar", layer)),
  };
  return Buffer.from(JSON.stringify(manifest));
}

/** The digests of everything that an image's manifest refers to. */
export function referencesOf(manifest: Buffer): readonly string[] {
  const { config, layers } = JSON.parse(manifest.toString()) as {
    readonly config: { readonly digest: string };
    readonly layers: readonly { readonly digest: string }[];
  };
  return [config.digest, ...layers.map(({ digest }) => digest)];
}

function answerTo(sent: ClientRequest): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const name = `${sent.method} ${sent.path}`;
  const failed = (cause?: unknown): void => reject(new Disconnected(name, { cause }));
  const timer = setTimeout(() => {
    reject(new Error(`${name} was not answered within ${answerLimitMs} ms`));
    sent.destroy();
  }, answerLimitMs);
  sent.on("error", failed);
  sent.on("close", () => {
    clearTimeout(timer);
    failed();
  });
  sent.on("response", (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", failed);
    response.on("end", () => resolve(toAnswer(response, Buffer.concat(chunks))));
  });
  return promise;
}

function toAnswer(response: IncomingMessage, bytes: Buffer): Answer {
  const header = (name: string): string | undefined => {
    const value = response.headers[name];
    return typeof value === "string" ? value : undefined;
  };
  return { status: response.statusCode ?? 0, bytes, header };
}
