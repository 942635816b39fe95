/**
 * What a request line may name: checked on the bytes as the client sent them, before anything
 * decodes or normalises them. So no two layers can read one path differently.
 */

export type RawTarget =
  /**
   * `pathAndQuery` is part of the raw target; `authority` only where the target was in absolute
   * form.
   */
  | { readonly pathAndQuery: string; readonly authority: string | undefined }
  | { readonly problem: string };

/**
 * Reads a request target: origin form, or absolute form for http and https. Any other form is a
 * problem.
 */
export function parseRawTarget(target: string): RawTarget {
  let authority: string | undefined;
  let pathAndQuery = target;
  if (!target.startsWith("/")) {
    const match = absoluteForm.exec(target);
    if (match === null) return { problem: "the request target must be a path" };
    authority = match[1] ?? "";
    pathAndQuery = match[2] ?? "";
    if (!pathAndQuery.startsWith("/")) pathAndQuery = `/${pathAndQuery}`;
  }
  const query = pathAndQuery.indexOf("?");
  const problem = pathProblem(query === -1 ? pathAndQuery : pathAndQuery.slice(0, query));
  return problem === undefined ? { pathAndQuery, authority } : { problem };
}

/** Whether a Host header names a host, and perhaps a port, that a URL can be made of. */
export function isValidHost(host: string): boolean {
  return host.length <= hostLengthMax && hostGrammar.test(host) && URL.canParse(`http://${host}/`);
}

// A DNS name of 255 bytes, a colon and five digits.
const hostLengthMax = 261;
const hostGrammar = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/is;

/** What RFC 3986 allows in a path, but for the percent sign. */
const plainPath = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const pathCharacters = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/;
const dotSegment = /\/(?:\.|%2e){1,2}(?:\/|$)/i;
/** An encoded slash, backslash, NUL or other control character. */
const forbiddenEscape = /%(?:2f|5c|[01][0-9a-f]|7f)/i;

function pathProblem(path: string): string | undefined {
  if (path.includes("//")) return "the path has an empty segment";
  if (path.includes("/.") && dotSegment.test(path)) return "the path has a dot segment";
  if (plainPath.test(path)) return undefined;
  if (!pathCharacters.test(path)) return "the path has a character that must be percent-encoded";
  if (!isDecodable(path)) return "the path has an invalid percent escape";
  if (forbiddenEscape.test(path)) return "the path has an encoded slash or control character";
  if (dotSegment.test(path)) return "the path has a dot segment";
  return undefined;
}

/** Whether every percent sign begins an escape, and the escapes are UTF-8. */
function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
