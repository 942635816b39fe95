/**
 * Manifests: what the registry reads of them before it stores their bytes unchanged.
 * spec: https://github.com/opencontainers/image-spec/blob/main/manifest.md and image-index.md
 */
import { parseDescriptor, parseMediaType } from "./descriptor.ts";
import type { Descriptor } from "./descriptor.ts";
import { OciError } from "./errors.ts";
import {
  foldedKeys,
  isAbsent,
  manifestInvalid,
  optionalString,
  optionalStringMap,
  parseJsonObject,
  refuseLookalikes,
} from "./json.ts";
import type { JsonObject } from "./json.ts";
import {
  baseMediaType,
  dockerManifestList,
  dockerManifestSchema1,
  dockerManifestSchema1Signed,
  isManifestMediaType,
  manifestMediaTypes,
  ociIndex,
  ociManifest,
} from "./media-types.ts";
import type { ManifestMediaType } from "./media-types.ts";

export interface Reference {
  readonly kind: "config" | "layer" | "manifest";
  readonly descriptor: Descriptor;
}

/** What a manifest means. Plain data: it crosses threads. */
export interface Manifest {
  readonly mediaType: string;
  readonly kind: "image" | "index";
  readonly artifactType: string | undefined;
  /** What stands in for a missing artifactType in a list of referrers; images only. */
  readonly configMediaType: string | undefined;
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** In the manifest's order, an image's config first. The subject is not among them. */
  readonly references: readonly Reference[];
}

/**
 * Bytes. The spec wants at least 4 megabytes accepted (spec: pushing manifests); so much
 * Distribution accepts.
 */
export const manifestBytesMax: number = 4 * 1024 * 1024;

/**
 * References of one manifest. Each becomes a row, locked and checked in one transaction. The
 * largest real indexes have some hundreds, and no image has more than 127 layers on overlayfs.
 */
export const manifestReferencesMax = 10_000;

const manifestKeys = foldedKeys([
  "schemaVersion",
  "mediaType",
  "artifactType",
  "config",
  "layers",
  "manifests",
  "subject",
  "annotations",
]);

/**
 * Throws MANIFEST_INVALID (413 for one that is too large); `contentType` is the header as it was
 * sent.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (bytes.byteLength > manifestBytesMax) throw tooLarge(bytes.byteLength);
  const declared = declaredMediaType(contentType);
  const document = parseJsonObject(bytes);
  refuseLookalikes(document, manifestKeys, "");
  const mediaType = agreedMediaType(document, declared);
  checkSchemaVersion(document);
  return isIndexType(mediaType) ? readIndex(document, mediaType) : readImage(document, mediaType);
}

function readImage(document: JsonObject, mediaType: ManifestMediaType): Manifest {
  refuseField(document, "manifests", mediaType);
  if (isAbsent(document["config"])) throw manifestInvalid("config", "missing");
  const config = parseDescriptor(document["config"], "config");
  // Go writes a list that was never made as null, and Distribution takes none for an empty one.
  const layers = isAbsent(document["layers"]) ? [] : document["layers"];
  return {
    mediaType,
    kind: "image",
    configMediaType: config.mediaType,
    ...readOciFields(document, mediaType),
    references: [
      { kind: "config", descriptor: config },
      ...readReferences(layers, { kind: "layer", path: "layers", max: manifestReferencesMax - 1 }),
    ],
  };
}

function readIndex(document: JsonObject, mediaType: ManifestMediaType): Manifest {
  refuseField(document, "config", mediaType);
  refuseField(document, "layers", mediaType);
  return {
    mediaType,
    kind: "index",
    configMediaType: undefined,
    ...readOciFields(document, mediaType),
    references: readReferences(document["manifests"], {
      kind: "manifest",
      path: "manifests",
      max: manifestReferencesMax,
    }),
  };
}

/**
 * Docker's types have none of these fields, so nothing that stands there under their names means
 * anything.
 */
function readOciFields(
  document: JsonObject,
  mediaType: ManifestMediaType,
): Pick<Manifest, "artifactType" | "subject" | "annotations"> {
  if (mediaType !== ociManifest && mediaType !== ociIndex) {
    return { artifactType: undefined, subject: undefined, annotations: undefined };
  }
  const subject = document["subject"];
  return {
    artifactType: parseMediaType(document["artifactType"], "artifactType"),
    subject: isAbsent(subject) ? undefined : parseDescriptor(subject, "subject"),
    annotations: optionalStringMap(document["annotations"], "annotations"),
  };
}

function readReferences(
  value: unknown,
  list: { readonly kind: Reference["kind"]; readonly path: string; readonly max: number },
): readonly Reference[] {
  if (!Array.isArray(value)) throw manifestInvalid(list.path, "not an array");
  if (value.length > list.max) {
    throw manifestInvalid(list.path, `more than ${list.max} entries`);
  }
  return value.map((entry: unknown, index) => ({
    kind: list.kind,
    descriptor: parseDescriptor(entry, `${list.path}[${index}]`),
  }));
}

/** Parameters are ignored (spec: pushing manifests). */
function declaredMediaType(contentType: string | undefined): ManifestMediaType | undefined {
  const declared = baseMediaType(contentType ?? "");
  return declared === "" ? undefined : supported(declared, "Content-Type");
}

/**
 * What the header says; without it what the document says; without that what it looks like. Header
 * and document must agree: else one puller would read an image where another reads an index.
 */
function agreedMediaType(
  document: JsonObject,
  declared: ManifestMediaType | undefined,
): ManifestMediaType {
  const written = optionalString(document["mediaType"], "mediaType") ?? "";
  if (written === "") return impliedMediaType(document, declared);
  const mediaType = supported(written, "mediaType");
  if (declared !== undefined && declared !== mediaType) {
    throw manifestInvalid("mediaType", `${mediaType} was sent with Content-Type ${declared}`);
  }
  return mediaType;
}

function impliedMediaType(
  document: JsonObject,
  declared: ManifestMediaType | undefined,
): ManifestMediaType {
  if (declared === undefined) return Array.isArray(document["manifests"]) ? ociIndex : ociManifest;
  if (declared === ociManifest || declared === ociIndex) return declared;
  throw manifestInvalid("mediaType", `missing, and required in a ${declared}`);
}

function supported(mediaType: string, where: string): ManifestMediaType {
  if (isManifestMediaType(mediaType)) return mediaType;
  if (mediaType === dockerManifestSchema1 || mediaType === dockerManifestSchema1Signed) {
    throw schema1Unsupported();
  }
  // Quoted and cut: it is the client's own text, and of any length.
  const shown = JSON.stringify(mediaType.slice(0, 100));
  const accepted = manifestMediaTypes.join(", ");
  throw new OciError("MANIFEST_INVALID", {
    message: `manifest invalid: ${where} ${shown} is not supported; accepted are ${accepted}`,
    detail: { path: where, accepted: manifestMediaTypes },
  });
}

function checkSchemaVersion(document: JsonObject): void {
  const version = document["schemaVersion"];
  if (version === 1) throw schema1Unsupported();
  if (version !== 2) {
    throw manifestInvalid("schemaVersion", isAbsent(version) ? "missing" : "not 2");
  }
}

/**
 * Guards against documents that are an image to one reader and an index to another
 * (CVE-2021-41190).
 */
function refuseField(document: JsonObject, field: string, mediaType: ManifestMediaType): void {
  if (isAbsent(document[field])) return;
  throw manifestInvalid(field, `does not belong in a ${mediaType}`);
}

function isIndexType(mediaType: ManifestMediaType): boolean {
  return mediaType === ociIndex || mediaType === dockerManifestList;
}

function schema1Unsupported(): OciError {
  return new OciError("MANIFEST_INVALID", {
    message: "manifest invalid: Docker schema 1 is not supported; push it as schema 2 or OCI",
    detail: { accepted: manifestMediaTypes },
  });
}

function tooLarge(size: number): OciError {
  return new OciError("MANIFEST_INVALID", {
    message: `manifest invalid: ${size} bytes, where ${manifestBytesMax} is the limit`,
    status: 413,
    detail: { size, max: manifestBytesMax },
  });
}
