/** From spawn to the first 200 on `/v2/`: with nothing stored, and with a full database. */
import { ROLES, interleave } from "../bench.ts";
import type { Bench } from "../bench.ts";
import type { Line, Role, Target } from "../results.ts";
import { seedManyManifests } from "../seed.ts";

const IN_TIME: readonly Target[] = [{ kind: "atMost", value: 0.4, scale: "http" }];

export async function start(bench: Bench): Promise<readonly Line[]> {
  bench.progress("starts on an empty folder");
  const empty = await interleave(bench.plan.starts, async (role) => {
    const own = await bench.own(role);
    await own.stop();
    own.remove();
    return { value: own.server.startMs / 1000 };
  });
  const count = bench.plan.startManifests;
  bench.progress(`preparing ${count} manifests`);
  const roles = ROLES.filter((role) => bench.sides[role] === "longshore");
  const folders = new Map<Role, string>();
  for (const role of roles) {
    const own = await bench.own(role);
    await seedManyManifests(own.server.port, count);
    await own.stop();
    folders.set(role, own.directory);
  }
  bench.progress("starts with those");
  const full = await interleave(
    bench.plan.starts,
    async (role) => {
      const directory = folders.get(role);
      const own = await bench.own(role, directory === undefined ? {} : { directory });
      await own.stop();
      return { value: own.server.startMs / 1000 };
    },
    roles,
  );
  const common = { row: "start", unit: "s", moreIsBetter: false, targets: IN_TIME };
  return [
    { ...common, work: "start to listening, empty", samples: empty },
    {
      ...common,
      work: `start to listening, ${count.toLocaleString("en")} manifests`,
      samples: full,
      notes: ["docker-registry has no database: what it stores makes no difference to its start"],
    },
  ];
}
