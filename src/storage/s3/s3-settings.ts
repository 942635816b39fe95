/** The options of the S3 adapter, checked and with their defaults. */
import type { S3LogLevel, S3Options } from "./s3-options.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

/** S3's own limits of a part. The largest one leaves room for a tail that joins it. */
const partBytesMin = 5 * mebibyte;
const partBytesMax = 5 * gibibyte;

const chunkBytesByDefault = 10 * mebibyte;
const copyBytesByDefault = 32 * mebibyte;
const copiesByDefault = 100;

const storageClasses: readonly string[] = [
  "NONE",
  "STANDARD",
  "REDUCED_REDUNDANCY",
  "STANDARD_IA",
  "ONEZONE_IA",
  "INTELLIGENT_TIERING",
  "OUTPOSTS",
  "GLACIER_IR",
  "EXPRESS_ONEZONE",
];

const acls: readonly string[] = [
  "private",
  "public-read",
  "public-read-write",
  "aws-exec-read",
  "authenticated-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
];

/** `eu-central-1`, `us-gov-west-1`, `us-iso-east-1`: new ones come every year. */
const regionPattern = /^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$/;
/** What requests are signed for where there is an endpoint and no region. */
const regionByDefault = "us-east-1";

export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: URL | undefined;
  readonly redirectEndpoint: URL | undefined;
  readonly forcePathStyle: boolean;
  readonly credentials: S3Keys | undefined;
  /** Whether requests go over TLS. */
  readonly tls: boolean;
  readonly skipVerify: boolean;
  /** What each object that is made is given. */
  readonly object: S3ObjectSettings;
  readonly partBytes: number;
  readonly partBytesMin: number;
  readonly copies: S3CopySettings;
  readonly userAgent: string | undefined;
  readonly useDualStack: boolean;
  readonly accelerate: boolean;
  readonly useFipsEndpoint: boolean;
  readonly logLevel: S3LogLevel;
}

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3ObjectSettings {
  readonly encryption: "AES256" | "aws:kms" | undefined;
  readonly keyId: string | undefined;
  readonly storageClass: string | undefined;
  readonly acl: string | undefined;
}

export interface S3CopySettings {
  readonly partBytes: number;
  readonly wholeBytesMax: number;
  readonly concurrency: number;
}

/** Throws an Error that names the parameter, as the configuration does. */
export function s3Settings(options: S3Options): S3Settings {
  const { accelerate = false, forcePathStyle = false, secure = true } = options;
  if (options.bucket === "") throw wrong("bucket", "is missing");
  if (options.v4Auth === false) {
    throw wrong("v4auth", "can only be true: no S3 in use needs the older signatures");
  }
  if (accelerate && forcePathStyle) {
    throw wrong("accelerate", "needs the bucket in the host's name, not forcepathstyle");
  }
  const endpoint = endpointOf("regionendpoint", options.endpoint, secure);
  const copyBytes = bytesOf("multipartcopychunksize", options.copyChunkSize, copyBytesByDefault);
  return {
    bucket: options.bucket,
    region: regionOf(options.region, endpoint),
    endpoint,
    redirectEndpoint: endpointOf("redirectendpoint", options.redirectEndpoint, secure),
    forcePathStyle,
    credentials: keysOf(options),
    tls: endpoint === undefined ? secure : endpoint.protocol === "https:",
    skipVerify: options.skipVerify ?? false,
    object: objectOf(options),
    partBytes: bytesOf("chunksize", options.chunkSize, chunkBytesByDefault),
    partBytesMin,
    copies: {
      partBytes: copyBytes,
      wholeBytesMax: thresholdOf(options.copyThreshold),
      concurrency: concurrencyOf(options.copyConcurrency),
    },
    userAgent: options.userAgent === "" ? undefined : options.userAgent,
    useDualStack: options.useDualStack ?? false,
    accelerate,
    useFipsEndpoint: options.useFipsEndpoint ?? false,
    logLevel: options.logLevel ?? "off",
  };
}

function endpointOf(name: string, text: string | undefined, secure: boolean): URL | undefined {
  if (text === undefined || text === "") return undefined;
  const url = text.includes("://") ? text : `${secure ? "https" : "http"}://${text}`;
  if (!URL.canParse(url)) throw wrong(name, "is neither a URL nor a host");
  const parsed = new URL(url);
  if (/^https?:$/.test(parsed.protocol)) return parsed;
  throw wrong(name, "has to be a URL with http or https");
}

function regionOf(region: string | undefined, endpoint: URL | undefined): string {
  if (endpoint !== undefined)
    return region === undefined || region === "" ? regionByDefault : region;
  if (region === undefined || region === "") throw wrong("region", "is missing");
  if (regionPattern.test(region)) return region;
  throw wrong("region", `${JSON.stringify(region)} is none of AWS's; others need a regionendpoint`);
}

function keysOf({
  accessKey = "",
  secretKey = "",
  sessionToken = "",
}: S3Options): S3Keys | undefined {
  if (accessKey === "" && secretKey === "") return undefined;
  if (accessKey === "") throw wrong("accesskey", "is missing, while there is a secretkey");
  if (secretKey === "") throw wrong("secretkey", "is missing, while there is an accesskey");
  const keys = { accessKeyId: accessKey, secretAccessKey: secretKey };
  return sessionToken === "" ? keys : { ...keys, sessionToken };
}

function objectOf(options: S3Options): S3ObjectSettings {
  const { encrypt = false, keyId = "" } = options;
  const storageClass = options.storageClass ?? "";
  const acl = options.objectAcl ?? "";
  if (storageClass !== "" && !storageClasses.includes(storageClass)) {
    throw wrong("storageclass", `has to be one of ${storageClasses.join(", ")}`);
  }
  if (acl !== "" && !acls.includes(acl)) {
    throw wrong("objectacl", `has to be one of ${acls.join(", ")}`);
  }
  if (keyId !== "" && !encrypt) throw wrong("keyid", "has no use without encrypt");
  const encryption = keyId === "" ? "AES256" : "aws:kms";
  return {
    encryption: encrypt ? encryption : undefined,
    keyId: keyId === "" ? undefined : keyId,
    storageClass: storageClass === "" || storageClass === "NONE" ? undefined : storageClass,
    // What S3 does when it is told nothing. Buckets that have no ACLs refuse to be told.
    acl: acl === "" || acl === "private" ? undefined : acl,
  };
}

function bytesOf(name: string, bytes: number | undefined, byDefault: number): number {
  if (bytes === undefined) return byDefault;
  if (Number.isSafeInteger(bytes) && bytes >= partBytesMin && bytes <= partBytesMax) {
    return Math.min(bytes, partBytesMax - partBytesMin);
  }
  throw wrong(name, `has to be from ${partBytesMin} (5 MiB) to ${partBytesMax} (5 GiB) bytes`);
}

function thresholdOf(bytes: number = copyBytesByDefault): number {
  if (Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= partBytesMax) return bytes;
  throw wrong("multipartcopythresholdsize", `has to be from 0 to ${partBytesMax} (5 GiB) bytes`);
}

function concurrencyOf(count: number = copiesByDefault): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw wrong("multipartcopymaxconcurrency", "has to be 1 or more");
}

function wrong(parameter: string, problem: string): Error {
  return new Error(`storage.s3.${parameter}: ${problem}`);
}
