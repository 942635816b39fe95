/**
 * Which endpoint a path means. Names have slashes in them, so the fixed words are looked for from
 * the end: a repository may be called `a/manifests/b`. spec: endpoints.
 */

export type RouteName =
  | "base"
  | "catalog"
  | "discover"
  | "tags"
  | "manifest"
  | "blob"
  | "uploads"
  | "upload"
  | "referrers";

export interface MatchedRoute {
  readonly route: RouteName;
  /** The repository's name as it was sent; empty where the route has none. */
  readonly name: string;
  /** What follows the fixed word: a reference, digest or upload id; empty where there is none. */
  readonly last: string;
}

const prefix = "/v2/";

/** Words that take one more path segment. */
const wordRoutes: ReadonlyMap<string, RouteName> = new Map([
  ["manifests", "manifest"],
  ["blobs", "blob"],
  ["referrers", "referrers"],
]);

const fixedRoutes: ReadonlyMap<string, RouteName> = new Map([
  ["", "base"],
  ["_catalog", "catalog"],
  ["_oci/ext/discover", "discover"],
]);

/**
 * Endings without a parameter of their own. Upload begins are sent with and without the last slash.
 */
const endings: readonly (readonly [ending: string, route: RouteName])[] = [
  ["/tags/list", "tags"],
  ["/_oci/ext/discover", "discover"],
  ["/blobs/uploads/", "uploads"],
  ["/blobs/uploads", "uploads"],
];

/** `path`: without query, below the configured prefix. */
export function matchRoute(path: string): MatchedRoute | undefined {
  if (path === "/v2") return { route: "base", name: "", last: "" };
  if (!path.startsWith(prefix)) return undefined;
  const rest = path.slice(prefix.length);
  const fixed = fixedRoutes.get(rest);
  if (fixed !== undefined) return { route: fixed, name: "", last: "" };
  for (const [ending, route] of endings) {
    if (rest.endsWith(ending) && rest.length > ending.length) {
      return { route, name: rest.slice(0, -ending.length), last: "" };
    }
  }
  return matchWord(rest);
}

/** `<name>/<word>/<last>` and `<name>/blobs/uploads/<id>`. */
function matchWord(rest: string): MatchedRoute | undefined {
  const lastAt = rest.lastIndexOf("/");
  const wordAt = lastAt < 1 ? -1 : rest.lastIndexOf("/", lastAt - 1);
  if (wordAt < 1) return undefined;
  const word = rest.slice(wordAt + 1, lastAt);
  const last = rest.slice(lastAt + 1);
  const name = rest.slice(0, wordAt);
  if (word === "uploads" && name.endsWith("/blobs")) {
    return { route: "upload", name: name.slice(0, -"/blobs".length), last };
  }
  const route = wordRoutes.get(word);
  return route === undefined ? undefined : { route, name, last };
}
