import { randomUUID } from "node:crypto";
/**
 * Ceph's RADOS Gateway, an S3 server that is used in production, from Debian's packages: a monitor,
 * one OSD that keeps its objects in memory, and the gateway. Ready in some two seconds.
 */
import { globSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { run, type StartedProcess } from "../e2e/processes.ts";
import { freePorts } from "./ports.ts";
import type { S3Server } from "./s3.ts";
import {
  answers,
  quietly,
  serverFolder,
  startDaemon,
  untilReady,
  requirePrograms,
} from "./server.ts";

/** The gateway's, the monitor's, and from the tenth on those of the OSD. */
const portCount = 61;

const accessKey = "AKIATESTTESTTESTTEST";
const secretKey = "secretsecretsecretsecretsecretsecret1234";

export async function startOwnCeph(): Promise<S3Server> {
  requirePrograms("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin");
  const port = await freePorts(portCount);
  const { folder, remove } = serverFolder("ceph");
  const ceph = new Ceph(folder, port);
  try {
    await ceph.start();
  } catch (error) {
    await ceph.stop();
    remove();
    throw error;
  }
  return {
    endpoint: ceph.endpoint,
    accessKey,
    secretKey,
    region: "us-east-1",
    stop: async () => {
      await ceph.stop();
      remove();
    },
    restart: () => ceph.restartGateway(),
    pause: () => ceph.signalGateway("SIGSTOP"),
    resume: () => ceph.signalGateway("SIGCONT"),
  };
}

class Ceph {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #storage: StartedProcess[] = [];
  #gateway: StartedProcess | undefined;

  constructor(folder: string, port: number) {
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#folder = folder;
    this.#port = port;
    this.#env = { CEPH_CONF: join(folder, "ceph.conf") };
  }

  async start(): Promise<void> {
    const [cluster, osd] = [randomUUID(), randomUUID()];
    for (const name of ["log", "mon", "osd"]) await mkdir(join(this.#folder, name));
    await writeFile(
      join(this.#folder, "ceph.conf"),
      configuration(this.#folder, this.#port, cluster),
    );
    const map = join(this.#folder, "monmap");
    const monitor = `[v1:127.0.0.1:${this.#port + 1}]`;
    await this.#run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, map);
    await this.#run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map);
    this.#storage.push(startDaemon(["ceph-mon", "-f", "-i", "a"], this.#env));
    await this.#run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd);
    await this.#run("ceph", "osd", "new", osd, "0");
    const place = ["root=default", "host=localhost"];
    await this.#run("ceph", "osd", "crush", "add", "osd.0", "1.0", ...place);
    this.#storage.push(startDaemon(["ceph-osd", "-f", "-i", "0"], this.#env));
    await this.#startGateway();
    await this.#run(
      ...["radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=test"],
      ...["--display-name=test", `--access-key=${accessKey}`, `--secret-key=${secretKey}`],
    );
  }

  /** Only the gateway ends: it keeps nothing, but the OSD's memory is where the objects are. */
  async restartGateway(): Promise<void> {
    await this.#gateway?.stop("SIGKILL");
    await this.#startGateway();
  }

  signalGateway(signal: NodeJS.Signals): void {
    if (this.#gateway?.running === true) process.kill(this.#gateway.pid, signal);
  }

  /** By SIGKILL: asked politely and all at once, the gateway waits for an OSD that is gone. */
  async stop(): Promise<void> {
    const daemons = [this.#gateway, ...this.#storage.splice(0).toReversed()];
    for (const daemon of daemons) await daemon?.stop("SIGKILL");
  }

  async #startGateway(): Promise<void> {
    const gateway = startDaemon(["radosgw", "-f", "-n", "client.rgw"], this.#env);
    this.#gateway = gateway;
    await untilReady(gateway, () => answers(this.endpoint, 200));
  }

  async #run(...command: string[]): Promise<void> {
    await run(["timeout", "60", ...command], quietly(this.#env));
  }
}

function configuration(folder: string, port: number, cluster: string): string {
  return `[global]
fsid = ${cluster}
mon_host = v1:127.0.0.1:${port + 1}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
ms_bind_port_min = ${port + 10}
ms_bind_port_max = ${port + 60}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = ${folder}
# The path of a socket may be too long.
admin_socket =
log_file = ${folder}/log/$name.log
crash_dir = ${folder}/log
# One OSD, one copy, tiny pools.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
# Changes of the map do not wait for a second: pools are made at the start and with the first object.
paxos_propose_interval = 0.05
[mon.a]
mon_data = ${folder}/mon
[osd.0]
osd_data = ${folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 17179869184
# Its entry is made beforehand: else the OSD sometimes races the monitor and ends ("wrong fsid").
osd_crush_update_on_start = false
osd_class_update_on_start = false
osd_fast_shutdown = true
osd_fast_shutdown_notify_mon = false
# Builds from "reef" on have a relative path here.
osd_class_dir = ${classFolder()}
osd_class_load_list = *
osd_class_default_list = *
[client.rgw]
# Without tcp_nodelay every GET takes 44 ms.
rgw_frontends = beast endpoint=127.0.0.1:${port} tcp_nodelay=1
rgw_enable_usage_log = false
# Deleted data goes back to the memory after five minutes, and not after two hours.
rgw_gc_obj_min_wait = 300
rgw_gc_processor_period = 300
debug_rgw = 1
`;
}

function classFolder(): string {
  const [found] = globSync("/usr/lib/*/rados-classes");
  if (found === undefined) throw new Error("no folder of the OSD's classes below /usr/lib");
  return found;
}
