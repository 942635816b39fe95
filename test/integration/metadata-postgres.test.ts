import { after } from "node:test";
/** The metadata store's contract on a real PostgreSQL, whose own order is not that of bytes. */
import { metadataStoreContract } from "../../src/metadata/contract.ts";
import { openPostgresStore } from "../../src/metadata/postgres/postgres-store.ts";
import { startPostgres } from "../servers/servers.ts";
import { createDatabase } from "./support/database.ts";

const server = await startPostgres();
const database = await createDatabase(server.endpoint);
after(async () => {
  await database.drop();
  await server.stop();
});

const open = () =>
  openPostgresStore({ url: database.url }, { now: () => performance.now(), random: Math.random });

await metadataStoreContract("PostgreSQL", open, { openSecond: open });
