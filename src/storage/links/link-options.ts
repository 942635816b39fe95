/**
 * What decides the URL that a client is sent to for a blob: Distribution's storage middlewares
 * `cloudfront`, `redirect` and `rewrite`, in this order of the list, each on top of the one before.
 */

/** CloudFront in front of an S3 bucket: URLs under a canned policy, signed with an RSA key. */
export interface CloudFrontOptions {
  readonly kind: "cloudfront";
  /** The distribution's address; without a scheme https. */
  readonly baseUrl: string;
  /** A file: an RSA key as PEM, PKCS#1 or PKCS#8. */
  readonly privateKeyPath: string;
  readonly keyPairId: string;
  /** How long a URL is good for, ms; by default 20 minutes. */
  readonly durationMs?: number | undefined;
  /**
   * Clients that are sent to the bucket itself: those within AWS, or within some of its regions,
   * where the bytes cost nothing. By default none.
   */
  readonly ipFilter?: "none" | "aws" | { readonly regions: readonly string[] } | undefined;
  /** How old the list of AWS's addresses may become, ms; by default 12 hours. */
  readonly updateFrequencyMs?: number | undefined;
  /** Where the list is; by default at AWS. */
  readonly ipRangesUrl?: string | undefined;
}

/** Every blob at an address of one's own, without a signature: a cache in front of the storage. */
export interface RedirectOptions {
  readonly kind: "redirect";
  /** Scheme, host and perhaps a path; the blob's key is appended. */
  readonly baseUrl: string;
}

/** Changes the URL that the storage has signed. */
export interface RewriteOptions {
  readonly kind: "rewrite";
  readonly scheme?: string | undefined;
  /** With or without a port; it takes the place of both. */
  readonly host?: string | undefined;
  readonly trimPathPrefix?: string | undefined;
}

export type LinkOptions = CloudFrontOptions | RedirectOptions | RewriteOptions;
