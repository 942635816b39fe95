/** Content to push: real bytes with real digests, and the documents that refer to them. */
import { createHash } from "node:crypto";
import {
  dockerManifest,
  dockerManifestList,
  ociEmptyJson,
  ociIndex,
  ociManifest,
} from "../../src/oci/media-types.ts";

export type Algorithm = "sha256" | "sha384" | "sha512";

export const algorithms: readonly Algorithm[] = ["sha256", "sha384", "sha512"];

/** Bytes with the name that they are known by. */
export interface Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: string;
  readonly mediaType: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

/** An image manifest with what it is made of. */
export interface Image extends Content {
  readonly blobs: readonly Content[];
}

const layerType = "application/vnd.oci.image.layer.v1.tar";
const configType = "application/vnd.oci.image.config.v1+json";
const dockerLayerType = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const dockerConfigType = "application/vnd.docker.container.image.v1+json";

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** Bytes that look random and are the same each time. */
export function noise(size: number, seed: string): Uint8Array<ArrayBuffer> {
  const hash = createHash("shake128", { outputLength: Math.max(1, size) });
  return new Uint8Array(hash.update(seed).digest()).slice(0, size);
}

export function content(
  source: string | Uint8Array<ArrayBuffer>,
  mediaType: string = layerType,
  algorithm: Algorithm = "sha256",
): Content {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  return { bytes, mediaType, digest: digestOf(bytes, algorithm) };
}

/** A document's bytes, as a client would write them. */
export function json(value: unknown, mediaType: string, algorithm?: Algorithm): Content {
  return content(JSON.stringify(value, undefined, 2), mediaType, algorithm);
}

export function descriptor(item: Content): Descriptor {
  return { mediaType: item.mediaType, digest: item.digest, size: item.bytes.byteLength };
}

export const emptyConfig: Content = content("{}", ociEmptyJson);

export interface ImageParts {
  /** Makes the content differ from that of other images. */
  readonly seed: string;
  readonly docker?: boolean;
  readonly layers?: number;
  readonly config?: Content;
  readonly algorithm?: Algorithm;
  /** Further fields, or others in place of the usual ones. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

export function image(parts: ImageParts): Image {
  const { algorithm, docker = false, seed } = parts;
  const config =
    parts.config ??
    json({ os: "linux", config: { Labels: { seed } } }, docker ? dockerConfigType : configType);
  const layers = Array.from({ length: parts.layers ?? 1 }, (_, index) =>
    content(`layer ${index} of ${seed}`, docker ? dockerLayerType : layerType),
  );
  const mediaType = docker ? dockerManifest : ociManifest;
  const document = {
    schemaVersion: 2,
    mediaType,
    config: descriptor(config),
    layers: layers.map(descriptor),
    ...parts.fields,
  };
  return { ...json(document, mediaType, algorithm), blobs: [config, ...layers] };
}

/** Something that refers to a subject: a signature, an SBOM. */
export function referrer(
  subject: Descriptor,
  parts: ImageParts & { readonly artifactType?: string },
): Image {
  const { artifactType, fields } = parts;
  return image({
    config: emptyConfig,
    layers: 0,
    ...parts,
    fields: { ...(artifactType === undefined ? {} : { artifactType }), subject, ...fields },
  });
}

export interface IndexParts {
  readonly docker?: boolean;
  readonly algorithm?: Algorithm;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export function index(children: readonly Descriptor[], parts: IndexParts = {}): Content {
  const mediaType = parts.docker === true ? dockerManifestList : ociIndex;
  const document = { schemaVersion: 2, mediaType, manifests: children, ...parts.fields };
  return json(document, mediaType, parts.algorithm);
}
