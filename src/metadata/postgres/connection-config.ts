/** From our options to those of `pg`. Nothing that was given is ignored in silence. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";
import type { ClientConfig } from "pg";
import { columnTypes } from "./column-values.ts";
import {
  defaultStatementTimeoutMs,
  type PostgresOptions,
  type PostgresTls,
  type PostgresTlsMode,
} from "./postgres-options.ts";

const defaultHost = "localhost";
const defaultPort = 5432;

/** Idle time after which the kernel asks whether the server is still there; ms. */
const keepAliveMs = 10_000;

/**
 * A node that stops in the midst of a command holds its locks no longer than this share of the time
 * that a statement may take: so those who wait for them get them before they give up.
 */
const idleShare = 0.5;

const tlsModes: readonly PostgresTlsMode[] = ["disable", "require", "verify-full"];

/** Parameters of the URL, and what of our options they are. */
interface UrlParts extends PostgresOptions {
  readonly tls?: Partial<PostgresTls> | undefined;
}

export function clientConfig(given: PostgresOptions): ClientConfig {
  const fromUrl = given.url === undefined ? {} : parseUrl(given.url);
  const options = { ...fromUrl, ...definedOf(given), tls: { ...fromUrl.tls, ...given.tls } };
  const host = options.host ?? defaultHost;
  const statementTimeoutMs = options.statementTimeoutMs ?? defaultStatementTimeoutMs;
  return {
    host,
    port: options.port ?? defaultPort,
    ...definedOf({
      user: options.user,
      password: options.password,
      database: options.database,
    }),
    application_name: options.applicationName ?? "longshore",
    ssl: tlsOptions(options.tls, host),
    types: columnTypes,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: Math.ceil(statementTimeoutMs * idleShare),
    options: sessionOptions(options.schema),
  };
}

/**
 * - Whole tables are never read, by design: every statement finds its rows by an index. Said so,
 *   the planner does not choose otherwise while its statistics are those of an empty table; and
 *   does not compile what then looks expensive to it.
 * - The others are what we rely on, wherever the cluster's own defaults lie.
 */
function sessionOptions(schema: string | undefined): string {
  const settings = {
    enable_seqscan: "off",
    jit: "off",
    bytea_output: "hex",
    default_transaction_isolation: "read committed",
    ...(schema !== undefined && { search_path: quoted(schema) }),
  };
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, String.raw`\$&`)}`)
    .join(" ");
}

/** A name as SQL quotes it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function parseUrl(text: string): UrlParts {
  // Never quoted in an error: there may be a password in it.
  if (!URL.canParse(text)) throw new Error("the PostgreSQL URL is not a URL");
  const url = new URL(text);
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw new Error("the PostgreSQL URL must begin with postgres://");
  }
  const [user, password, host] = [url.username, url.password, url.hostname].map(decode);
  const known = {
    host: host === "" ? undefined : host?.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? undefined : Number(url.port),
    user: user === "" ? undefined : user,
    password: password === "" ? undefined : password,
    database: url.pathname.length > 1 ? decode(url.pathname.slice(1)) : undefined,
  };
  return { ...definedOf(known), ...parseParameters(url.searchParams) };
}

function decode(text: string): string {
  return decodeURIComponent(text);
}

function parseParameters(parameters: URLSearchParams): UrlParts {
  const tls: { -readonly [K in keyof PostgresTls]?: PostgresTls[K] } = {};
  const parts: { host?: string; applicationName?: string } = {};
  const set: Readonly<Record<string, (value: string) => void>> = {
    sslmode: (value) => {
      const mode = tlsModes.find((each) => each === value);
      if (mode === undefined) {
        throw new Error(`sslmode in the PostgreSQL URL must be one of ${tlsModes.join(", ")}`);
      }
      tls.mode = mode;
    },
    sslrootcert: (value) => void (tls.ca = value),
    sslcert: (value) => void (tls.cert = value),
    sslkey: (value) => void (tls.key = value),
    host: (value) => void (parts.host = value),
    application_name: (value) => void (parts.applicationName = value),
  };
  for (const [name, value] of parameters) {
    const apply = set[name];
    if (apply === undefined) {
      const names = Object.keys(set).join(", ");
      throw new Error(`the PostgreSQL URL has the parameter ${name}; known are ${names}`);
    }
    apply(value);
  }
  return { ...parts, tls };
}

function tlsOptions(tls: Partial<PostgresTls>, host: string): false | ConnectionOptions {
  const given = definedOf(tls);
  const mode = given.mode ?? (Object.keys(given).length > 0 ? "verify-full" : "disable");
  if (mode === "disable") return false;
  if (host.startsWith("/")) throw new Error("a Unix socket of PostgreSQL has no TLS");
  const { ca, cert, key, servername } = given;
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error("TLS to PostgreSQL: a certificate needs its key, and a key its certificate");
  }
  const files = definedOf({ ca: read(ca), cert: read(cert), key: read(key) });
  if (mode === "require") return { ...files, rejectUnauthorized: false };
  const name = servername ?? host;
  return {
    ...files,
    rejectUnauthorized: true,
    ...(servername !== undefined && isIP(host) !== 0 && { servername }),
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  };
}

function read(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, "utf8");
}

/** Without what is undefined: it shall not hide what was given elsewhere. */
function definedOf<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
