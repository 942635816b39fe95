/**
 * Runs a suite with Node's own test runner. Files and options (`--name=value`) of `node --test` may
 * follow; given files run instead of the suite's.
 *
 *     npm test -- test/oci/digest.test.ts --test-name-pattern=sha512
 */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";

interface Suite {
  readonly include: string;
  readonly exclude: readonly string[];
  /** Of one test, not of a file. */
  readonly timeoutMs: number;
  /** Test files that run at once, each in its own process. */
  readonly concurrency: number;
  /** Run once around all files of the suite; single files that are given do without. */
  readonly around?: string;
}

const suites: Readonly<Record<string, Suite>> = {
  unit: {
    include: "test/**/*.test.ts",
    exclude: ["test/e2e/**", "test/integration/**"],
    // The slowest test packs, installs and starts the package.
    timeoutMs: 90_000,
    // Many tests wait for a disk or for another process, so that two at once also pay on one core.
    concurrency: Math.max(2, availableParallelism()),
  },
  e2e: {
    include: "test/e2e/**/*.test.ts",
    exclude: [],
    // Some push an image of more than a gigabyte with each client.
    timeoutMs: 15 * 60_000,
    // The clients share the machine's container storage.
    concurrency: 1,
  },
  integration: {
    include: "test/integration/**/*.test.ts",
    exclude: [],
    // The longest of them is chaos on three nodes, for many rounds.
    timeoutMs: 15 * 60_000,
    concurrency: Math.max(2, availableParallelism()),
    around: "test/servers/global-setup.ts",
  },
};

const [name = "unit", ...given] = process.argv.slice(2);
const suite = suites[name];
if (suite === undefined) throw new Error(`No suite is called ${name}`);

// The runner takes this process's place, and so gets its signals.
assert(process.execve !== undefined, "Windows has no execve: use its Linux subsystem");
const isWhole = given.every((argument) => argument.startsWith("-"));
process.execve(process.execPath, [
  process.execPath,
  "--test",
  "--test-reporter=spec",
  `--test-concurrency=${suite.concurrency}`,
  `--test-timeout=${suite.timeoutMs}`,
  ...(isWhole && suite.around !== undefined ? [`--test-global-setup=${suite.around}`] : []),
  ...given,
  ...(isWhole ? testFiles(suite) : []),
]);

function testFiles({ include, exclude }: Suite): readonly string[] {
  const files = globSync(include, { exclude }).toSorted();
  if (files.length === 0) throw new Error(`No test file matches ${include}`);
  return files;
}
