/** What the guide on scaling out tells people to copy works. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parse } from "yaml";
import { parseDistributionYaml } from "../../src/config/distribution-yaml.ts";
import { run } from "../e2e/processes.ts";
import { Client } from "../race/support/client.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import { freePorts } from "../servers/ports.ts";
import { answers, quietly, serverFolder, startDaemon, untilReady } from "../servers/server.ts";
import { Cluster } from "./support/cluster.ts";

const guide = join(import.meta.dirname, "../../docs/guide/scale-out");

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const compose = parse(await readText("compose.yaml"), { merge: true }) as Compose;
const config = parseDistributionYaml(await readText("config.yml"));

test("the nodes' configuration is one that is taken without a warning", () => {
  assert.deepEqual(config.warnings, []);
  assert(config.storage !== "memory" && "s3" in config.storage);
  assert.equal(config.http.listen.port, 5000);
});

test("the compose file has three nodes that find what their configuration names", () => {
  const nodes = Object.entries(compose.services).filter(([name]) => /^node-\d$/.test(name));
  assert.equal(nodes.length, 3);
  assert(config.metadata !== undefined && "postgres" in config.metadata);
  const { database, host, passwordFile, user } = config.metadata.postgres;
  const postgres = compose.services[host ?? ""];
  assert(postgres !== undefined, "the database is one of the services");
  assert.equal(postgres.environment?.["POSTGRES_DB"], database);
  assert.equal(postgres.environment?.["POSTGRES_USER"], user);
  for (const [, node] of nodes) {
    for (const secret of node.secrets ?? []) assert(Object.hasOwn(compose.secrets, secret));
    assert.equal(passwordFile, `/run/secrets/${node.secrets?.[0]}`);
    assert(node.build !== undefined);
    assert(existsSync(join(guide, node.build.context, node.build.dockerfile)));
  }
});

test("every file that the compose file mounts is there", () => {
  const mounts = Object.values(compose.services).flatMap(({ volumes }) => volumes ?? []);
  for (const mount of mounts.filter((each) => each.startsWith("./"))) {
    const [source = ""] = mount.split(":");
    assert(existsSync(join(guide, source)), source);
  }
});

test("the image's build names files and packages that there are", async () => {
  const root = join(guide, "../../..");
  const dockerfile = await readText("Dockerfile");
  const packages = /^ARG STORAGE_PACKAGES="(.+)"$/m.exec(dockerfile)?.[1]?.split(" ") ?? [];
  const { peerDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    readonly peerDependencies: Readonly<Record<string, string>>;
  };
  const forS3 = Object.keys(peerDependencies).filter((name) => name.startsWith("@aws-sdk/"));
  assert.deepEqual(packages, forS3);
  const copies = dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm);
  const sources = Array.from(copies).flatMap(([, names = ""]) => names.split(" "));
  assert(sources.length > 0);
  for (const source of sources) assert(existsSync(join(root, source)), source);
});

test("nginx takes its configuration, and passes pushes and pulls on", async (t) => {
  const cluster = await Cluster.start({ nodes: 3, storage: "shared folder" });
  t.after(() => cluster.close());
  const url = await startNginx(t, cluster);
  const client = new Client(url);
  t.after(() => client.close());
  const content = new Random(seedFrom("GUIDE_SEED")).bytes(3_000_000);
  for (const method of ["post", "put", "patch"] as const) {
    const name = `team/by-${method}`;
    const digest = await client.push(name, content, method);
    for (const _ of cluster.nodes) {
      const pulled = await client.get(`/v2/${name}/blobs/${digest}`);
      assert(pulled.bytes.equals(content));
    }
  }
  const begun = await client.send("POST", "/v2/team/app/blobs/uploads/");
  assert(begun.header("location")?.startsWith(`${url}/v2/`), "the URL is the balancer's");
});

/** As in the guide, but with this machine's addresses. */
async function startNginx(t: TestContext, cluster: Cluster): Promise<string> {
  const port = await freePorts();
  const { folder, remove } = serverFolder("guide");
  t.after(remove);
  let text = (await readText("nginx.conf")).replace("listen 5000;", `listen 127.0.0.1:${port};`);
  for (const [number, { host }] of cluster.nodes.entries()) {
    assert(text.includes(`node-${number + 1}:5000`));
    text = text.replace(`node-${number + 1}:5000`, host);
  }
  const file = join(folder, "nginx.conf");
  await writeFile(file, text);
  const settings = `daemon off; pid ${folder}/nginx.pid;`;
  const command = ["nginx", "-e", join(folder, "error.log"), "-c", file];
  await run([...command, "-g", settings, "-t"], quietly());
  const prefix = ["setpriv", "--pdeathsig", "TERM"];
  const nginx = startDaemon([...command, "-g", settings], {}, prefix);
  t.after(() => nginx.stop());
  const url = `http://127.0.0.1:${port}`;
  await untilReady(nginx, () => answers(`${url}/v2/`, 200));
  return url;
}

function readText(name: string): Promise<string> {
  return readFile(join(guide, name), "utf8");
}
