/**
 * A machine of its own for a client, as far as files go: a mount namespace in which every folder
 * that the client shares with others (configuration, caches, locks, sockets) is an empty one of
 * ours. The namespace and what is mounted in it end with the client.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { plainSurroundings, type Surroundings } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

export interface Isolation extends Surroundings {
  /** All of the client's files lie below. */
  readonly folder: string;
}

const privateFolders = [
  ...["run", "var/lib", "var/tmp", "dev/shm", "etc/containers", "etc/docker"],
];

const bindPrivateFolders = [
  "root=$1; shift",
  `for d in ${privateFolders.join(" ")}; do`,
  '  if [ -d "/$d" ]; then mount --bind "$root/$d" "/$d" || exit 125; fi',
  "done",
  'exec "$@"',
].join("\n");

/** Everything that containers/image would read from /etc/containers. */
const containersConfiguration: Readonly<Record<string, string>> = {
  "policy.json": JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
  "registries.conf": "unqualified-search-registries = []\n",
  "registries.d/default.yaml": "default-docker:\n  use-sigstore-attachments: true\n",
  "containers.conf": [
    "[engine]",
    'cgroup_manager = "cgroupfs"',
    'events_logger = "none"',
    'lock_type = "file"',
    "[network]",
    'network_config_dir = "/run/no-networks"',
    "",
  ].join("\n"),
};

/** The configuration of the storage that podman and buildah pull into. */
function storageConfiguration(lazyPulls: boolean): string {
  return [
    "[storage]",
    // vfs works on every filesystem; pulling lazily needs overlay.
    `driver = "${lazyPulls ? "overlay" : "vfs"}"`,
    'graphroot = "/var/lib/containers/storage"',
    'runroot = "/run/containers/storage"',
    "[storage.options]",
    `pull_options = {enable_partial_images = "${lazyPulls}"}`,
    "",
  ].join("\n");
}

export interface IsolationOptions {
  /** Pulls only those parts of layers that are missing, where layers are made for that. */
  readonly lazyPulls?: boolean;
}

export async function isolate(
  workspace: Workspace,
  name: string,
  { lazyPulls = false }: IsolationOptions = {},
): Promise<Isolation> {
  const folder = await workspace.newFolder(name);
  for (const path of [...privateFolders, "home", "run/user", "run/no-networks", "tmp"]) {
    await mkdir(join(folder, path), { recursive: true });
  }
  await mkdir(join(folder, "etc/containers/registries.d"));
  const configuration = {
    ...containersConfiguration,
    "storage.conf": storageConfiguration(lazyPulls),
  };
  for (const [file, text] of Object.entries(configuration)) {
    await writeFile(join(folder, "etc/containers", file), text);
  }
  return {
    folder,
    prefix: [
      ...["unshare", "--mount", "--propagation", "private"],
      ...["sh", "-c", bindPrivateFolders, "isolate", folder],
    ],
    env: {
      ...plainSurroundings.env,
      HOME: join(folder, "home"),
      TMPDIR: join(folder, "tmp"),
      XDG_RUNTIME_DIR: "/run/user",
    },
    cwd: folder,
  };
}
