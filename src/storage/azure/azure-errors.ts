/** What Azure and the network say, as errors of the port. */
import { BucketError } from "../objects/object-bucket.ts";
import { isCertificate } from "../objects/vendor/http.ts";

/** What is known of an error, whoever made it. */
export interface AzureFailure {
  /** Azure's code (`BlobNotFound`), or the system's (`ECONNRESET`). */
  readonly code: string;
  /** HTTP's, where an answer came. */
  readonly status: number | undefined;
  /** One line. */
  readonly message: string;
}

/** Asks for patience, or says that the bytes did not arrive as they were sent. */
const transientCodes: ReadonlySet<string> = new Set([
  "AbortError",
  "AccountBeingCreated",
  // The chain of credentials: a machine's own service for them may be starting.
  "AggregateAuthenticationError",
  "ContainerBeingDeleted",
  "CredentialUnavailableError",
  "InternalError",
  "Md5Mismatch",
  "OperationTimedOut",
  "ServerBusy",
  // A key for signing that was waited for too long.
  "TimeoutError",
]);
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429]);
/** The server will never do it. */
const notImplemented = 501;

/** What an operator can do about it. */
const advice: Readonly<Record<string, string>> = {
  AccountIsDisabled: "check the account",
  AggregateAuthenticationError: "check credentials, or the identity of this machine",
  AuthenticationError: "check credentials: clientid, tenantid and secret",
  AuthenticationFailed: "check accountname and accountkey or credentials, and this machine's clock",
  AuthorizationFailure: "check the account's network rules and the role of these credentials",
  AuthorizationPermissionMismatch:
    "the credentials need the role Storage Blob Data Contributor, and for redirects Storage " +
    "Blob Delegator",
  BlobImmutableDueToPolicy: "check the container's immutability policy",
  ContainerNotFound: "check container: it has to exist",
  CredentialUnavailableError: "check credentials, or the identity of this machine",
  ENOTFOUND: "check accountname, realm and serviceurl",
  InvalidAuthenticationInfo: "check credentials",
  KeyBasedAuthenticationNotPermitted: "the account takes no keys: check credentials",
  SnapshotsPresent: "the blob has snapshots, which are not ours to delete",
};
const certificate = "check the server's certificate, or skipverify";
const forbidden = "check the role of these credentials, or accountkey";

export function failureOf(error: unknown): AzureFailure {
  if (!(error instanceof Error)) return { code: "Unknown", status: undefined, message: "" };
  const status = "statusCode" in error ? error.statusCode : undefined;
  const code = "code" in error ? error.code : undefined;
  const details = "details" in error ? error.details : undefined;
  return {
    code: codeIn(details) ?? (typeof code === "string" && code !== "" ? code : error.name),
    status: typeof status === "number" ? status : undefined,
    // Azure goes on with the request's id, the time, and what was signed.
    message: error.message.split("\n", 1)[0] ?? "",
  };
}

export function toBucketError(call: string, error: unknown): BucketError {
  if (error instanceof BucketError) return error;
  const { code, message, status } = failureOf(error);
  const known = Object.hasOwn(advice, code) ? advice[code] : undefined;
  const guess = isCertificate(code) ? certificate : "";
  const hint = known ?? (status === 403 ? forbidden : guess);
  const said = [code, status === undefined ? "" : `HTTP ${status}`, message, hint];
  const text = said.filter((part) => part !== "").join("; ");
  const transient = isTransient(error);
  return new BucketError("azure", `${call}: ${text}`, { cause: error, transient });
}

/** Of a body that had begun to come: the same bytes can be asked for again. */
export function brokenOff(error: unknown): BucketError {
  const { message } = failureOf(error);
  return new BucketError("azure", `get: ${message}`, { cause: error, transient: true });
}

/** Of a blob that is not there. That its container is missing stays an error. */
export async function orAbsent<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (failureOf(error).code === "BlobNotFound") return undefined;
    throw error;
  }
}

/** A request that wants no blob to be there; `undefined` when there is one. */
export async function unlessThere<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    const { code } = failureOf(error);
    if (code === "BlobAlreadyExists" || code === "ConditionNotMet") return undefined;
    throw error;
  }
}

function isTransient(error: unknown): boolean {
  const { code, status } = failureOf(error);
  if (transientCodes.has(code)) return true;
  if (status !== undefined) {
    return (status >= 500 && status !== notImplemented) || transientStatuses.has(status);
  }
  // No answer came: the network, or a server that is going away. The rest is a mistake of ours.
  const isSystems = error instanceof Error && "code" in error && typeof error.code === "string";
  return isSystems && !isCertificate(code);
}

/** The header, which answers without a body have, too. */
function codeIn(details: unknown): string | undefined {
  if (typeof details !== "object" || details === null) return undefined;
  const code = "errorCode" in details ? details.errorCode : undefined;
  return typeof code === "string" && code !== "" ? code : undefined;
}
