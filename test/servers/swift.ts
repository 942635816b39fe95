/**
 * OpenStack Swift with its S3 middleware, from Debian's packages: stricter and poorer than Ceph
 * just where an S3 client gets things wrong (no conditional PUT, Content-MD5 required for
 * DeleteObjects, no chunked signatures). Ready in some six seconds.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
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

/** In the order of their ports, after the proxy's; the last port is memcached's. */
const storageKinds = ["object", "container", "account"] as const;
const portCount = storageKinds.length + 2;

const account = "testacct";
const user = "tester";
const secretKey = "testing";

export async function startOwnSwift(): Promise<S3Server> {
  requirePrograms("memcached", "swift-proxy-server", "swift-object-server");
  const port = await freePorts(portCount);
  const { folder, remove } = serverFolder("swift");
  const swift = new Swift(folder, port);
  try {
    await swift.start();
  } catch (error) {
    await swift.stop();
    remove();
    throw error;
  }
  return {
    endpoint: swift.endpoint,
    accessKey: `${account}:${user}`,
    secretKey,
    region: "us-east-1",
    stop: async () => {
      await swift.stop();
      remove();
    },
    restart: () => swift.restartProxy(),
    pause: () => swift.signalProxy("SIGSTOP"),
    resume: () => swift.signalProxy("SIGCONT"),
  };
}

class Swift {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #behind: StartedProcess[] = [];
  #proxy: StartedProcess | undefined;

  constructor(folder: string, port: number) {
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#folder = folder;
    this.#port = port;
  }

  async start(): Promise<void> {
    await mkdir(join(this.#folder, "node/d1"), { recursive: true });
    await mkdir(join(this.#folder, "cache"));
    const cachePort = String(this.#port + portCount - 1);
    // Without memcached the authentication answers 500.
    const listen = ["-l", "127.0.0.1", "-p", cachePort, "-U", "0"];
    const cache = ["memcached", "-u", userInfo().username, ...listen, "-m", "64"];
    this.#behind.push(startDaemon(cache));
    const servers = storageKinds.map((kind, index) => this.#startStorage(kind, 1 + index));
    // The proxy says that it is healthy before these listen, and then answers 503.
    await Promise.all(servers);
    await this.#write("proxy-server.conf", proxyConfiguration(this.#common(0, "proxy"), cachePort));
    await this.#startProxy();
  }

  async restartProxy(): Promise<void> {
    await this.#proxy?.stop("SIGKILL");
    await this.#startProxy();
  }

  signalProxy(signal: NodeJS.Signals): void {
    if (this.#proxy?.running === true) process.kill(this.#proxy.pid, signal);
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop("SIGKILL");
    await Promise.all(this.#behind.splice(0).map((daemon) => daemon.stop("SIGKILL")));
  }

  async #startStorage(kind: (typeof storageKinds)[number], offset: number): Promise<void> {
    const port = this.#port + offset;
    const ring = async (...step: string[]): Promise<void> => {
      const builder = join(this.#folder, `${kind}.builder`);
      await run(["swift-ring-builder", builder, ...step], quietly());
    };
    // 2^4 partitions, one replica, moved at most once an hour.
    await ring("create", "4", "1", "1");
    await ring("add", `r1z1-127.0.0.1:${port}/d1`, "100");
    await ring("rebalance");
    const file = await this.#write(
      `${kind}-server.conf`,
      `${this.#common(offset, kind)}
devices = ${this.#folder}/node
mount_check = false
fallocate_reserve = 0
[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
recon_cache_path = ${this.#folder}/cache
`,
    );
    const server = startDaemon([`swift-${kind}-server`, file, "-v"]);
    this.#behind.push(server);
    await untilReady(server, () => answers(`http://127.0.0.1:${port}/`));
  }

  async #startProxy(): Promise<void> {
    const proxy = startDaemon([
      "swift-proxy-server",
      join(this.#folder, "proxy-server.conf"),
      "-v",
    ]);
    this.#proxy = proxy;
    await untilReady(proxy, () => answers(`${this.endpoint}/healthcheck`, 200));
  }

  #common(portOffset: number, name: string): string {
    return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${this.#port + portOffset}
user = ${userInfo().username}
swift_dir = ${this.#folder}
workers = 0
log_name = ${name}`;
  }

  async #write(name: string, text: string): Promise<string> {
    const file = join(this.#folder, name);
    await writeFile(file, text);
    return file;
  }
}

const filters = [
  ...["catch_errors", "gatekeeper", "healthcheck", "cache", "listing_formats", "bulk", "s3api"],
  ...["tempauth", "copy", "slo", "dlo", "versioned_writes", "symlink"],
];

const filterSettings: Readonly<Record<string, string>> = {
  tempauth: `user_${account}_${user} = ${secretKey} .admin`,
  s3api: "location = us-east-1\ns3_acl = false",
};

function proxyConfiguration(common: string, cachePort: string): string {
  const sections = filters.map((name) => {
    const part = name === "cache" ? "memcache" : name;
    const settings = { ...filterSettings, cache: `memcache_servers = 127.0.0.1:${cachePort}` };
    return `[filter:${name}]\nuse = egg:swift#${part}\n${settings[name as "cache"] ?? ""}`;
  });
  return `${common}
[pipeline:main]
pipeline = ${filters.join(" ")} proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
${sections.join("\n")}
`;
}
