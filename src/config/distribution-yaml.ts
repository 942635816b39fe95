/**
 * Distribution's config.yml, as far as Longshore has what it configures. A key that it knows and
 * that decides about access, storage or TLS is refused while Longshore cannot honour it: a registry
 * that silently ignores `auth` would be open. Everything else that has no effect is a warning.
 */
import { isMap, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { builtInConfig, type Config } from "./config.ts";
import { httpSection } from "./http-yaml.ts";
import { logLevel, logSection } from "./log-yaml.ts";
import { checkMetadata, metadataSection } from "./metadata-yaml.ts";
import { middlewareSection } from "./middleware-yaml.ts";
import { schemaKeys, unknownKeys } from "./schema-keys.ts";
import { checkDriver, storageSection } from "./storage-yaml.ts";
import { notNeeded, refuse } from "./yaml-exceptions.ts";
import { ConfigError, describeIssue, explain } from "./yaml-problems.ts";

export { ConfigError } from "./yaml-problems.ts";

const fileSchema = z.looseObject({
  version: z.preprocess(String, z.literal("0.1", 'must be "0.1"')),
  log: logSection.optional(),
  loglevel: logLevel.optional(),
  storage: storageSection,
  metadata: metadataSection.optional(),
  http: httpSection.optional(),
  middleware: middlewareSection.optional(),
});

type ConfigFile = z.output<typeof fileSchema>;

/** Each key that is known, as a path with dots. */
export function configKeys(): readonly string[] {
  return schemaKeys(fileSchema);
}

export function parseDistributionYaml(text: string): Config {
  const values = readYaml(text);
  refuse(values);
  checkDriver(values["storage"]);
  const parsed = fileSchema.safeParse(values, { error: explain });
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => describeIssue(issue, values));
    throw new ConfigError(problems.join("\n"));
  }
  return toConfig(parsed.data, warningsOf(values));
}

/** Without the lines that the parser would quote: a secret may stand in them. */
function readYaml(text: string): Readonly<Record<string, unknown>> {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
  });
  const [broken] = document.errors;
  if (broken !== undefined) {
    const { col, line } = lines.linePos(broken.pos[0]);
    throw new ConfigError(`${broken.message} (line ${line}, column ${col})`);
  }
  if (!isMap(document.contents)) throw new ConfigError("the file is not a map of keys");
  try {
    return document.toJS({ maxAliasCount: 100 }) as Readonly<Record<string, unknown>>;
  } catch {
    throw new ConfigError("an alias stands for nothing, or for too much; text with * needs quotes");
  }
}

function warningsOf(values: unknown): readonly string[] {
  const needless = notNeeded(values);
  const explained = (path: string): boolean =>
    needless.some(([known]) => path === known || path.startsWith(`${known}.`));
  return [
    ...needless.map(([path, reason]) => `${path}: ${reason}`),
    ...unknownKeys(fileSchema, values)
      .filter((path) => !explained(path))
      .map((path) => `${path} has no effect in this version`),
  ];
}

function toConfig(file: ConfigFile, warnings: readonly string[]): Config {
  const { http, log, loglevel, metadata, middleware, storage } = file;
  checkMetadata(metadata, storage.config.storage);
  const level = loglevel === undefined ? {} : { level: loglevel };
  return {
    ...storage.config,
    log: { ...builtInConfig.log, ...level, ...log },
    metadata,
    links: middleware ?? [],
    http: { ...(http?.http ?? builtInConfig.http), ...storage.http },
    debug: http?.debug,
    warnings,
  };
}
