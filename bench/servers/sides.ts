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

/** What a server keeps its things in, beside or instead of its own folder. */
export interface Backend {
  readonly s3?: {
    readonly endpoint: string;
    readonly accessKey: string;
    readonly secretKey: string;
    readonly region: string;
    readonly bucket: string;
    readonly rootdirectory: string;
  };
  /** A URL. Only Longshore keeps its metadata in a database; elsewhere it has no meaning. */
  readonly postgres?: string;
}

export interface StartOptions {
  /** The server's own folder; its config, log and storage go there. */
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly backend?: Backend;
  /** Processes that share the port: only Longshore has them. */
  readonly workers?: number;
}

interface Place {
  readonly root: string;
  readonly port: number;
  readonly debugPort: number;
  readonly backend: Backend;
  readonly workers: number;
}

interface Side {
  readonly version: () => string;
  readonly config: (place: Place) => string;
  readonly command: (config: string) => readonly [string, ...string[]];
}

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** The keys are Distribution's, so that both sides read the same file. */
function storage({ backend, root }: Place): string {
  const { s3 } = backend;
  if (s3 === undefined) return `  filesystem:\n    rootdirectory: ${root}\n`;
  // Bytes go through the registry on both sides: that is what is measured.
  return `  redirect:
    disable: true
  s3:
    regionendpoint: ${s3.endpoint}
    region: ${s3.region}
    bucket: ${s3.bucket}
    accesskey: ${s3.accessKey}
    secretkey: ${s3.secretKey}
    secure: false
    forcepathstyle: true
    rootdirectory: ${s3.rootdirectory}
`;
}

function common(place: Place): string {
  return `version: 0.1
log:
  level: info
storage:
${storage(place)}  delete:
    enabled: true
http:
  addr: 127.0.0.1:${place.port}
  headers:
    X-Content-Type-Options: [nosniff]
`;
}

function metadata({ backend, root }: Place): string {
  if (backend.postgres !== undefined)
    return `metadata:\n  postgres:\n    url: ${backend.postgres}\n`;
  return backend.s3 === undefined ? "" : `metadata:\n  sqlite:\n    path: ${root}/metadata.db\n`;
}

const SIDES: Readonly<Record<SideName, Side>> = {
  longshore: {
    version: longshoreVersion,
    config: (place) => `${common(place)}  workers: ${place.workers}
  debug:
    addr: 127.0.0.1:${place.debugPort}
    prometheus:
      enabled: true
${metadata(place)}`,
    command: (config) => [process.execPath, longshoreProgram().file, "serve", config],
  },
  "docker-registry": {
    version: () => {
      const said = execFileSync("docker-registry", ["--version"], { encoding: "utf8" });
      return said.trim().split(" ").at(-1) ?? "?";
    },
    // What the package's own config.yml has beside the storage: a cache and the health check.
    config: (place) => `${common(place).replace(
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
  const { backend = {}, workers = 1 } = options;
  const place = { root, port, debugPort: await freePort(), backend, workers };
  writeFileSync(configFile, SIDES[side].config(place));
  const [command, ...args] = SIDES[side].command(configFile);
  const logFile = join(options.directory, "server.log");
  // docker-registry 2.8.2 ends at once over S3 where this is set, and neither side needs it here.
  const env = { AWS_CA_BUNDLE: "", ...options.env };
  return Server.start({ command, args, env, port, logFile });
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
