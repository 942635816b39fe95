/** A story's temporary folder, and what has to be undone when the story ends, passed or failed. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after } from "node:test";

export interface Workspace {
  readonly folder: string;
  /** A new folder inside, whose name begins with `name`; lower case, since podman wants it so. */
  newFolder(name: string): Promise<string>;
  /** `undo` runs when the story ends; what was deferred last runs first. */
  defer(undo: () => Promise<void> | void): void;
}

/** Debian's packages alone: another docker or skopeo on this machine is not what is tested. */
export const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin";

const temporaryPrefix = join(tmpdir(), "longshore-e2e-");
const temporaryPath = new RegExp(`${RegExp.escape(temporaryPrefix)}[0-9a-f]+/`, "g");

const tools = [
  ...["skopeo", "podman", "buildah", "docker", "dockerd", "containerd", "ctr", "umoci"],
  ...["curl", "tar", "unshare", "setpriv", "mount", "sh"],
];

/** To be called once, at the top of a test file. */
export function openWorkspace(): Workspace {
  requireTools();
  const workspace = new TemporaryWorkspace();
  after(() => workspace.close());
  // After a crash: the processes end with this one (see processes.ts).
  process.on("exit", () => {
    workspace.removeFolder();
  });
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
    ["SIGHUP", 1],
  ] as const) {
    process.once(signal, () => {
      void workspace.close().finally(() => process.exit(128 + number));
    });
  }
  return workspace;
}

/** Says what the story is doing. */
export function say(line: string): void {
  process.stdout.write(`  ${line.replaceAll(temporaryPath, "")}\n`);
}

function requireTools(): void {
  const folders = searchPath.split(":");
  const missing = tools.filter((tool) => !folders.some((folder) => existsSync(join(folder, tool))));
  if (missing.length > 0) {
    throw new Error(
      `Not installed: ${missing.join(", ")}. Run scripts/e2e-packages.sh, which installs them.`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new Error("The end-to-end suite runs as root: each client gets its own mounts.");
  }
}

class TemporaryWorkspace implements Workspace {
  readonly folder = `${temporaryPrefix}${randomBytes(6).toString("hex")}`;
  readonly #undos: (() => Promise<void> | void)[] = [];
  #folders = 0;

  constructor() {
    mkdirSync(this.folder, { mode: 0o700 });
  }

  async newFolder(name: string): Promise<string> {
    const folder = join(this.folder, `${name}-${++this.#folders}`);
    await mkdir(folder);
    return folder;
  }

  defer(undo: () => Promise<void> | void): void {
    this.#undos.push(undo);
  }

  /** Everything is undone, even when something fails; then that is thrown. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo();
      } catch (error) {
        failures.push(error);
      }
    }
    this.removeFolder();
    if (existsSync(this.folder)) failures.push(new Error(`${this.folder} could not be removed`));
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "The story did not end cleanly");
  }

  /** Nothing is mounted in it: the clients' mounts are in namespaces which end with them. */
  removeFolder(): void {
    try {
      rmSync(this.folder, { recursive: true, force: true });
    } catch (error) {
      // Of a process that is about to end as well. To throw here would keep this one from ending.
      say(`not removed: ${String(error)}`);
    }
  }
}
