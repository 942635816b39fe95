/**
 * Signed URLs, Google's version 4. The vendor's package signs for GET and not for HEAD, so this is
 * done here; a test compares the two.
 */
import { createHash } from "node:crypto";
import type { GcsSigner } from "./gcs-account.ts";

/** How long a signed URL can be used, in seconds: as Distribution has it. */
const urlSeconds = 20 * 60;
const algorithm = "GOOG4-RSA-SHA256";

export interface Link {
  readonly method: "GET" | "HEAD";
  /** The object's, without a query. */
  readonly url: URL;
  /** When it begins to be good, in milliseconds UTC. */
  readonly now: number;
}

export async function signedUrl(signer: GcsSigner, { method, now, url }: Link): Promise<string> {
  const time = new Date(now).toISOString().replaceAll(/[:-]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  const query = [
    ["X-Goog-Algorithm", algorithm],
    ["X-Goog-Credential", `${signer.email}/${scope}`],
    ["X-Goog-Date", time],
    ["X-Goog-Expires", String(urlSeconds)],
    ["X-Goog-SignedHeaders", "host"],
  ]
    .map(([name = "", value = ""]) => `${name}=${escaped(value)}`)
    .join("&");
  const headers = `host:${url.host}\n`;
  const request = [method, url.pathname, query, headers, "host", "UNSIGNED-PAYLOAD"].join("\n");
  const hash = createHash("sha256").update(request).digest("hex");
  const signature = await signer.sign([algorithm, time, scope, hash].join("\n"));
  return `${url.href}?${query}&X-Goog-Signature=${signature}`;
}

/** Every character that RFC 3986 does not let through as it is. */
export function escaped(text: string): string {
  const hex = (character: string): string =>
    `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, hex);
}
