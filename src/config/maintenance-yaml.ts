/** `storage.maintenance`: Distribution's purge of uploads, and our own other jobs. */
import { z } from "zod";
import type { UpkeepSettings } from "../jobs/settings.ts";
import { builtInConfig } from "./config.ts";
import { duration, flag, section, value } from "./yaml-values.ts";

/** A pause of none at all would be work without end. */
const interval = value("must be a duration above 0, such as 24h", (given) => {
  const ms = duration.safeParse(given).data;
  return ms === undefined || ms <= 0 ? undefined : ms;
});

const schedule = { enabled: flag.optional(), interval: interval.optional() };

interface ScheduleKeys {
  readonly enabled?: boolean | undefined;
  readonly interval?: number | undefined;
}

function scheduleOf(job: ScheduleKeys | undefined): {
  readonly enabled?: boolean;
  readonly intervalMs?: number;
} {
  const { enabled, interval } = job ?? {};
  return {
    ...(enabled === undefined ? {} : { enabled }),
    ...(interval === undefined ? {} : { intervalMs: interval }),
  };
}

export const maintenanceSection: z.ZodType<UpkeepSettings> = section({
  uploadpurging: section({
    ...schedule,
    age: duration.optional(),
    dryrun: flag.optional(),
  }).optional(),
  collect: section(schedule).optional(),
  sweep: section({ ...schedule, grace: duration.optional() }).optional(),
  lease: interval.optional(),
  firstdelay: duration.optional(),
  // Refused unless it is off.
  readonly: z.unknown().optional(),
}).transform(({ collect, firstdelay, lease, sweep, uploadpurging }) => {
  const { upkeep } = builtInConfig;
  return {
    ...upkeep,
    purge: {
      ...upkeep.purge,
      ...scheduleOf(uploadpurging),
      ageMs: uploadpurging?.age ?? upkeep.purge.ageMs,
      dryRun: uploadpurging?.dryrun ?? upkeep.purge.dryRun,
    },
    collect: { ...upkeep.collect, ...scheduleOf(collect) },
    sweep: {
      ...upkeep.sweep,
      ...scheduleOf(sweep),
      graceMs: sweep?.grace ?? upkeep.sweep.graceMs,
    },
    leaseMs: lease ?? upkeep.leaseMs,
    firstDelayMaxMs: firstdelay ?? upkeep.firstDelayMaxMs,
  };
});
