/**
 * Starts the real servers that tests run against. Where an environment variable names a server that
 * runs already, that one is used: a run of the whole suite starts each server once.
 */
import process from "node:process";
import { formatAzure, parseAzure, startOwnAzurite, type AzureServer } from "./azurite.ts";
import { startOwnCeph } from "./ceph.ts";
import { startOwnPostgres, type PostgresServer } from "./postgres.ts";
import { formatS3, parseS3, type S3Server } from "./s3.ts";
import { sharedServer } from "./server.ts";
import { startOwnSwift } from "./swift.ts";

const variables = {
  ceph: "LONGSHORE_TEST_S3_CEPH",
  swift: "LONGSHORE_TEST_S3_SWIFT",
  azurite: "LONGSHORE_TEST_AZURE",
  postgres: "LONGSHORE_TEST_POSTGRES",
} as const;

export type ServerName = keyof typeof variables;

export const serverNames = Object.keys(variables) as readonly ServerName[];

export function isServerName(name: string): name is ServerName {
  return Object.hasOwn(variables, name);
}

export interface StartOptions {
  /** Not a shared one: the test will stop or pause it. */
  readonly own?: boolean;
}

export async function startCeph(options: StartOptions = {}): Promise<S3Server> {
  const given = sharedAt("ceph", options);
  return given === undefined ? await startOwnCeph() : { ...parseS3(given), ...sharedServer };
}

export async function startSwift(options: StartOptions = {}): Promise<S3Server> {
  const given = sharedAt("swift", options);
  return given === undefined ? await startOwnSwift() : { ...parseS3(given), ...sharedServer };
}

export async function startAzurite(options: StartOptions = {}): Promise<AzureServer> {
  const given = sharedAt("azurite", options);
  return given === undefined ? await startOwnAzurite() : { ...parseAzure(given), ...sharedServer };
}

export async function startPostgres(options: StartOptions = {}): Promise<PostgresServer> {
  const given = sharedAt("postgres", options);
  return given === undefined ? await startOwnPostgres() : { endpoint: given, ...sharedServer };
}

function sharedAt(name: ServerName, { own = false }: StartOptions): string | undefined {
  return own ? undefined : process.env[variables[name]];
}

export interface SharedServers {
  /** What tells other processes where they are. */
  readonly variables: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const shareable = {
  ceph: async () => {
    const server = await startCeph();
    return { ...server, text: formatS3(server) };
  },
  swift: async () => {
    const server = await startSwift();
    return { ...server, text: formatS3(server) };
  },
  azurite: async () => {
    const server = await startAzurite();
    return { ...server, text: formatAzure(server) };
  },
  postgres: async () => {
    const server = await startPostgres();
    return { ...server, text: server.endpoint };
  },
} as const;

/** Starts servers for other processes to use. Those that are shared already stay as they are. */
export async function startShared(names: readonly ServerName[]): Promise<SharedServers> {
  const started = await Promise.allSettled(names.map((name) => shareable[name]()));
  const servers = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  for (const each of started) {
    if (each.status === "fulfilled") continue;
    await stop();
    throw each.reason;
  }
  const texts: Record<string, string> = {};
  for (const [index, name] of names.entries()) texts[variables[name]] = servers[index]?.text ?? "";
  return { variables: texts, stop };
}
