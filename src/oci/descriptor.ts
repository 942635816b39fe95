/**
 * Descriptors: what a manifest says about each thing that it refers to.
 * spec: https://github.com/opencontainers/image-spec/blob/main/descriptor.md
 */
import { parseDigest } from "./digest.ts";
import type { Digest } from "./digest.ts";
import {
  foldedKeys,
  isAbsent,
  isJsonObject,
  manifestInvalid,
  optionalString,
  optionalStringList,
  optionalStringMap,
  refuseLookalikes,
} from "./json.ts";
import type { JsonObject } from "./json.ts";

export interface Platform {
  readonly architecture: string;
  readonly os: string;
}

/** Plain data. Embedded `data` is not kept: the manifest's own bytes have it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  readonly artifactType?: string;
}

/**
 * Characters. A type and a subtype have at most 127 each (RFC 6838 section 4.2); the rest is room
 * for parameters. The bound keeps what is indexed and compared small.
 */
const mediaTypeLengthMax = 1024;

const descriptorKeys = foldedKeys([
  "mediaType",
  "digest",
  "size",
  "urls",
  "annotations",
  "data",
  "platform",
  "artifactType",
]);

// A media type is stored as text and sent in headers: visible ASCII, and spaces between parameters.
const mediaTypePattern = /^[\x21-\x7e][\x20-\x7e]*$/;

/**
 * Throws MANIFEST_INVALID that names the place; `where` is the descriptor's own, such as
 * `layers[3]`.
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isJsonObject(value)) throw manifestInvalid(where, "not a descriptor");
  refuseLookalikes(value, descriptorKeys, where);
  optionalString(value["data"], `${where}.data`);

  const urls = optionalStringList(value["urls"], `${where}.urls`);
  const annotations = optionalStringMap(value["annotations"], `${where}.annotations`);
  const platform = parsePlatform(value["platform"], `${where}.platform`);
  const artifactType = parseMediaType(value["artifactType"], `${where}.artifactType`);
  return {
    mediaType: requireMediaType(value["mediaType"], `${where}.mediaType`),
    digest: requireDigest(value["digest"], `${where}.digest`),
    size: requireSize(value["size"], `${where}.size`),
    ...(urls === undefined ? {} : { urls }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

/**
 * A media type or an artifact type. The empty string is as good as none (spec: listing referrers).
 */
export function parseMediaType(value: unknown, path: string): string | undefined {
  const text = optionalString(value, path);
  if (text === undefined || text === "") return undefined;
  if (text.length > mediaTypeLengthMax || !mediaTypePattern.test(text)) {
    throw manifestInvalid(path, "not a media type");
  }
  return text;
}

function requireMediaType(value: unknown, path: string): string {
  const mediaType = parseMediaType(value, path);
  if (mediaType === undefined) throw manifestInvalid(path, "missing");
  return mediaType;
}

function requireDigest(value: unknown, path: string): Digest {
  const text = optionalString(value, path);
  if (text === undefined) throw manifestInvalid(path, "missing");
  const digest = parseDigest(text);
  if (digest === undefined) throw manifestInvalid(path, "not a sha256, sha384 or sha512 digest");
  return digest;
}

function requireSize(value: unknown, path: string): number {
  if (isAbsent(value)) throw manifestInvalid(path, "missing");
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw manifestInvalid(path, "not a number of bytes");
  }
  // JSON can say -0, which some stores keep apart from 0.
  return value === 0 ? 0 : value;
}

/** Only what a client chooses a platform by; half a platform is none. */
function parsePlatform(value: unknown, path: string): Platform | undefined {
  if (isAbsent(value)) return undefined;
  if (!isJsonObject(value)) throw manifestInvalid(path, "not an object");
  const platform: JsonObject = value;
  const architecture = optionalString(platform["architecture"], `${path}.architecture`);
  const os = optionalString(platform["os"], `${path}.os`);
  if (architecture === undefined || os === undefined) return undefined;
  return { architecture, os };
}
