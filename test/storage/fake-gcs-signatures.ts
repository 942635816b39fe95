/** Checks signed URLs as Google does, version 4. */
import { createHash, createVerify, type KeyObject } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Refused } from "./fake-gcs-objects.ts";

export interface SigningAccount {
  readonly email: string;
  readonly publicKey: KeyObject;
}

const week = 7 * 24 * 60 * 60;

export function verifySignedUrl(
  { email, publicKey }: SigningAccount,
  {
    now,
    request,
    url,
  }: { readonly request: IncomingMessage; readonly url: URL; readonly now: number },
): void {
  const value = (name: string): string => url.searchParams.get(`X-Goog-${name}`) ?? "";
  const time = value("Date");
  const [, ...date] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) ?? [];
  const [year, month, day, hour, minute, second] = date.map(Number);
  if (second === undefined) throw new Refused(400, "MalformedSecurityHeader");
  const begins = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  const expires = Number(value("Expires"));
  if (!(expires > 0 && expires <= week)) throw new Refused(400, "AuthenticationRequired");
  if (now < begins - 15 * 60 * 1000) throw new Refused(403, "AccessDenied", "not yet");
  if (now > begins + expires * 1000) throw new Refused(400, "ExpiredToken", "Request has expired");
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  if (value("Credential") !== `${email}/${scope}`) throw new Refused(403, "AccessDenied");
  const names = value("SignedHeaders").split(";");
  if (!names.includes("host")) throw new Refused(400, "MalformedSecurityHeader");
  const headers = names.map((name) => `${name}:${String(request.headers[name])}\n`).join("");
  const query = url.search
    .slice(1)
    .split("&")
    .filter((pair) => !pair.startsWith("X-Goog-Signature="));
  const canonical = [
    request.method,
    url.pathname,
    query.toSorted().join("&"),
    headers,
    names.join(";"),
    "UNSIGNED-PAYLOAD",
  ].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  const verify = createVerify("RSA-SHA256");
  verify.update([value("Algorithm"), time, scope, hash].join("\n"));
  const isGood = verify.verify(publicKey, Buffer.from(value("Signature"), "hex"));
  if (!isGood) throw new Refused(403, "SignatureDoesNotMatch", "Access denied.");
}
