/**
 * Distribution's config.yml, as far as Longshore has what it configures. A key that it knows and
 * that decides about access, storage or TLS is refused while Longshore cannot honour it: a registry
 * that silently ignores `auth` would be open. Everything else that has no effect is a warning.
 */
import { isMap, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { builtInConfig, type Config, type ListenAddress } from "./config.ts";
import { parseGoDuration, parseListenAddress } from "./go-values.ts";

/** A config file that cannot be used, with all that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const duration = z.union([z.string(), z.number()]).transform((value, ctx) => {
  const parsed = parseGoDuration(value);
  if (parsed !== undefined) return parsed;
  ctx.addIssue({ code: "custom", message: "must be a duration such as 30s or 1h30m" });
  return z.NEVER;
});

const listenAddress = z.string().transform((value, ctx): ListenAddress => {
  const parsed = parseListenAddress(value);
  if (parsed !== undefined) return parsed;
  ctx.addIssue({ code: "custom", message: "must be host:port or :port" });
  return z.NEVER;
});

const externalUrl = z.string().transform((value, ctx) => {
  const url = URL.parse(value);
  if (url !== null && /^https?:$/.test(url.protocol)) {
    return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`;
  }
  ctx.addIssue({ code: "custom", message: "must be a URL with http or https and a host" });
  return z.NEVER;
});

/** A header name as HTTP has it, and values without line breaks. */
const headers = z.record(
  z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name"),
  z.array(z.string().regex(/^[^\r\n\0]*$/, "must not contain a line break")),
);

/** YAML's null stands for an empty section, as in Go. */
function section<S extends z.ZodRawShape>(shape: S) {
  return z.preprocess((value) => value ?? {}, z.looseObject(shape));
}

const logSection = section({
  level: z.preprocess(lowerCase, z.enum(["error", "warn", "info", "debug"])).optional(),
  formatter: z.enum(["text", "json", "logstash"]).optional(),
  accesslog: section({ disabled: z.boolean().optional() }).optional(),
  fields: z.record(z.string(), z.coerce.string()).nullish(),
});

const storageSection = z.looseObject({
  filesystem: section({ rootdirectory: z.string().min(1).optional() }).optional(),
  inmemory: z.unknown().optional(),
  delete: section({
    enabled: z.boolean().optional(),
    referenced: z.enum(["deny", "allow"]).optional(),
  }).optional(),
  upload: section({ lease: duration.optional() }).optional(),
});

const httpSection = section({
  addr: listenAddress.optional(),
  host: externalUrl.optional(),
  prefix: z.string().optional(),
  relativeurls: z.boolean().optional(),
  headers: headers.nullish(),
  draintimeout: duration.optional(),
  debug: section({
    addr: listenAddress.optional(),
    prometheus: section({
      enabled: z.boolean().optional(),
      path: z.string().startsWith("/", "must start with /").optional(),
    }).optional(),
  }).optional(),
});

const fileSchema = z.looseObject({
  version: z.preprocess(String, z.literal("0.1", 'must be "0.1"')),
  log: logSection.optional(),
  loglevel: z.preprocess(lowerCase, z.enum(["error", "warn", "info", "debug"])).optional(),
  storage: z.preprocess(
    (value) => (typeof value === "string" ? { [value]: {} } : (value ?? {})),
    storageSection,
  ),
  metadata: section({
    sqlite: section({ path: z.string().min(1).optional() }).optional(),
  }).optional(),
  http: httpSection.optional(),
});

type ConfigFile = z.output<typeof fileSchema>;

/**
 * Paths which Longshore has to refuse, since ignoring them would change who may do what, or where
 * bytes lie.
 */
const refused: readonly (readonly [path: string, reason: string])[] = [
  ["auth", "access control is not in this version: remove it only if everybody may do everything"],
  ["proxy", "pull-through caches are not in this version"],
  ["middleware", "middleware is not in this version"],
  ["http.net", "only tcp is in this version"],
  ["http.tls", "TLS is not in this version: put a proxy in front"],
  ["storage.maintenance.readonly", "read-only mode is not in this version"],
  ["policy", "policies are not in this version"],
];

const storageOptions = new Set(["delete", "redirect", "cache", "maintenance", "tag", "upload"]);
const knownDrivers = ["filesystem", "inmemory"];

export function parseDistributionYaml(text: string): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: true,
  });
  const [broken] = document.errors;
  if (broken !== undefined) throw new ConfigError(broken.message);
  if (!isMap(document.contents)) throw new ConfigError("the file is not a map of keys");
  const values: unknown = document.toJS({ maxAliasCount: 100 });
  checkRefused(values);
  const parsed = fileSchema.safeParse(values);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ message, path }) => `${path.join(".")}: ${message}`,
    );
    throw new ConfigError(problems.join("\n"));
  }
  return toConfig(parsed.data, unknownKeys(values));
}

function lowerCase(value: unknown): unknown {
  return typeof value === "string" ? value.toLowerCase() : value;
}

function checkRefused(values: unknown): void {
  const problems = refused.flatMap(([path, reason]) => {
    const value = valueAt(values, path.split("."));
    return value === undefined || value === null || isOff(path, value)
      ? []
      : [`${path}: ${reason}`];
  });
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}

/** `auth: none`, in both spellings, and read-only mode that is switched off. */
function isOff(path: string, value: unknown): boolean {
  if (path === "auth" && value === "none") return true;
  if (path === "http.net" && value === "tcp") return true;
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  if (path === "auth") return Object.keys(record).every((key) => key === "none");
  return path === "storage.maintenance.readonly" && record["enabled"] === false;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return valueAt((value as Record<string, unknown>)[key], rest);
}

function toConfig(file: ConfigFile, warnings: readonly string[]): Config {
  const { storage } = file;
  const log = builtInConfig.log;
  return {
    log: {
      level: file.log?.level ?? file.loglevel ?? log.level,
      format: logFormat(file.log?.formatter) ?? log.format,
      accessLog: file.log?.accesslog?.disabled !== true,
      fields: file.log?.fields ?? {},
    },
    storage: storageOf(storage),
    metadataPath: file.metadata?.sqlite?.path,
    // Distribution's default, which its operators count on: without the key nothing can be deleted.
    deleteEnabled: storage.delete?.enabled === true,
    deleteReferenced: storage.delete?.referenced ?? builtInConfig.deleteReferenced,
    uploadLeaseMs: storage.upload?.lease,
    http: httpOf(file.http),
    debug: debugOf(file.http),
    warnings,
  };
}

/** Distribution 3 writes the same for logstash as for json. */
function logFormat(formatter: string | undefined): Config["log"]["format"] | undefined {
  if (formatter === undefined) return undefined;
  return formatter === "text" ? "text" : "json";
}

function storageOf(storage: ConfigFile["storage"]): Config["storage"] {
  const drivers = Object.keys(storage).filter((key) => !storageOptions.has(key));
  const [driver, second] = drivers;
  if (driver === undefined) throw new ConfigError("storage: names no driver, such as filesystem");
  if (second !== undefined)
    throw new ConfigError(`storage: names two drivers, ${driver} and ${second}`);
  if (!knownDrivers.includes(driver)) {
    throw new ConfigError(
      `storage.${driver}: not in this version; there are ${knownDrivers.join(", ")}`,
    );
  }
  if (driver === "inmemory") return { kind: "memory" };
  return { kind: "filesystem", root: storage.filesystem?.rootdirectory ?? "/var/lib/registry" };
}

function httpOf(http: ConfigFile["http"]): Config["http"] {
  const fallback = builtInConfig.http;
  const { addr, draintimeout, host, prefix, relativeurls } = http ?? {};
  return {
    listen: addr ?? fallback.listen,
    drainMs: draintimeout ?? fallback.drainMs,
    ...(host === undefined ? {} : { host }),
    ...(prefix === undefined ? {} : { prefix: normalPrefix(prefix) }),
    ...(relativeurls === undefined ? {} : { relativeUrls: relativeurls }),
    ...(http?.headers === undefined || http.headers === null
      ? {}
      : { headers: headerList(http.headers) }),
  };
}

/** `/` and `/registry/` both mean what they say without the slash at the end. */
function normalPrefix(prefix: string): string {
  const inner = prefix.replaceAll(/^\/+|\/+$/g, "");
  return inner === "" ? "" : `/${inner}`;
}

function headerList(headers: Record<string, readonly string[]>): (readonly [string, string])[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    values.map((value) => [name, value] as const),
  );
}

function debugOf(http: ConfigFile["http"]): Config["debug"] {
  const listen = http?.debug?.addr;
  if (listen === undefined) return undefined;
  const { enabled, path } = http?.debug?.prometheus ?? {};
  return { listen, prometheusPath: enabled === true ? (path ?? "/metrics") : undefined };
}

/** What has an effect, as paths; `*` stands for any key. */
const effective = new Set(
  [
    "version log log.level log.formatter log.accesslog log.accesslog.disabled log.fields",
    "log.fields.* loglevel storage storage.filesystem storage.filesystem.rootdirectory",
    "storage.inmemory storage.delete storage.delete.enabled storage.delete.referenced",
    "storage.upload storage.upload.lease metadata metadata.sqlite metadata.sqlite.path",
    "http http.addr http.host http.prefix http.relativeurls http.headers http.headers.*",
    "http.draintimeout http.debug http.debug.addr http.debug.prometheus",
    "http.debug.prometheus.enabled http.debug.prometheus.path",
    // Refused or checked elsewhere, or without a meaning here.
    "auth proxy middleware policy http.tls http.secret http.net storage.maintenance",
  ]
    .join(" ")
    .split(" "),
);

function unknownKeys(values: unknown, path: readonly string[] = []): string[] {
  if (typeof values !== "object" || values === null || Array.isArray(values)) return [];
  return Object.entries(values).flatMap(([key, value]) => {
    const here = [...path, key];
    const known = effective.has(here.join(".")) || effective.has([...path, "*"].join("."));
    if (!known) return [`${here.join(".")} has no effect in this version`];
    return unknownKeys(value, here);
  });
}
