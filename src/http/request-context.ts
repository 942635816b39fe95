/**
 * One request on its way through a handler: what it asks for, parsed, and the URLs that an answer
 * may name.
 */
import { looksLikeDigest, parseDigest, type Digest } from "../oci/digest.ts";
import { OciError } from "../oci/errors.ts";
import { parseRepositoryName, type RepositoryName } from "../oci/names.ts";
import { parseManifestReference, type ManifestReference } from "../oci/reference.ts";
import type { Registry, Origin } from "../registry/registry.ts";
import type { IncomingRequest } from "./exchange.ts";
import type { MatchedRoute } from "./route-table.ts";
import type { HttpSettings } from "./settings.ts";
import { baseUrl } from "./urls.ts";

export class RequestContext {
  readonly id: string;
  readonly request: IncomingRequest;
  readonly registry: Registry;
  readonly settings: HttpSettings;
  readonly route: MatchedRoute;
  readonly #query: string;
  #parameters: URLSearchParams | undefined;

  constructor(parts: {
    readonly id: string;
    readonly request: IncomingRequest;
    readonly registry: Registry;
    readonly settings: HttpSettings;
    readonly route: MatchedRoute;
    readonly query: string;
  }) {
    this.id = parts.id;
    this.request = parts.request;
    this.registry = parts.registry;
    this.settings = parts.settings;
    this.route = parts.route;
    this.#query = parts.query;
  }

  get method(): string {
    return this.request.method;
  }

  get query(): URLSearchParams {
    this.#parameters ??= new URLSearchParams(this.#query);
    return this.#parameters;
  }

  header(name: string): string | undefined {
    return this.request.headers.get(name) ?? undefined;
  }

  repository(): RepositoryName {
    const name = parseRepositoryName(this.route.name);
    if (name !== undefined) return name;
    throw new OciError("NAME_INVALID", { detail: { name: shorten(this.route.name) } });
  }

  /** The digest at the end of the path. */
  digest(): Digest {
    return readDigest(this.route.last);
  }

  /**
   * The tag or digest at the end of the path. What can be no tag is an error where it would become
   * one; otherwise nothing is there under it, a 404 (spec: end-3), as released conformance suites
   * and Distribution have it.
   */
  reference(): ManifestReference {
    const { last } = this.route;
    const reference = parseManifestReference(last);
    if (reference !== undefined) return reference;
    if (looksLikeDigest(last)) throw digestInvalid(last);
    if (this.method !== "PUT") {
      throw new OciError("MANIFEST_UNKNOWN", { detail: { tag: shorten(last) } });
    }
    throw new OciError("TAG_INVALID", {
      message: "a tag has at most 128 characters: letters, digits, and, not as the first, . _ -",
      detail: { tag: shorten(last) },
    });
  }

  /**
   * Who asks, as far as the proxies in front of us say. Good enough to choose a server by, not to
   * let somebody in.
   */
  clientAddress(): string | undefined {
    const first = this.header("x-forwarded-for")?.split(",", 1)[0]?.trim();
    const named = [first, this.header("x-real-ip")?.trim()];
    return named.find(looksLikeAddress) ?? this.request.remoteAddress;
  }

  /** Where a change comes from, for the change log. */
  origin(): Origin {
    const { request } = this;
    return {
      cause: "client",
      request: {
        id: this.id,
        addr: request.remoteAddress ?? "",
        host: shorten(this.header("host") ?? ""),
        method: request.method,
        useragent: shorten(this.header("user-agent") ?? ""),
      },
    };
  }

  /** The URL of something below `/v2/`, absolute unless the settings say otherwise. */
  url(path: string): string {
    return `${baseUrl(this.request, this.settings)}/v2/${path}`;
  }

  blobUrl(repository: RepositoryName, digest: Digest): string {
    return this.url(`${repository}/blobs/${digest}`);
  }

  manifestUrl(repository: RepositoryName, digest: Digest): string {
    return this.url(`${repository}/manifests/${digest}`);
  }

  /**
   * Where an upload goes on. Many scripts append `&digest=` to what they were given, so there is
   * always a query; it says where the upload stood, so that a request that was sent twice is not
   * appended twice.
   */
  uploadUrl(upload: { readonly id: string; readonly offset: number }): string {
    return this.url(`${this.route.name}/blobs/uploads/${upload.id}?_state=${upload.offset}`);
  }
}

export function readDigest(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw digestInvalid(text);
  return digest;
}

function looksLikeAddress(text: string | undefined): boolean {
  return text !== undefined && /^[0-9a-f:.]{2,45}$/i.test(text);
}

function digestInvalid(text: string): OciError {
  return new OciError("DIGEST_INVALID", {
    message: "not a digest: sha256, sha384 or sha512, a colon, and lower-case hex",
    detail: { digest: shorten(text) },
  });
}

/** A client's own text, in an answer or a row: as much as helps. */
function shorten(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
