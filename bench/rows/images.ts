/** Pushes of small images, all new. */
import { ROLES, interleave, withCpu } from "../bench.ts";
import type { Bench } from "../bench.ts";
import { pushWith } from "../load/tools.ts";
import type { Line, Role, Target } from "../results.ts";
import { median } from "../statistics.ts";

const NUMBERS = ["images", "seconds", "cpuSeconds", "p50Ms", "p99Ms"] as const;

export type PushedImages = Readonly<Record<(typeof NUMBERS)[number], number>>;

export function pushImages(port: number, clients: number, seconds: number): Promise<PushedImages> {
  const repository = "bench/image";
  return pushWith("push-images.ts", { port, clients, seconds, repository }, NUMBERS);
}

export async function images(bench: Bench): Promise<readonly Line[]> {
  return [
    await imagesLine(bench, { clients: 1, ratio: 3 }),
    await imagesLine(bench, { clients: 8, ratio: 4 }),
  ];
}

async function imagesLine(
  bench: Bench,
  { clients, ratio }: { readonly clients: number; readonly ratio: number },
): Promise<Line> {
  const work = `small image, 13 requests, ${clients} client${clients === 1 ? "" : "s"}`;
  bench.progress(work);
  const times: Record<Role, number[]> = { subject: [], yardstick: [] };
  for (const role of ROLES) {
    await pushImages((await bench.shared(role)).port, clients, bench.plan.warmUpS);
  }
  const samples = await interleave(bench.plan.rounds, async (role) => {
    const server = await bench.shared(role);
    return withCpu(server, 1000, async () => {
      const pushed = await pushImages(server.port, clients, bench.plan.imagesWindowS);
      times[role].push(pushed.p50Ms);
      const value = pushed.images / pushed.seconds;
      return { value, units: pushed.images, clientCpuSeconds: pushed.cpuSeconds };
    });
  });
  const each = ROLES.map((role) => `${median(times[role]).toFixed(1)} ms`).join(" and ");
  const targets: readonly Target[] = [
    { kind: "ratio", atLeast: ratio },
    { kind: "cpu", value: 5, scale: "http" },
  ];
  return {
    row: "images",
    work,
    unit: "images/s",
    moreIsBetter: true,
    cpuUnit: "ms/image",
    samples,
    targets,
    notes: [`${work}: one image takes ${each} (median)`],
  };
}
