/**
 * What the S3 adapter can be told: every parameter of Distribution's `s3` driver, but for
 * `rootdirectory`, which is `createObjectStore`'s. The comment's first word is the YAML key.
 * Values are checked by `createS3Bucket`, which throws an Error that names the key.
 */

export interface S3Options {
  /** `bucket`. It has to exist. */
  readonly bucket: string;
  /** `region`. Needed, and has to look like one of AWS's, unless there is an `endpoint`. */
  readonly region?: string | undefined;
  /** `regionendpoint`: a URL, or a host and port, to which `secure` gives the scheme. */
  readonly endpoint?: string | undefined;
  /** `forcepathstyle`: the bucket in the URL's path, not in the host's name. Default false. */
  readonly forcePathStyle?: boolean | undefined;

  /** `accesskey`, `secretkey`: both or none. None: the SDK's chain (environment, files, roles). */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
  /** `sessiontoken`, for temporary keys. */
  readonly sessionToken?: string | undefined;
  /** `v4auth`. Only true is possible: no S3 in use needs the older signatures. */
  readonly v4Auth?: boolean | undefined;

  /** `secure`: TLS, where the endpoint's URL does not say it. Default true. */
  readonly secure?: boolean | undefined;
  /** `skipverify`: any certificate will do. Default false. */
  readonly skipVerify?: boolean | undefined;

  /** `encrypt`: at rest, AES256, or with the KMS key `keyId`. Default false. */
  readonly encrypt?: boolean | undefined;
  /** `keyid`. Only with `encrypt`. */
  readonly keyId?: string | undefined;
  /** `storageclass`. Default STANDARD; NONE sends none. */
  readonly storageClass?: string | undefined;
  /** `objectacl`. Default private. */
  readonly objectAcl?: string | undefined;

  /** `chunksize`: how large parts are made, in bytes. Default 10 MiB, 5 MiB to 5 GiB. */
  readonly chunkSize?: number | undefined;
  /** `multipartcopychunksize`, in bytes. Default 32 MiB, 5 MiB to 5 GiB. */
  readonly copyChunkSize?: number | undefined;
  /** `multipartcopymaxconcurrency`. Default 100. */
  readonly copyConcurrency?: number | undefined;
  /** `multipartcopythresholdsize`: up to this a copy is one request. Default 32 MiB. */
  readonly copyThreshold?: number | undefined;

  /** `useragent`: added to the SDK's own. */
  readonly userAgent?: string | undefined;
  /** `usedualstack`: AWS's endpoints for IPv6, too. Default false. */
  readonly useDualStack?: boolean | undefined;
  /** `accelerate`: AWS's transfer acceleration. Default false. */
  readonly accelerate?: boolean | undefined;
  /** `usefipsendpoint`. Default false. */
  readonly useFipsEndpoint?: boolean | undefined;
  /** `redirectendpoint`: a URL or host, signed into the URLs that clients are sent to. */
  readonly redirectEndpoint?: string | undefined;
  /** `loglevel`. Default off. */
  readonly logLevel?: S3LogLevel | undefined;
}

/** Distribution's words. What they add to each other is said in `s3-log.ts`. */
export const s3LogLevels = [
  "off",
  "debug",
  "debugwithsigning",
  "debugwithhttpbody",
  "debugwithrequestretries",
  "debugwithrequesterrors",
  "debugwitheventstreambody",
] as const;

export type S3LogLevel = (typeof s3LogLevels)[number];

/** What the adapter is handed beside its options. */
export interface S3Surroundings {
  /** Takes what `logLevel` asks for. Never a secret, a signature or a body. */
  readonly log?: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY: the proxies to S3. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
}
