/**
 * What Linux knows about a process: CPU time and memory, of the process and of all that it
 * started.
 */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU seconds (user and system, all threads) of a process and its living descendants. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const each of tree(pid)) {
    // The name, field 2, may hold spaces: count from behind it. utime and stime are fields 14 and
    // 15, cutime and cstime (children that have ended) 16 and 17.
    const stat = read(`/proc/${each}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    for (const field of [11, 12, 13, 14]) ticks += Number(fields[field] ?? 0);
  }
  return ticks / TICKS_PER_SECOND;
}

export interface Memory {
  readonly rssMiB: number;
  /** The highest that the resident set ever was, or since the last `resetPeak`. */
  readonly peakMiB: number;
}

export function memory(pid: number): Memory {
  let rssKiB = 0;
  let peakKiB = 0;
  for (const each of tree(pid)) {
    const status = read(`/proc/${each}/status`);
    rssKiB += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    peakKiB += Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return { rssMiB: rssKiB / 1024, peakMiB: peakKiB / 1024 };
}

/** Makes the peak start anew from what is resident now. */
export function resetPeak(pid: number): void {
  for (const each of tree(pid)) writeFileSync(`/proc/${each}/clear_refs`, "5");
}

function tree(pid: number): number[] {
  const all = [pid];
  for (let at = 0; at < all.length; at += 1) {
    const parent = all[at] ?? 0;
    for (const task of tasks(parent)) {
      const children = read(`/proc/${parent}/task/${task}/children`).trim();
      if (children !== "") all.push(...children.split(" ").map(Number));
    }
  }
  return all;
}

function tasks(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** A process may end between two looks: then it has nothing to say. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
