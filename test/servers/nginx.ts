/** Debian's nginx as a load balancer without stickiness: each request goes to the next node. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { StartedProcess } from "../e2e/processes.ts";
import { freePorts } from "./ports.ts";
import {
  answers,
  serverFolder,
  startDaemon,
  untilReady,
  requirePrograms,
  type TestServer,
} from "./server.ts";

export interface NginxServer extends TestServer {
  readonly endpoint: string;
  /** `127.0.0.1:port`, as clients name it. */
  readonly host: string;
}

export interface NginxOptions {
  /** How long it waits for a node's answer, and for the next bytes of one. */
  readonly answerLimitSeconds?: number | undefined;
}

/** `upstreams`: `host:port` of each node. */
export async function startNginx(
  upstreams: readonly string[],
  options: NginxOptions = {},
): Promise<NginxServer> {
  requirePrograms("nginx");
  const port = await freePorts();
  const { folder, remove } = serverFolder("nginx");
  const nginx = new Nginx(folder, port);
  try {
    await nginx.configure(upstreams, options.answerLimitSeconds ?? 60);
    await nginx.start();
  } catch (error) {
    await nginx.stop();
    remove();
    throw error;
  }
  return {
    endpoint: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    stop: async () => {
      await nginx.stop();
      remove();
    },
    restart: async () => {
      await nginx.stop();
      await nginx.start();
    },
    pause: () => nginx.signal("SIGSTOP"),
    resume: () => nginx.signal("SIGCONT"),
  };
}

class Nginx {
  readonly #folder: string;
  readonly #file: string;
  readonly #port: number;
  #process: StartedProcess | undefined;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#file = join(folder, "nginx.conf");
    this.#port = port;
  }

  async configure(upstreams: readonly string[], answerLimitSeconds: number): Promise<void> {
    await mkdir(join(this.#folder, "temporary"));
    await writeFile(
      this.#file,
      configuration({ folder: this.#folder, port: this.#port, upstreams, answerLimitSeconds }),
    );
  }

  async start(): Promise<void> {
    const log = join(this.#folder, "error.log");
    // SIGKILL would end the master alone, and leave a worker with the port.
    const nginx = startDaemon(["nginx", "-e", log, "-c", this.#file], {}, [
      ...["setpriv", "--pdeathsig", "TERM"],
    ]);
    this.#process = nginx;
    await untilReady(nginx, () => answers(`http://127.0.0.1:${this.#port}/balancer-is-up`, 204));
  }

  async stop(): Promise<void> {
    this.signal("SIGCONT");
    await this.#process?.stop("SIGTERM");
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#process?.running === true) process.kill(this.#process.pid, signal);
  }
}

function configuration({
  answerLimitSeconds,
  folder,
  port,
  upstreams,
}: {
  readonly folder: string;
  readonly port: number;
  readonly upstreams: readonly string[];
  readonly answerLimitSeconds: number;
}): string {
  const servers = upstreams.map((host) => `    server ${host} max_fails=1 fail_timeout=1s;`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `  ${name}_temp_path ${folder}/temporary/${name};`,
  );
  return `daemon off;
# One process, so that pausing it pauses all of it.
master_process off;
pid ${folder}/nginx.pid;
events { worker_connections 2048; }
http {
  access_log off;
${temporary.join("\n")}
  upstream registry {
${servers.join("\n")}
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port};
    # Layers have any size, and go through as they come.
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_buffering off;
    location = /balancer-is-up { return 204; }
    location / {
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_connect_timeout 2s;
      proxy_read_timeout ${answerLimitSeconds}s;
      proxy_send_timeout ${answerLimitSeconds}s;
    }
  }
}
`;
}
