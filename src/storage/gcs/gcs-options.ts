/** The parameters of Distribution's `gcs` driver, but for `rootdirectory`, which is the store's. */

/**
 * A service account's key file, as JSON (`private_key`, `client_email`, ...). Distribution's YAML
 * has the same names. Never logged.
 */
export type GcsCredentials = Readonly<Record<string, unknown>>;

export interface GcsOptions {
  readonly bucket: string;
  /** `keyfile`: path of a service account's key file. */
  readonly keyFile?: string | undefined;
  /** Wins over `keyFile`. Without either: what the machine offers (the SDK's own chain). */
  readonly credentials?: GcsCredentials | undefined;
  /** `chunksize`: bytes of a part, a multiple of 256 KiB; 16 MiB unless given. */
  readonly chunkBytes?: number | undefined;
  /** `maxconcurrency`: requests under way at once; 50 unless given, 25 at least. */
  readonly maxConcurrency?: number | undefined;
  /** `useragent`: added to the SDK's own. */
  readonly userAgent?: string | undefined;
  /** Where the service is, when not at Google: a private endpoint, a test's server. */
  readonly endpoint?: string | undefined;
  /** Signs nobody in, e.g. for an emulator. No redirects then, for nothing signs their URLs. */
  readonly anonymous?: boolean | undefined;
}
