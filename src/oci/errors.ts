/** The errors that the API answers with: the spec's codes, and those which Distribution adds. */

export type ErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DENIED"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "MANIFEST_UNVERIFIED"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "PAGINATION_NUMBER_INVALID"
  | "RANGE_INVALID"
  | "SIZE_INVALID"
  | "TAG_INVALID"
  | "TOOMANYREQUESTS"
  | "UNAUTHORIZED"
  | "UNAVAILABLE"
  | "UNKNOWN"
  | "UNSUPPORTED";

export interface ErrorEntry {
  /** The HTTP status, unless the error at hand brings its own. */
  readonly status: number;
  readonly message: string;
  /** For the documentation: when the registry says this. */
  readonly description: string;
}

/**
 * Every code by name, with the statuses and the messages that Distribution's clients know.
 * spec: error codes, code-1 to code-14; the others are Distribution's.
 */
export const errorCatalogue: Readonly<Record<ErrorCode, ErrorEntry>> = {
  BLOB_UNKNOWN: {
    status: 404,
    message: "blob unknown to registry",
    description: "The repository has no blob of this digest; the detail is the digest.",
  },
  BLOB_UPLOAD_INVALID: {
    status: 404,
    message: "blob upload invalid",
    description: "The upload's URL was not made by this registry, or not for this repository.",
  },
  BLOB_UPLOAD_UNKNOWN: {
    status: 404,
    message: "blob upload unknown to registry",
    description: "No such upload: it never began, was cancelled, has ended, or was purged.",
  },
  DENIED: {
    status: 403,
    message: "requested access to the resource is denied",
    description: "Whoever asks is known, and may not do this.",
  },
  DIGEST_INVALID: {
    status: 400,
    message: "provided digest did not match uploaded content",
    description:
      "A digest is missing, malformed or of an unsupported algorithm, or it is not the content's.",
  },
  MANIFEST_BLOB_UNKNOWN: {
    status: 400,
    message: "blob unknown to registry",
    description:
      "The manifest refers to a blob or manifest that its repository lacks; one error for each, " +
      "its digest in the detail.",
  },
  MANIFEST_INVALID: {
    status: 400,
    message: "manifest invalid",
    description:
      "The manifest is not JSON, not of a supported media type, not what its media type says, " +
      "or too large (then with status 413); the detail names the place.",
  },
  MANIFEST_UNKNOWN: {
    status: 404,
    message: "manifest unknown",
    description: "The repository has no manifest of this tag or digest.",
  },
  MANIFEST_UNVERIFIED: {
    status: 400,
    message: "manifest failed signature verification",
    description: "A legacy signed manifest did not verify.",
  },
  NAME_INVALID: {
    status: 400,
    message: "invalid repository name",
    description: "The repository's name does not match the spec's grammar, or is too long.",
  },
  NAME_UNKNOWN: {
    status: 404,
    message: "repository name not known to registry",
    description: "There is no repository of this name.",
  },
  PAGINATION_NUMBER_INVALID: {
    status: 400,
    message: "invalid number of results requested",
    description: "The parameter n is not a number, negative, or above the maximum.",
  },
  RANGE_INVALID: {
    status: 416,
    message: "invalid content range",
    description:
      "A chunk does not begin where the upload ends, or a range has none of the blob's bytes.",
  },
  SIZE_INVALID: {
    status: 400,
    message: "provided length did not match content length",
    description: "The body is longer or shorter than its Content-Length or Content-Range says.",
  },
  TAG_INVALID: {
    status: 400,
    message: "manifest tag did not match URI",
    description: "The tag does not match the spec's grammar, or is too long.",
  },
  TOOMANYREQUESTS: {
    status: 429,
    message: "too many requests",
    description: "A limit was reached; Retry-After says when to come back.",
  },
  UNAUTHORIZED: {
    status: 401,
    message: "authentication required",
    description: "WWW-Authenticate says how to log in; the detail lists the access that is needed.",
  },
  UNAVAILABLE: {
    status: 503,
    message: "service unavailable",
    description: "The registry, or something that it stands on, cannot answer at the moment.",
  },
  UNKNOWN: {
    status: 500,
    message: "unknown error",
    description: "The registry failed; its log has the reason under the request's id.",
  },
  UNSUPPORTED: {
    status: 405,
    message: "The operation is unsupported.",
    description: "The method or operation does not exist here, or is switched off.",
  },
};

export interface OciErrorOptions extends ErrorOptions {
  /** For people; by default the catalogue's. */
  readonly message?: string;
  /** For programs: any JSON value. */
  readonly detail?: unknown;
  /** The HTTP status, where it is not the catalogue's. */
  readonly status?: number;
}

/**
 * Something to tell the client. Match on `code`. It has no stack: a HEAD that finds nothing is
 * everyday business, and writing the stack down would cost more than the rest of the request.
 */
export class OciError extends Error {
  override readonly name = "OciError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: unknown;

  constructor(code: ErrorCode, options: OciErrorOptions = {}) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(options.message ?? errorCatalogue[code].message, options);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.status = options.status ?? errorCatalogue[code].status;
    this.detail = options.detail;
  }
}

/** The body of an error answer, as JSON text. spec: error codes. */
export function errorEnvelope(errors: readonly OciError[]): string {
  return JSON.stringify({
    errors: errors.map(({ code, message, detail }) => ({ code, message, detail })),
  });
}
