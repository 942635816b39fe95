/** What S3 and the network say, as errors of the port. */
import { BucketError } from "../objects/object-bucket.ts";

/** What is known of an error, whoever made it. */
export interface S3Failure {
  /** S3's code (`NoSuchKey`), or the system's (`ECONNRESET`). */
  readonly code: string;
  /** HTTP's, where an answer came. */
  readonly status: number | undefined;
  readonly message: string;
}

/** Asks for patience, or says that the bytes did not arrive as they were sent. */
const transientCodes: ReadonlySet<string> = new Set([
  "BadDigest",
  "ConcurrentModification",
  "CredentialsProviderError",
  "IncompleteBody",
  "InternalError",
  "OperationAborted",
  "RequestTimeout",
  "RequestTimeoutException",
  "ServiceUnavailable",
  "SlowDown",
  "TimeoutError",
  "TooManyRequests",
  "XAmzContentSHA256Mismatch",
]);
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429]);
/** The server will never do it. */
const notImplemented = 501;

/** A certificate that is not believed: no time will change that. */
const certificatePattern = /CERT|UNABLE_TO_|ERR_TLS_|HOSTNAME_MISMATCH/;

/** What an operator can do about it. */
const advice: Readonly<Record<string, string>> = {
  AccessDenied: "check the policy of the key or the role: it may not do this to the bucket",
  AllAccessDisabled: "check the account of the bucket",
  AuthorizationHeaderMalformed: "check region",
  EAI_AGAIN: "check regionendpoint and the name servers",
  ENOTFOUND: "check regionendpoint and the name servers",
  EPROTO: "check secure: the server may not speak TLS",
  CredentialsProviderError: "check accesskey and secretkey, or the role of this machine",
  ExpiredToken: "check sessiontoken: it has expired",
  InvalidAccessKeyId: "check accesskey",
  InvalidToken: "check sessiontoken",
  KMSDisabledException: "check keyid",
  "KMS.NotFoundException": "check keyid",
  NoSuchBucket: "check bucket, region and regionendpoint",
  PermanentRedirect: "check region and regionendpoint: the bucket is elsewhere",
  RequestTimeTooSkewed: "check this machine's clock",
  SignatureDoesNotMatch: "check accesskey, secretkey and region",
};
const untrusted = "check the server's certificate; NODE_EXTRA_CA_CERTS names more authorities";
const forbidden = "check accesskey, secretkey and the bucket's policy";

export function failureOf(error: unknown): S3Failure {
  if (!(error instanceof Error)) return { code: "Unknown", status: undefined, message: "" };
  const system = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const metadata = "$metadata" in error ? error.$metadata : undefined;
  const status = statusOf(metadata);
  const message = error.message === "UnknownError" ? "" : error.message;
  return { code: status === undefined ? (system ?? error.name) : error.name, status, message };
}

export function toBucketError(call: string, error: unknown): BucketError {
  const failure = failureOf(error);
  const { code, message, status } = failure;
  const said = [code, status === undefined ? "" : `HTTP ${status}`, message, adviceFor(failure)];
  const text = said.filter((part) => part !== "").join("; ");
  return new BucketError("s3", `${call}: ${text}`, { cause: error, transient: isTransient(error) });
}

function isTransient(error: unknown): boolean {
  const { code, status } = failureOf(error);
  if (transientCodes.has(code) || /throttl/i.test(code)) return true;
  if (status !== undefined) {
    return (status >= 500 && status !== notImplemented) || transientStatuses.has(status);
  }
  // No answer came: the network, or a server that is going away. The rest is a mistake of ours.
  const isSystem = error instanceof Error && "code" in error && typeof error.code === "string";
  return isSystem && !certificatePattern.test(code);
}

function adviceFor({ code, status }: S3Failure): string {
  if (status === undefined && certificatePattern.test(code)) return untrusted;
  const known = Object.hasOwn(advice, code) ? advice[code] : undefined;
  return known ?? (status === 403 ? forbidden : "");
}

function statusOf(metadata: unknown): number | undefined {
  if (typeof metadata !== "object" || metadata === null) return undefined;
  const status = "httpStatusCode" in metadata ? metadata.httpStatusCode : undefined;
  return typeof status === "number" && status > 0 ? status : undefined;
}
