/** Manifests for the cases of the contract suite, made as a client makes them. */
import { createHash } from "node:crypto";
import { digestOf, type Digest, type DigestAlgorithm } from "../oci/digest.ts";
import { parseManifest, type Manifest } from "../oci/manifest.ts";
import { ociIndex, ociManifest } from "../oci/media-types.ts";

export const configType = "application/vnd.oci.image.config.v1+json";
export const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";

/** Something that a descriptor can describe. */
export interface Content {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** A manifest and its bytes. */
export interface ManifestDocument extends Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
  readonly mediaType: string;
}

/** What images and indexes have in common. */
interface CommonParts {
  readonly subject?: Content;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Makes two documents differ that are alike otherwise. */
  readonly note?: string;
  /** By what the document is named. */
  readonly algorithm?: DigestAlgorithm;
}

export interface ImageParts extends CommonParts {
  readonly config: Content;
  readonly configType?: string;
  readonly layers?: readonly Content[];
}

export interface IndexParts extends CommonParts {
  readonly children?: readonly Content[];
}

export function digestOfBytes(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest("hex"));
}

export function imageDocument(parts: ImageParts): ManifestDocument {
  return toDocument(ociManifest, parts, {
    config: descriptor(parts.config, parts.configType ?? configType),
    layers: (parts.layers ?? []).map((layer) => descriptor(layer, layerType)),
  });
}

export function indexDocument(parts: IndexParts): ManifestDocument {
  const manifests = (parts.children ?? []).map((child) => descriptor(child, ociManifest));
  return toDocument(ociIndex, parts, { manifests });
}

function descriptor({ digest, size }: Content, mediaType: string): object {
  return { mediaType, digest, size };
}

function toDocument(mediaType: string, parts: CommonParts, references: object): ManifestDocument {
  const { annotations, artifactType, note, subject } = parts;
  const json = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    artifactType,
    ...references,
    subject: subject && descriptor(subject, ociManifest),
    annotations,
    note,
  });
  const bytes = new TextEncoder().encode(json);
  const digest = digestOfBytes(bytes, parts.algorithm);
  const manifest = parseManifest(bytes, mediaType);
  return { bytes, digest, manifest, mediaType, size: bytes.byteLength };
}
