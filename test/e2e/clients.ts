import { createBuildah } from "./buildah.ts";
/** Makes each client by its name. */
import type { Client, ClientName } from "./client.ts";
import { startContainerd } from "./containerd.ts";
import { startDocker } from "./docker.ts";
import { createPodman } from "./podman.ts";
import { createSkopeo } from "./skopeo.ts";
import type { Workspace } from "./workspace.ts";

const makers: Readonly<Record<ClientName, (workspace: Workspace) => Promise<Client>>> = {
  skopeo: createSkopeo,
  podman: createPodman,
  buildah: createBuildah,
  docker: startDocker,
  containerd: startContainerd,
};

export const clientNames = Object.keys(makers) as readonly ClientName[];

/** A client with an empty storage that has never seen a registry. */
export async function createClient(workspace: Workspace, name: ClientName): Promise<Client> {
  return makers[name](workspace);
}
