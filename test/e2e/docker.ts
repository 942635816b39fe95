/** docker, with an engine of its own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { readDockerArchive } from "./archive.ts";
import type { Client, HeldImage, PullOptions } from "./client.ts";
import { isolate, type Isolation } from "./isolation.ts";
import type { LayoutImage } from "./layout.ts";
import { plainSurroundings, run, runToFailure, StartedProcess } from "./processes.ts";
import type { Surroundings } from "./processes.ts";
import type { Workspace } from "./workspace.ts";

/** The engine moves images only; nothing of the machine's network is touched. */
const engineFlags = [
  ...["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"],
  // Works on every filesystem, the overlay of a CI container included.
  ...["--ip-masq=false", "--storage-driver=vfs"],
];

export async function startDocker(workspace: Workspace): Promise<Docker> {
  const isolation = await isolate(workspace, "docker");
  const socket = join(isolation.folder, "docker.sock");
  const engine = new StartedProcess(
    [
      ...["dockerd", "--host", `unix://${socket}`, ...engineFlags],
      ...["--data-root", join(isolation.folder, "data"), "--exec-root", "/run/docker"],
      ...["--pidfile", "/run/docker.pid"],
    ],
    isolation,
  );
  workspace.defer(async () => {
    await engine.stop();
  });
  await engine.ready(() => answers(socket));
  return new Docker(isolation, socket);
}

export class Docker implements Client {
  readonly name = "docker";
  readonly #folder: string;
  readonly #isolation: Isolation;
  readonly #client: Surroundings;

  constructor(isolation: Isolation, socket: string) {
    this.#folder = isolation.folder;
    this.#isolation = isolation;
    const { HOME = "" } = isolation.env;
    const env = { ...plainSurroundings.env, HOME, DOCKER_HOST: `unix://${socket}` };
    this.#client = { prefix: [], env: { ...env, DOCKER_BUILDKIT: "0" } };
  }

  async load(image: LayoutImage, reference: string): Promise<void> {
    const archive = join(this.#folder, "load.tar");
    const source = `oci:${image.layout}:${image.tag}`;
    const target = `docker-archive:${archive}:${reference}`;
    await run(["skopeo", "copy", source, target], this.#isolation);
    await this.docker("load", "--input", archive);
    await rm(archive);
  }

  async tag(reference: string, newReference: string): Promise<void> {
    await this.docker("tag", reference, newReference);
  }

  async push(reference: string): Promise<void> {
    await this.docker("push", reference);
  }

  async pull(reference: string, { platform }: PullOptions = {}): Promise<void> {
    const flags = platform === undefined ? [] : ["--platform", platform];
    await this.docker("pull", ...flags, reference);
  }

  async pullInVain(reference: string): Promise<string> {
    return runToFailure(["docker", "pull", reference], this.#client);
  }

  async held(reference: string): Promise<HeldImage> {
    const format = "{{.Id}} {{json .RepoDigests}}";
    const said = await this.docker("image", "inspect", "--format", format, reference);
    const [id = "", repoDigests = ""] = said.trim().split(" ");
    const archive = join(this.#folder, "saved.tar");
    await this.docker("save", "--output", archive, id);
    const repository = reference.replace(/(@.*|:[^/]*)$/, "");
    const prefix = `${repository}@`;
    const digests = JSON.parse(repoDigests) as readonly string[];
    const manifest = digests.find((digest) => digest.startsWith(prefix))?.slice(prefix.length);
    assert(manifest !== undefined, `docker knows the digest in ${repository}`);
    return { manifest, ...(await readDockerArchive(archive)) };
  }

  async docker(...args: readonly string[]): Promise<string> {
    return run(["docker", ...args], this.#client);
  }
}

async function answers(socketPath: string): Promise<boolean> {
  const ping = request({ socketPath, path: "/_ping", agent: false });
  ping.end();
  try {
    const [answer] = (await once(ping, "response")) as [{ statusCode: number; resume(): void }];
    answer.resume();
    return answer.statusCode === 200;
  } catch {
    return false;
  }
}
