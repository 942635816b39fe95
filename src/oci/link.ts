/** The Link header of a list's page (RFC 8288). spec: listing tags. */

/** `pathAndQuery` is relative to the host, as clients of Distribution expect it. */
export function formatNextLink(pathAndQuery: string): string {
  return `<${escapeUri(pathAndQuery)}>; rel="next"`;
}

/**
 * A path with its query, names in alphabetical order: so `last` comes before `n`, as Distribution
 * writes it and some clients match it. Parameters that are `undefined` are left out.
 */
export function formatPageUrl(
  path: string,
  parameters: Readonly<Record<string, string | number | undefined>>,
): string {
  const pairs: string[] = [];
  for (const name of Object.keys(parameters).toSorted()) {
    const value = parameters[name];
    if (value !== undefined) pairs.push(`${encode(name)}=${encode(String(value))}`);
  }
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/**
 * What would end the URI or the header, or is no URI's character (RFC 3986 section 2), percent-
 * encoded.
 */
function escapeUri(uri: string): string {
  return uri
    .toWellFormed()
    .replaceAll(/[^\x21-\x7e]+|[<>"\\^`{|}]/g, (characters) => encodeURIComponent(characters));
}
