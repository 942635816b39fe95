/**
 * Starts the real servers that tests run against. Where an environment variable names a server that
 * runs already, that one is used: a run of the whole suite starts each server once.
 */
import process from "node:process";
import { startOwnCeph } from "./ceph.ts";
import { startOwnPostgres, type PostgresServer } from "./postgres.ts";
import { parseS3, type S3Server } from "./s3.ts";
import { sharedServer } from "./server.ts";

export const variables = {
  ceph: "LONGSHORE_TEST_S3_CEPH",
  swift: "LONGSHORE_TEST_S3_SWIFT",
  azurite: "LONGSHORE_TEST_AZURE",
  postgres: "LONGSHORE_TEST_POSTGRES",
} as const;

export interface StartOptions {
  /** Not a shared one: the test will stop or pause it. */
  readonly own?: boolean;
}

export async function startCeph({ own = false }: StartOptions = {}): Promise<S3Server> {
  const given = own ? undefined : process.env[variables.ceph];
  if (given === undefined) return await startOwnCeph();
  return { ...parseS3(given), ...sharedServer };
}

export async function startPostgres({ own = false }: StartOptions = {}): Promise<PostgresServer> {
  const given = own ? undefined : process.env[variables.postgres];
  if (given === undefined) return await startOwnPostgres();
  return { endpoint: given, ...sharedServer };
}
