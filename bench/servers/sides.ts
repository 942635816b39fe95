/**
 * The registries that can be measured, and how each is configured: as people would run it, access
 * log on.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server, freePort } from "./server.ts";

export const SIDE_NAMES = ["longshore", "docker-registry"] as const;

export type SideName = (typeof SIDE_NAMES)[number];

export interface StartOptions {
  /** The server's own folder; its config, log and storage go there. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Side {
  readonly version: () => string;
  readonly config: (root: string, port: number, debugPort: number) => string;
  readonly command: (config: string) => readonly [string, ...string[]];
}

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

const COMMON = (root: string, port: number): string => `version: 0.1
log:
  level: info
storage:
  filesystem:
    rootdirectory: ${root}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:${port}
  headers:
    X-Content-Type-Options: [nosniff]
`;

const SIDES: Readonly<Record<SideName, Side>> = {
  longshore: {
    version: longshoreVersion,
    config: (root, port, debugPort) => `${COMMON(root, port)}  debug:
    addr: 127.0.0.1:${debugPort}
    prometheus:
      enabled: true
`,
    command: (config) => [process.execPath, longshoreProgram().file, "serve", config],
  },
  "docker-registry": {
    version: () => {
      const said = execFileSync("docker-registry", ["--version"], { encoding: "utf8" });
      return said.trim().split(" ").at(-1) ?? "?";
    },
    // What the package's own config.yml has beside the storage: a cache and the health check.
    config: (root, port) => `${COMMON(root, port).replace(
      "storage:\n",
      "storage:\n  cache:\n    blobdescriptor: inmemory\n",
    )}health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`,
    command: (config) => ["docker-registry", "serve", config],
  },
};

export function versionOf(side: SideName): string {
  return SIDES[side].version();
}

/** The root that a server started in `directory` stores under. */
export function storageRoot(directory: string): string {
  return join(directory, "storage");
}

export async function startServer(side: SideName, options: StartOptions): Promise<Server> {
  const root = storageRoot(options.directory);
  mkdirSync(root, { recursive: true });
  const port = await freePort();
  const configFile = join(options.directory, "config.yml");
  writeFileSync(configFile, SIDES[side].config(root, port, await freePort()));
  const [command, ...args] = SIDES[side].command(configFile);
  const logFile = join(options.directory, "server.log");
  return Server.start({ command, args, env: options.env ?? {}, port, logFile });
}

/** Whether what is measured is not what people install: it was not built, or has changed since. */
export function isFromSource(side: SideName): boolean {
  return side === "longshore" && longshoreProgram().kind === "from source";
}

/** The program as people install it, when it was built from what is here now; else the sources. */
function longshoreProgram(): { readonly file: string; readonly kind: "built" | "from source" } {
  const built = join(PROJECT, "dist/cli/longshore.js");
  const changed = newest(join(PROJECT, "src"));
  if (existsSync(built) && newest(join(PROJECT, "dist")) >= changed) {
    return { file: built, kind: "built" };
  }
  return { file: join(PROJECT, "src/cli/longshore.ts"), kind: "from source" };
}

/** When anything under a folder was last written. */
function newest(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Math.max(...files.map((file) => statSync(join(file.parentPath, file.name)).mtimeMs));
}

function longshoreVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? String(manifest.version)
      : "?";
  const { kind } = longshoreProgram();
  try {
    const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: PROJECT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return `${version} (${commit.trim()}, ${kind})`;
  } catch {
    return `${version} (${kind})`;
  }
}
