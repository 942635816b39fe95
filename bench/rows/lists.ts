/** Pages of tags, of the catalog, of referrers: is the last as quick as the first? */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench } from "../bench.ts";
import { read } from "../load/tools.ts";
import type { Line, Role, Target } from "../results.ts";
import {
  repositoryName,
  seedReferrers,
  seedRepositories,
  seedTags,
  tagName,
  writeRepositories,
  writeTags,
} from "../seed.ts";
import { readLine } from "./reads.ts";

const PAGE = 100;
const PER_SUBJECT = 100;
const TAGS_REPOSITORY = "bench/tags";

/** The last page may be this much slower than the first and still count as the same: noise. */
const SAME_WITHIN = 1.15;

const IN_TIME: Target = { kind: "atMost", value: 2, scale: "http" };

export async function lists(bench: Bench): Promise<readonly Line[]> {
  const { tags, repositories } = bench.plan;
  for (const role of ROLES) await seedNames(bench, role);
  const page = `?n=${PAGE}`;
  const ofTags = `page of ${PAGE} of ${tags.toLocaleString("en")} tags`;
  const ofRepositories = `page of ${PAGE} of ${repositories.toLocaleString("en")} repositories`;
  const [firstTags, lastTags] = [`first ${ofTags}`, `last ${ofTags}`];
  const [firstRepositories, lastRepositories] = [
    `first ${ofRepositories}`,
    `last ${ofRepositories}`,
  ];
  const wholeList = "docker-registry 2.8.2 has no pages of tags: it sends all of them each time";
  const lastTag = tagName(tags - PAGE - 1);
  const lastRepository = encodeURIComponent(repositoryName(repositories - PAGE - 1));
  return [
    await timeLine(bench, {
      work: firstTags,
      path: `/v2/${TAGS_REPOSITORY}/tags/list${page}`,
      targets: [IN_TIME],
      notes: [wholeList],
    }),
    await timeLine(bench, {
      work: lastTags,
      path: `/v2/${TAGS_REPOSITORY}/tags/list${page}&last=${lastTag}`,
      targets: [IN_TIME, { kind: "beside", work: firstTags, factor: SAME_WITHIN }],
      notes: [wholeList],
    }),
    await timeLine(bench, {
      work: firstRepositories,
      path: `/v2/_catalog${page}`,
      targets: [IN_TIME],
    }),
    await timeLine(bench, {
      work: lastRepositories,
      path: `/v2/_catalog${page}&last=${lastRepository}`,
      targets: [IN_TIME, { kind: "beside", work: firstRepositories, factor: SAME_WITHIN }],
    }),
  ];
}

export async function referrers(bench: Bench): Promise<readonly Line[]> {
  if (bench.sides.subject === "docker-registry") return [];
  const repository = "bench/referrers";
  const count = bench.plan.manifestsBesideReferrers;
  const { port } = await bench.shared("subject");
  bench.progress(`preparing ${count} manifests with a subject`);
  const subjects = await seedReferrers(port, { repository, count, perSubject: PER_SUBJECT });
  const middle = subjects[subjects.length >> 1] ?? "";
  const line = await readLine(bench, {
    row: "referrers",
    work: `${PER_SUBJECT} referrers of a subject, among ${count.toLocaleString("en")} manifests`,
    paths: { subject: [`/v2/${repository}/referrers/${middle}`] },
    targets: [{ kind: "atLeast", value: 3000, scale: "http" }],
    notes: ["docker-registry 2.8.2 has no referrers"],
  });
  return [line];
}

async function seedNames(bench: Bench, role: Role): Promise<void> {
  const { tags, repositories } = bench.plan;
  const { port } = await bench.shared(role);
  bench.progress(`preparing ${tags} tags and ${repositories} repositories (${role})`);
  if (bench.sides[role] === "docker-registry") {
    const root = await bench.sharedRoot(role);
    writeTags(root, TAGS_REPOSITORY, tags);
    writeRepositories(root, repositories);
    return;
  }
  await seedTags(port, TAGS_REPOSITORY, tags);
  await seedRepositories(port, repositories);
}

/** The median time of one request after the other on one connection. */
async function timeLine(
  bench: Bench,
  list: {
    readonly work: string;
    readonly path: string;
    readonly targets: readonly Target[];
    readonly notes?: readonly string[];
  },
): Promise<Line> {
  bench.progress(list.work);
  const load = async (role: Role, seconds: number) =>
    read(bench.tools, {
      port: (await bench.shared(role)).port,
      connections: 1,
      paths: [list.path],
      seconds,
    });
  for (const role of ROLES) await load(role, bench.plan.warmUpS / 2);
  const samples = await interleave(bench.plan.rounds, async (role) =>
    withCpu(await bench.shared(role), 1000, async () => {
      const result = await load(role, bench.plan.windowS / 2);
      const { p50Ms: value, requests: units, cpuSeconds: clientCpuSeconds } = result;
      return { value, units, clientCpuSeconds };
    }),
  );
  return {
    row: "lists",
    work: list.work,
    unit: "ms",
    moreIsBetter: false,
    cpuUnit: "ms/request",
    samples,
    targets: list.targets,
    ...(list.notes && { notes: list.notes }),
  };
}
