/** The section `storage`: which driver, and what all drivers share. */
import { z } from "zod";
import { builtInConfig, type Config, type StorageConfig } from "./config.ts";
import { maintenanceSection } from "./maintenance-yaml.ts";
import { azureSection, gcsSection } from "./object-storage-yaml.ts";
import { s3Section } from "./s3-yaml.ts";
import { ConfigError } from "./yaml-problems.ts";
import { duration, flag, section, text, word } from "./yaml-values.ts";

const drivers = {
  filesystem: section({
    rootdirectory: text.optional(),
    // Not needed, see `notNeeded`.
    maxthreads: z.unknown().optional(),
  }).optional(),
  inmemory: z.unknown().optional(),
  s3: s3Section.optional(),
  s3aws: s3Section.optional(),
  azure: azureSection.optional(),
  gcs: gcsSection.optional(),
};

const shared = {
  delete: section({
    enabled: flag.optional(),
    referenced: word(["deny", "allow"]).optional(),
  }).optional(),
  upload: section({ lease: duration.optional() }).optional(),
  redirect: section({ disable: flag.optional() }).optional(),
  maintenance: maintenanceSection.optional(),
  distributionkeys: flag.nullish(),
  cache: section({
    blobdescriptor: word(["inmemory", "redis"]).nullish(),
    layerinfo: word(["inmemory", "redis"]).nullish(),
    blobdescriptorsize: z.unknown().optional(),
  }).optional(),
  tag: section({ concurrencylimit: z.unknown().optional() }).optional(),
};

/** What the section decides, in our own terms. */
export interface StoragePart {
  readonly config: Pick<
    Config,
    "storage" | "deleteEnabled" | "deleteReferenced" | "uploadLeaseMs" | "upkeep"
  >;
  readonly http: Pick<Config["http"], "redirect">;
}

const driversAndShared = z.looseObject({ ...drivers, ...shared });

export const storageSection: z.ZodType<StoragePart> = z
  .preprocess(asMap, driversAndShared)
  .transform((section) => {
    const config = {
      storage: storageOf(section),
      // Distribution's default, which its operators count on: without the key no deletes.
      deleteEnabled: section.delete?.enabled === true,
      deleteReferenced: section.delete?.referenced ?? builtInConfig.deleteReferenced,
      uploadLeaseMs: section.upload?.lease,
      upkeep: section.maintenance ?? builtInConfig.upkeep,
    };
    const disable = section.redirect?.disable;
    return { config, http: disable === undefined ? {} : { redirect: !disable } };
  });

/** `storage: inmemory` is as good as a map with this one key. */
function asMap(storage: unknown): unknown {
  return typeof storage === "string" ? { [storage]: {} } : (storage ?? {});
}

function storageOf(section: z.output<typeof driversAndShared>): StorageConfig {
  const objects = section.s3 ?? section.s3aws ?? section.azure ?? section.gcs;
  if (objects !== undefined) {
    return { ...objects, distributionKeys: section.distributionkeys ?? false };
  }
  if (Object.hasOwn(section, "inmemory")) return "memory";
  return { root: section.filesystem?.rootdirectory ?? "/var/lib/registry" };
}

const removed: ReadonlySet<string> = new Set(["swift", "oss", "rados"]);

/** Looks at the names of the drivers alone, before anything is said of their parameters. */
export function checkDriver(section: unknown): void {
  const storage = asMap(section);
  if (typeof storage !== "object" || storage === null) return;
  const named = Object.keys(storage).filter((key) => !Object.hasOwn(shared, key));
  const [driver, second] = named;
  const known = Object.keys(drivers).join(", ");
  if (driver === undefined) {
    throw new ConfigError(`storage: names no driver; there are ${known}`);
  }
  if (second !== undefined) {
    throw new ConfigError(`storage: names two drivers, ${driver} and ${second}`);
  }
  if (removed.has(driver)) {
    throw new ConfigError(
      `storage.${driver}: Distribution removed this driver, and Longshore never had it; ` +
        `there are ${known}. Many such stores speak S3: try storage.s3 with a regionendpoint`,
    );
  }
  if (!Object.hasOwn(drivers, driver)) {
    throw new ConfigError(`storage.${driver}: there is no such driver; there are ${known}`);
  }
}
