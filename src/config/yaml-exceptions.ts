/** Keys of Distribution's that are refused, and those that Longshore has no need of. */
import { ConfigError, valueAt } from "./yaml-problems.ts";

type Table = readonly (readonly [path: string, reason: string])[];

/** Ignoring these would change who may do what, or where bytes lie. */
const refused: Table = [
  ["auth", "access control is not in this version: remove it only if everybody may do everything"],
  ["proxy", "pull-through caches are not in this version"],
  ["middleware.registry", "Distribution ships none of these, and there are none here"],
  ["middleware.repository", "Distribution ships none of these, and there are none here"],
  ["http.net", "only tcp is in this version"],
  ["http.tls", "TLS is not in this version: put a proxy in front"],
  ["storage.maintenance.readonly", "read-only mode is not in this version"],
  ["policy", "policies are not in this version"],
];

export function refuse(values: unknown): void {
  const problems = refused.flatMap(([path, reason]) => {
    const value = valueAt(values, path.split("."));
    return value === undefined || value === null || isOff(path, value)
      ? []
      : [`${path}: ${reason}`];
  });
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}

/** `auth: none`, in both spellings, read-only mode that is switched off, and empty lists. */
function isOff(path: string, value: unknown): boolean {
  if (path === "auth" && value === "none") return true;
  if (path === "http.net" && value === "tcp") return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return path.startsWith("middleware.") && value.length === 0;
  const record = value as Record<string, unknown>;
  if (path === "auth") return Object.keys(record).every((key) => key === "none");
  const { enabled } = record;
  return path === "storage.maintenance.readonly" && (enabled === false || enabled === "false");
}

const descriptors =
  "not needed: descriptors come from the database, which is never out of date and as fast";

/** What Distribution needs and Longshore does without. */
const needless: Table = [
  ["redis", "not needed: nodes share nothing but the database and the storage"],
  ["http.secret", "not needed: uploads are kept in the database, and their URLs carry no state"],
  ["storage.cache", descriptors],
  ["storage.tag", "not needed: a tag is found by one query"],
  ["storage.filesystem.maxthreads", "not needed: nothing is found by walking folders"],
];

const keysInFolder =
  "not needed: in a folder committed content lies under Distribution's keys in any case";

/** Of all this, what the file has. */
export function notNeeded(values: unknown): Table {
  const given = needless.filter(([path]) => isGiven(values, path));
  const isFolder = valueAt(values, ["storage", "filesystem"]) !== undefined;
  return isFolder && isGiven(values, "storage.distributionkeys")
    ? [...given, ["storage.distributionkeys", keysInFolder]]
    : given;
}

function isGiven(values: unknown, path: string): boolean {
  const value = valueAt(values, path.split("."));
  return value !== undefined && value !== null;
}
