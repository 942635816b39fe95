/**
 * The package as its users get it: built, packed and installed in an empty folder, then started
 * from there, and mounted in a TypeScript program.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..");
const modules = join(root, "node_modules");
const execute = promisify(execFile);

/** What `npm pack` says about the tarball it made. */
interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

interface Manifest {
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

let folder = "";
let files: readonly string[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "longshore-package-"));
  const packed = await pack(join(folder, "source"));
  files = packed.files.map(({ path }) => path);
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  // Vendors' packages are for those who use them.
  const options = ["--prefer-offline"];
  await npm(folder, "install", ...options, join(folder, "source", packed.filename));
});

after(() => rm(folder, { recursive: true, force: true }));

test("the package holds all that it promises", async () => {
  const manifest = await readManifest();
  const promised = [
    ...Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === "string" ? [entry] : Object.values(entry),
    ),
    ...Object.values(manifest.bin),
    ...["LICENSE", "README.md", "CHANGELOG.md"],
  ].map((path) => path.replace("./", ""));
  assert.deepEqual(
    promised.filter((path) => !files.includes(path)),
    [],
  );

  const scripts = files.filter((path) => path.endsWith(".js"));
  const undeclared = scripts.filter((path) => !files.includes(path.replace(/\.js$/, ".d.ts")));
  assert.deepEqual(undeclared, []);
});

/** Whatever lies in the project's documents: their examples, too. */
function filesBelow(folder: string): readonly string[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile());
  return found.map(({ name, parentPath }) => relative(root, join(parentPath, name)));
}

test("the package holds no sources, no tests and nothing of the project's own", () => {
  const documents = [
    ...["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"],
    ...["SECURITY.md", "package.json", ...filesBelow("docs")],
  ];
  const others = files.filter((path) => !/^dist\/[\w/-]+(\.js|\.d\.ts)$/.test(path));
  assert.deepEqual(others.toSorted(), documents.toSorted());
});

test("the command says so on a Node that is too old", async () => {
  const { bin } = await readManifest();
  const command = join(folder, "node_modules/longshore", bin["longshore"] ?? "");
  assert.match(await readFile(command, "utf8"), /^#!\/usr\/bin\/env node\n/);

  const old = `Object.defineProperty(process, "versions", { value: { node: "22.1.0" } });`;
  const run = execute(process.execPath, ["--import", `data:text/javascript,${old}`, command]);
  await assert.rejects(run, { code: 1, stderr: /^longshore needs Node 26[^\n]*\n$/ });
});

test("the installed registry starts, takes a blob, gives it back and stops", async () => {
  const config = join(folder, "config.yml");
  await writeFile(
    config,
    [
      "version: 0.1",
      "http: { addr: '127.0.0.1:0' }",
      `storage: { filesystem: { rootdirectory: ${join(folder, "data")} } }`,
    ].join("\n"),
  );
  const server = spawn(join(folder, "node_modules/.bin/longshore"), ["serve", config], {
    env: childEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  server.stderr.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
  const ended = once(server, "exit");
  try {
    const url = await announcedUrl(server.stdout);
    const content = "a layer";
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    const blobs = `${url}/v2/library/first/blobs`;
    const pushed = await fetch(`${blobs}/uploads/?digest=${digest}`, {
      method: "POST",
      body: content,
    });
    assert.equal(pushed.status, 201);
    const pulled = await fetch(`${blobs}/${digest}`);
    assert.equal(await pulled.text(), content);
  } finally {
    server.kill("SIGTERM");
  }
  assert.deepEqual(await ended, [0, null], log);
});

test("a storage whose packages are not installed says which ones to install", async () => {
  const config = join(folder, "s3.yml");
  await writeFile(
    config,
    [
      "version: 0.1",
      "storage: { s3: { bucket: images, region: eu-west-1 } }",
      `metadata: { sqlite: { path: ${join(folder, "metadata.db")} } }`,
    ].join("\n"),
  );
  const command = join(folder, "node_modules/.bin/longshore");
  const run = execute(command, ["serve", config], { env: childEnvironment() });
  await assert.rejects(run, { code: 1, stderr: /^longshore: [^\n]*@aws-sdk\/client-s3[^\n]*\n$/ });
});

test("a TypeScript program mounts the registry", async () => {
  await cp(join(root, "test/package/consumer.ts"), join(folder, "consumer.ts"));
  await mkdir(join(folder, "node_modules/@types"));
  await symlink(join(modules, "@types/node"), join(folder, "node_modules/@types/node"));
  const compilerOptions = {
    target: "es2024",
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  };
  const settings = { compilerOptions, files: ["consumer.ts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));

  await run(join(modules, ".bin/tsc"), ["--project", folder], folder);
  const output = await run(process.execPath, ["consumer.ts"], folder);
  assert.equal(output, "201 200 a layer\n");
});

/** Packs a copy of the project with a new build in it; nothing is written to the project itself. */
async function pack(copy: string): Promise<Packed> {
  const kept = (path: string): boolean =>
    !/^(\.git|data|dist|node_modules|.*\.tgz)$/.test(basename(path)) || path === root;
  await cp(root, copy, { recursive: true, filter: kept });
  await run(process.execPath, [join(root, "scripts/build.ts"), join(copy, "dist")], root);
  const packed = JSON.parse(await npm(copy, "pack", "--ignore-scripts", "--json")) as unknown;
  assert(Array.isArray(packed));
  return packed[0] as Packed;
}

async function readManifest(): Promise<Manifest> {
  const path = join(folder, "node_modules/longshore/package.json");
  return JSON.parse(await readFile(path, "utf8")) as Manifest;
}

/** The line of the greeting that says where it listens. */
async function announcedUrl(output: NodeJS.ReadableStream): Promise<string> {
  let greeting = "";
  for await (const line of createInterface(output)) {
    greeting += `${line}\n`;
    const [url] = /\bhttp:\/\/\S+/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`It ended without saying where it listens: ${greeting}`);
}

function npm(cwd: string, ...args: readonly string[]): Promise<string> {
  const { npm_execpath: cli = "" } = process.env;
  const quiet = [...args, "--no-audit", "--no-fund", "--loglevel=error"];
  return basename(cli) === "npm-cli.js"
    ? run(process.execPath, [cli, ...quiet], cwd)
    : run("npm", quiet, cwd);
}

async function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    return (await execute(command, args, { cwd, env: childEnvironment() })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

/** Without what npm and the test runner tell the programs that they run: which project this is. */
function childEnvironment(): NodeJS.ProcessEnv {
  const own = /^(npm_package_|npm_lifecycle_|npm_config_local_prefix$|NODE_TEST_CONTEXT$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}
