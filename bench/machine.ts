/** What this run ran on: facts that a reader needs to compare it with another. */
import { readFileSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

export interface Machine {
  readonly date: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly filesystem: string;
  readonly node: string;
}

/** A filesystem in memory syncs for nothing: what was measured on it says little about pushes. */
export const MEMORY_FILESYSTEM = "tmpfs";

/** Of `statfs`, from linux/magic.h. */
const FILESYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef_53, "ext4"],
  [0x58_46_53_42, "xfs"],
  [0x91_23_68_3e, "btrfs"],
  [0x01_02_19_94, MEMORY_FILESYSTEM],
  [0x79_4c_76_30, "overlayfs"],
  [0x2f_c1_2f_c1, "zfs"],
]);

export function machine(directory: string): Machine {
  const type = statfsSync(directory).type;
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "?",
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    filesystem: FILESYSTEMS.get(type) ?? `0x${type.toString(16)}`,
    node: process.version,
  };
}

/** Processes that want a core at the moment, this one aside: others' work spoils a run. */
export function loadAverage(): number {
  return Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0] ?? "0");
}
