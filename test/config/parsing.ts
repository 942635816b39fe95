/** What the tests of the config file are made of. */
import assert from "node:assert/strict";
import type { Config } from "../../src/config/config.ts";
import { ConfigError, parseDistributionYaml } from "../../src/config/distribution-yaml.ts";

const database = "metadata: {sqlite: {path: /db}}";

/** The config of a file with these lines below `storage`, and a database. */
export function parseStorage(lines: string): Config {
  const indented = lines.split("\n").map((line) => `  ${line}`);
  return parseDistributionYaml(`version: 0.1\n${database}\nstorage:\n${indented.join("\n")}\n`);
}

/** The config of a file with these lines, and a folder to store in. */
export function parseBeside(lines: string): Config {
  return parseDistributionYaml(`version: 0.1\nstorage: {filesystem: {}}\n${lines}\n`);
}

/** Fails unless it is refused with just these lines. */
export function assertRefused(parse: () => unknown, ...lines: readonly string[]): void {
  assert.deepEqual(problemsOf(parse), lines);
}

export function problemsOf(parse: () => unknown): readonly string[] {
  let problem: unknown;
  try {
    parse();
  } catch (error) {
    problem = error;
  }
  assert(problem instanceof ConfigError, `it was taken, or broke: ${String(problem)}`);
  return problem.message.split("\n");
}
