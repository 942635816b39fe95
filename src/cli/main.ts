/** `longshore`: reads the command line and runs the command. */
import { parseArgs } from "node:util";
import { packageVersion } from "./version.ts";

const usage = `Longshore, a container registry

Usage:
  longshore serve [config.yml]   run the registry; without a file: port 5000, data in ./data
  longshore metadata copy ...    move a registry's metadata to another database (--help)
  longshore --version            print the version
  longshore --help               print this
`;

/** Exit codes as Distribution has them: 1 for whatever goes wrong. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await run(args);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`longshore: ${message}\n`);
    process.exitCode = 1;
  }
}

async function run(args: readonly string[]): Promise<void> {
  if (args[0] === "metadata") {
    const { runMetadata } = await import("./metadata-copy.ts");
    await runMetadata(args.slice(1));
    return;
  }
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      version: { type: "boolean", short: "v" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.version === true) {
    process.stdout.write(`longshore ${await packageVersion()}\n`);
    return;
  }
  const [command, ...rest] = positionals;
  if (values.help === true || command === "help") {
    process.stdout.write(usage);
    return;
  }
  if (command === "serve" && rest.length <= 1) {
    const { runServe } = await import("./serve.ts");
    await runServe(rest[0]);
    return;
  }
  const problem = command === undefined ? "no command given" : `unknown: ${positionals.join(" ")}`;
  throw new Error(`${problem}\n\n${usage}`);
}
