/** Longshore with its metadata in PostgreSQL, which runs on the same machine. */
import { startPostgres } from "../../test/servers/servers.ts";
import type { Bench } from "../bench.ts";
import type { Line } from "../results.ts";
import { seedImages, seedRepositories, seedTags } from "../seed.ts";
import { readLine } from "./reads.ts";

const IMAGES = 100;
const NAMES = 1000;
const PAGE = 100;

export async function postgres(bench: Bench): Promise<readonly Line[]> {
  if (bench.sides.subject === "docker-registry") return [];
  bench.progress("starting PostgreSQL");
  const database = await startPostgres();
  try {
    const own = await bench.own("subject", { backend: { postgres: database.endpoint } });
    const { port } = own.server;
    const common = {
      row: "postgres",
      servers: () => Promise.resolve(own.server),
      notes: ["one node, PostgreSQL and the load generator share the machine"],
    };
    const { byTag, byDigest } = await seedImages(port, IMAGES);
    await seedTags(port, "bench/tags", NAMES);
    await seedRepositories(port, NAMES);
    const lines = [
      await readLine(bench, {
        ...common,
        work: "GET manifest by tag, PostgreSQL, 16 connections",
        paths: { subject: byTag },
        targets: [{ kind: "atLeast", value: 4000, scale: "http" }],
      }),
      await readLine(bench, {
        ...common,
        work: "GET manifest by digest, PostgreSQL, 16 connections",
        paths: { subject: byDigest },
        targets: [{ kind: "atLeast", value: 4000, scale: "http" }],
      }),
      await readLine(bench, {
        ...common,
        work: `page of ${PAGE} tags, PostgreSQL, 16 connections`,
        paths: { subject: [`/v2/bench/tags/tags/list?n=${PAGE}`] },
        targets: [],
      }),
    ];
    await own.stop();
    return lines;
  } finally {
    await database.stop();
  }
}
