/** URLs as text: taken apart and put together without losing a byte of what was signed. */
import type { RewriteOptions } from "./link-options.ts";

/** A base without query and without a slash at its end; the path may be empty. */
export function parseBase(middleware: string, baseUrl: string): string {
  const url = URL.parse(baseUrl);
  if (url === null || url.host === "") {
    throw new Error(`middleware ${middleware}: baseurl must have a scheme and a host`);
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new Error(`middleware ${middleware}: baseurl has nothing but scheme, host and path`);
  }
  return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`;
}

/** A key as a path: each of its segments encoded. */
export function pathBelow(key: string): string {
  return `/${key.split("/").map(encodeURIComponent).join("/")}`;
}

const urlPattern = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(.*)$/i;

/** The query, which holds the signature, stays as it is. */
export function rewriteUrl(url: string, options: RewriteOptions): string {
  const [, ownScheme = "", ownHost = "", path = "", rest = ""] = urlPattern.exec(url) ?? [];
  if (ownScheme === "") return url;
  const scheme = given(options.scheme) ?? ownScheme;
  const host = given(options.host) ?? ownHost;
  const trim = options.trimPathPrefix ?? "";
  const trimmed = path.startsWith(trim) ? path.slice(trim.length) : path;
  const rooted = trimmed === "" || trimmed.startsWith("/") ? trimmed : `/${trimmed}`;
  return `${scheme}://${host}${rooted}${rest}`;
}

/** An empty value says nothing, as in Distribution. */
function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
