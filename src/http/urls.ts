/**
 * The part of a URL before `/v2/`: the configured host, else what the proxy in front says, else the
 * request's own Host. Wrong here means that a client's next request goes nowhere.
 */
import type { IncomingRequest } from "./exchange.ts";
import type { HttpSettings } from "./settings.ts";

/** A host with or without port, as it may stand in a URL. */
const hostPattern = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i;

export function baseUrl(request: IncomingRequest, settings: HttpSettings): string {
  if (settings.host !== undefined) return `${settings.host}${settings.prefix}`;
  if (settings.relativeUrls) return settings.prefix;
  const { headers, url } = request;
  const forwarded = parseForwarded(headers.get("forwarded"));
  const scheme = validScheme(
    forwarded.proto ?? firstOf(headers.get("x-forwarded-proto")),
    url.startsWith("https:") ? "https" : "http",
  );
  const own = url.slice(url.indexOf("//") + 2, pathStart(url));
  const host = forwarded.host ?? firstOf(headers.get("x-forwarded-host"));
  const valid = host !== undefined && hostPattern.test(host) ? host : own;
  return `${scheme}://${valid}${settings.prefix}`;
}

/** Where the path begins in an absolute URL. */
export function pathStart(url: string): number {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  return start === -1 ? url.length : start;
}

function validScheme(text: string | undefined, own: "http" | "https"): "http" | "https" {
  const scheme = text?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : own;
}

function firstOf(header: string | null): string | undefined {
  return header?.split(",", 1)[0]?.trim();
}

/** The first element of a Forwarded header (RFC 7239). */
function parseForwarded(header: string | null): {
  readonly proto?: string;
  readonly host?: string;
} {
  const found: { proto?: string; host?: string } = {};
  for (const pair of (firstOf(header) ?? "").split(";")) {
    const [name, ...rest] = pair.split("=");
    const value = rest
      .join("=")
      .trim()
      .replace(/^"(.*)"$/, "$1");
    const key = name?.trim().toLowerCase();
    if (key === "proto") found.proto = value;
    if (key === "host") found.host = value;
  }
  return found;
}
