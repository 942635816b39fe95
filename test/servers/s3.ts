/** S3 servers, as a test sees them. */
import type { TestServer } from "./server.ts";

export interface S3Access {
  /** A URL without a path. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

export interface S3Server extends S3Access, TestServer {}

/** As one text: the URL, with the keys as its user and password. */
export function formatS3({ accessKey, endpoint, region, secretKey }: S3Access): string {
  const url = new URL(endpoint);
  url.username = encodeURIComponent(accessKey);
  url.password = encodeURIComponent(secretKey);
  url.searchParams.set("region", region);
  return url.href;
}

export function parseS3(text: string): S3Access {
  const url = new URL(text);
  return {
    endpoint: url.origin,
    accessKey: decodeURIComponent(url.username),
    secretKey: decodeURIComponent(url.password),
    region: url.searchParams.get("region") ?? "us-east-1",
  };
}
