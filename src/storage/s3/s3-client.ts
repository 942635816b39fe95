import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
/** The vendor's client, set up: one try per call, and only the checksums that S3 asks for. */
import type * as Sdk from "@aws-sdk/client-s3";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type * as Presigner from "@aws-sdk/s3-request-presigner";
import type { Downloads } from "../objects/vendor/downloads.ts";
import type { VendorHttp } from "../objects/vendor/http.ts";
import { PiecesBody } from "../objects/vendor/pieces-body.ts";
import { S3Http, type S3Request } from "./s3-http.ts";
import type { S3Log } from "./s3-log.ts";
import type { S3Settings } from "./s3-settings.ts";

export type S3Sdk = typeof Sdk;

export interface S3Packages {
  readonly sdk: S3Sdk;
  readonly presigner: typeof Presigner;
}

/** Loads the packages, which only those install who use them. */
export async function loadS3Packages(): Promise<S3Packages> {
  try {
    const [sdk, presigner] = await Promise.all([
      import("@aws-sdk/client-s3"),
      import("@aws-sdk/s3-request-presigner"),
    ]);
    return { sdk, presigner };
  } catch (cause) {
    const packages = "@aws-sdk/client-s3 and @aws-sdk/s3-request-presigner";
    throw new Error(`storage.s3 needs the packages ${packages}: npm install them`, { cause });
  }
}

export interface S3ClientOptions {
  readonly sdk: S3Sdk;
  readonly settings: S3Settings;
  readonly log: S3Log;
  readonly http: VendorHttp;
  /** `undefined` where a proxy stands between. */
  readonly downloads: Downloads | undefined;
}

/** The payload's hash that says that there is none: TLS protects the bytes already. */
const unsigned = "UNSIGNED-PAYLOAD";
/** So many bytes are hashed in one turn: half a millisecond, after which others have theirs. */
const hashTurnBytes = 1024 * 1024;

/** The SDK's own words go to the terminal otherwise. What it has to say comes as errors, too. */
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} as const;

export function createS3Client({ downloads, http, log, sdk, settings }: S3ClientOptions): S3Client {
  const config: S3ClientConfig = {
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    useDualstackEndpoint: settings.useDualStack,
    useFipsEndpoint: settings.useFipsEndpoint,
    useAccelerateEndpoint: settings.accelerate,
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint.href }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    ...(settings.userAgent === undefined ? {} : { customUserAgent: settings.userAgent }),
    maxAttempts: 1,
    // By default the SDK sends trailing checksums, which Ceph and Swift refuse.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // A round trip per part, to save bytes that are seldom refused.
    expectContinueHeader: false,
    logger: silent,
    requestHandler: new S3Http(http, downloads),
  };
  const client = new sdk.S3Client(config);
  client.middlewareStack.add(
    (next) => async (args) => {
      await prepare(args.request as MutableRequest, settings.tls);
      return await next(args);
    },
    { step: "build", priority: "low", name: "longshorePayload" },
  );
  if (log.isOn) addLog(client, log);
  return client;
}

/**
 * A client whose URLs have another host than its requests: the one that clients of the registry
 * reach the store at. The host is part of the signature.
 */
export function createLinkClient(options: S3ClientOptions): S3Client {
  const client = createS3Client(options);
  const { redirectEndpoint } = options.settings;
  if (redirectEndpoint === undefined) return client;
  client.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as MutableRequest;
      request.protocol = redirectEndpoint.protocol;
      request.hostname = redirectEndpoint.hostname;
      if (redirectEndpoint.port === "") delete request.port;
      else request.port = Number(redirectEndpoint.port);
      request.headers["host"] = redirectEndpoint.host;
      return await next(args);
    },
    { step: "build", priority: "low", name: "longshoreRedirectEndpoint" },
  );
  return client;
}

type MutableRequest = {
  -readonly [Key in keyof S3Request]: S3Request[Key];
} & { readonly headers: Record<string, string> };

async function prepare(request: MutableRequest, tls: boolean): Promise<void> {
  const { body, headers, query } = request;
  if (!tls) request.protocol = "http:";
  if (body instanceof PiecesBody) {
    headers["content-length"] = String(body.size);
    headers["x-amz-content-sha256"] = tls ? unsigned : await hashOf(body);
  } else if (typeof body === "string" && query !== undefined && "delete" in query) {
    // S3 asks for a checksum of this one. The newer ones are not known to everybody.
    headers["content-md5"] = createHash("md5").update(body).digest("base64");
    for (const name of Object.keys(headers)) {
      if (/^x-amz-(sdk-)?checksum-/.test(name)) delete headers[name];
    }
  }
}

/** Without TLS the signature of the bytes is what tells that they arrived whole. */
async function hashOf({ pieces }: PiecesBody): Promise<string> {
  const hash = createHash("sha256");
  let hashed = 0;
  for (const piece of pieces) {
    hash.update(piece);
    hashed += piece.byteLength;
    if (hashed < hashTurnBytes) continue;
    hashed = 0;
    await setImmediate();
  }
  return hash.digest("hex");
}

function addLog(client: S3Client, log: S3Log): void {
  client.middlewareStack.add(
    (next, { commandName = "" }) =>
      async (args) => {
        try {
          const result = await next(args);
          log.answer(commandName, result.output.$metadata);
          return result;
        } catch (error) {
          log.failure(commandName, error);
          throw error;
        }
      },
    { step: "initialize", name: "longshoreAnswers" },
  );
  client.middlewareStack.add(
    (next, { commandName = "" }) =>
      async (args) => {
        log.request(commandName, args.request as S3Request);
        return await next(args);
      },
    // After the signature was made.
    { step: "deserialize", priority: "low", name: "longshoreRequests" },
  );
}
