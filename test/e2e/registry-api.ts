/** Plain requests to the registry's API, where a story needs what no client of Debian does. */
import assert from "node:assert/strict";
import { digestOf, hashStream, type Hashed } from "./digests.ts";
import { mediaTypes, type Descriptor, type Manifest } from "./layout.ts";

export interface FetchedManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
}

const acceptedManifests = [
  ...[mediaTypes.manifest, mediaTypes.index, mediaTypes.dockerManifest, mediaTypes.dockerList],
].join(", ");

export class RegistryApi {
  readonly #url: string;

  constructor(server: { readonly url: string }) {
    this.#url = server.url;
  }

  async request(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.#url), { ...init, method, redirect: "error" });
  }

  async status(method: string, path: string, init: RequestInit = {}): Promise<number> {
    const answer = await this.request(method, path, init);
    await answer.arrayBuffer();
    return answer.status;
  }

  async json(path: string): Promise<unknown> {
    const answer = await this.request("GET", path);
    assert.equal(answer.status, 200, `GET ${path}`);
    return answer.json();
  }

  async manifest(repository: string, reference: string): Promise<FetchedManifest> {
    const answer = await this.request("GET", `/v2/${repository}/manifests/${reference}`, {
      headers: { accept: acceptedManifests },
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.equal(answer.status, 200, `${repository} ${reference}: ${bytes.toString()}`);
    const digest = digestOf(bytes);
    assert.equal(answer.headers.get("docker-content-digest"), digest);
    const mediaType = answer.headers.get("content-type") ?? "";
    return { digest, mediaType, bytes, manifest: JSON.parse(bytes.toString()) as Manifest };
  }

  async manifestStatus(repository: string, reference: string): Promise<number> {
    return this.status("GET", `/v2/${repository}/manifests/${reference}`, {
      headers: { accept: acceptedManifests },
    });
  }

  /** Reads a blob and hashes what came. */
  async blob(repository: string, digest: string): Promise<Hashed> {
    const answer = await this.request("GET", `/v2/${repository}/blobs/${digest}`);
    assert.equal(answer.status, 200, `GET of blob ${digest} in ${repository}`);
    assert(answer.body !== null);
    return hashStream(answer.body);
  }

  /**
   * Reads the image or index and all below it, checks each digest and size, and returns the
   * descriptors in the order in which the manifests name them.
   */
  async readWhole(repository: string, reference: string): Promise<readonly Descriptor[]> {
    const { manifest } = await this.manifest(repository, reference);
    const found: Descriptor[] = [];
    for (const child of manifest.manifests ?? []) {
      found.push(child, ...(await this.readWhole(repository, child.digest)));
    }
    for (const blob of [manifest.config ?? [], manifest.layers ?? []].flat()) {
      const { digest, size } = blob;
      assert.deepEqual(await this.blob(repository, digest), { digest, size });
      found.push(blob);
    }
    return found;
  }

  async pushBlob(repository: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const digest = digestOf(bytes);
    const upload = await this.startUpload(repository);
    const status = await this.status("PUT", withQuery(upload, "digest", digest), { body: bytes });
    assert.equal(status, 201);
    return digest;
  }

  /** Returns where the upload goes on. */
  async startUpload(repository: string): Promise<string> {
    const answer = await this.request("POST", `/v2/${repository}/blobs/uploads/`);
    await answer.arrayBuffer();
    assert.equal(answer.status, 202);
    return locationOf(answer);
  }

  async pushManifest(
    repository: string,
    reference: string,
    manifest: object | Uint8Array<ArrayBuffer>,
    mediaType: string = mediaTypes.manifest,
  ): Promise<Response> {
    const body = manifest instanceof Uint8Array ? manifest : JSON.stringify(manifest);
    const answer = await this.request("PUT", `/v2/${repository}/manifests/${reference}`, {
      body,
      headers: { "content-type": mediaType },
    });
    const said = await answer.text();
    assert.equal(answer.status, 201, `PUT of ${reference} in ${repository}: ${said}`);
    return answer;
  }

  async tags(repository: string, query = ""): Promise<readonly string[]> {
    const list = (await this.json(`/v2/${repository}/tags/list${query}`)) as {
      readonly tags: readonly string[];
    };
    return list.tags;
  }
}

export function locationOf(answer: Response): string {
  const location = answer.headers.get("location");
  assert(location !== null, "an answer with a Location");
  return new URL(location, answer.url).href;
}

export function withQuery(url: string, name: string, value: string): string {
  const changed = new URL(url);
  changed.searchParams.set(name, value);
  return changed.href;
}
