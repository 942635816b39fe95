/**
 * The layers, as a table: who may import whom. Arrows point inward only, `oci` <- ports <-
 * `registry` <- `http`; see ARCHITECTURE.md. A new import that fails here is a question to the
 * design, not to this table.
 */
import assert from "node:assert/strict";
import { isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  assertNone,
  lineAt,
  parse,
  readJson,
  readSources,
  visit,
  type SourceFile,
} from "./source-files.ts";

const metadataPort = [
  "metadata/metadata-store.ts",
  "metadata/commands.ts",
  "metadata/records.ts",
] as const;

/**
 * Files and folders below src/, and what each may import besides its own folder: files and folders
 * below src/, packages, Node's modules. The longest key that fits a file counts. `x*`: all that
 * begins so. `type x`: types only. `lazy x`: only by `import()`, so that it costs nobody who does
 * not ask for it.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  oci: [],

  "storage/blob-store.ts": ["oci"],
  "storage/contract*": [
    "oci",
    "storage/blob-store.ts",
    "node:assert/strict",
    "node:crypto",
    "lazy node:test",
  ],
  "storage/objects/contract*": [
    "oci",
    "storage/objects/object-bucket.ts",
    "storage/blob-store.ts",
    "storage/contract*",
    "node:assert/strict",
    "node:crypto",
    "lazy node:test",
  ],
  "storage/objects": ["oci", "storage/blob-store.ts", "storage/receive.ts", "node:*"],
  // A vendor's package costs nobody who does not use it: types, and `import()` when configured.
  "storage/s3": [
    "oci",
    "storage/blob-store.ts",
    "storage/objects/object-bucket.ts",
    "storage/objects/vendor",
    "type @aws-sdk/*",
    "lazy @aws-sdk/*",
    "node:*",
  ],
  "storage/azure": [
    "oci",
    "storage/blob-store.ts",
    "storage/objects/object-bucket.ts",
    "storage/objects/vendor",
    "type @azure/*",
    "lazy @azure/*",
    "node:*",
  ],
  "storage/gcs": [
    "oci",
    "storage/blob-store.ts",
    "storage/objects/object-bucket.ts",
    "storage/objects/vendor",
    "type @google-cloud/storage",
    "lazy @google-cloud/storage",
    "node:*",
  ],
  storage: ["oci", "node:*"],

  "metadata/metadata-store.ts": ["oci", ...metadataPort, "type storage/blob-store.ts"],
  "metadata/commands.ts": ["oci", ...metadataPort, "type storage/blob-store.ts"],
  "metadata/records.ts": ["oci", "type storage/blob-store.ts"],
  "metadata/contract*": [
    "oci",
    ...metadataPort,
    "type storage/blob-store.ts",
    "node:assert/strict",
    "node:crypto",
    "lazy node:test",
  ],
  "metadata/postgres": [
    "oci",
    "metadata/sql",
    ...metadataPort,
    "type storage/blob-store.ts",
    "kysely",
    "pg",
    "node:*",
  ],
  "metadata/sql": ["oci", ...metadataPort, "type storage/blob-store.ts", "kysely"],
  metadata: ["oci", "type storage/blob-store.ts", "kysely", "node:*"],

  registry: ["oci", "storage/blob-store.ts", ...metadataPort, "node:crypto"],

  auth: ["oci", "registry", "jose", "@node-rs/bcrypt", "node:*"],
  http: ["oci", "registry", "auth", "observe", "hono"],
  ui: ["oci", "registry", "auth", "http", "hono"],

  client: ["oci", "node:crypto"],
  proxy: ["oci", "registry", "client"],
  notifications: ["oci", ...metadataPort, "node:*"],
  jobs: ["oci", "registry", "storage/blob-store.ts", ...metadataPort],

  observe: ["oci", "pino", "prom-client", "@opentelemetry/*", "node:*"],
  // What a config file says becomes what adapters and jobs are told: their options, and no more.
  config: [
    "oci",
    "type http/settings.ts",
    "jobs/settings.ts",
    "metadata/postgres/postgres-options.ts",
    "storage/s3/s3-options.ts",
    "type storage/azure/azure-options.ts",
    "type storage/gcs/gcs-options.ts",
    "type storage/links/link-options.ts",
    "type storage/objects/resilient-bucket-settings.ts",
    "zod",
    "yaml",
  ],
  node: ["oci", "http/exchange.ts", "node:*"],
  // A tool of the operator's, which knows databases and no registry.
  "cli/metadata-copy.ts": [
    "cli",
    "lazy app-metadata.ts",
    "lazy metadata/copy/copy.ts",
    "type metadata/copy/copy.ts",
    "node:*",
  ],
  "cli/copy-meter.ts": ["type metadata/copy/copy.ts"],
  cli: ["app.ts", "config", "node", "observe", "oci", "node:*"],

  // The composition root: the only files that name adapters.
  "app*": ["*"],
  "index.ts": ["app.ts", "http/exchange.ts", "node", "type *"],
};

interface Import {
  readonly file: SourceFile;
  readonly line: number;
  readonly kind: "value" | "type" | "lazy";
  /** A path below the project's root for a file of the project, else the specifier as written. */
  readonly target: string;
}

const sources = readSources("src");
const everything = [...sources, ...readSources("test", "bench", "scripts")];

test("every file imports only what its layer may import", () => {
  assertNone(sources.flatMap(importsOf).flatMap(violation));
});

test("no files import each other in a circle", () => {
  assertNone(cycles(sources.flatMap(importsOf)));
});

test("every package that is imported is declared", () => {
  const { dependencies, devDependencies } = readManifest();
  const undeclared = everything.flatMap(importsOf).flatMap(({ file, line, target }) => {
    const shipped = file.path.startsWith("src/");
    if (isOwn(target) || isBuiltin(target)) return [];
    const name = packageOf(target);
    const declared = shipped ? dependencies : { ...dependencies, ...devDependencies };
    // The package's own name: what a user of the package writes.
    if (name in declared || (!shipped && name === "longshore")) return [];
    return [`${file.path}:${line} imports ${name}, which package.json does not declare`];
  });
  assertNone(undeclared);
});

test("every dependency is pinned to one version", () => {
  const { dependencies, devDependencies } = readManifest();
  const loose = Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `${name}: ${version}`);
  assertNone(loose);
});

test("the table finds what it forbids, and says why", () => {
  const wrong = {
    "src/oci/a.ts": 'import { b } from "../http/b.ts";',
    "src/client/a.ts": 'export { b } from "../storage/memory.ts";',
    "src/metadata/records.ts": 'import { b } from "../storage/blob-store.ts";',
    "src/storage/contract-a.ts": '\nimport { test } from "node:test";',
    "src/node/a.ts": 'export type A = import("kysely").Kysely<unknown>;',
    "src/new/a.ts": 'import { b } from "../oci/b.ts";',
  };
  const found = Object.entries(wrong).flatMap(([path, text]) => importsOf(parse(path, text)));
  assert.deepEqual(found.flatMap(violation), [
    "src/oci/a.ts:1 imports http/b.ts; oci may import nothing",
    "src/client/a.ts:1 imports storage/memory.ts; client may import oci, node:crypto",
    "src/metadata/records.ts:1 imports storage/blob-store.ts; metadata/records.ts may " +
      "import oci, type storage/blob-store.ts",
    "src/storage/contract-a.ts:2 imports node:test; storage/contract* may " +
      "import oci, storage/blob-store.ts, node:assert/strict, node:crypto, lazy node:test",
    "src/node/a.ts:1 imports types of kysely; node may import oci, http/exchange.ts, node:*",
    "src/new/a.ts:1 belongs to no layer: give it a row in test/architecture.test.ts",
  ]);

  const right = [
    importsOf(
      parse("src/metadata/records.ts", 'import type { b } from "../storage/blob-store.ts";'),
    ),
    importsOf(parse("src/storage/contract.ts", 'const { test } = await import("node:test");')),
    importsOf(parse("src/http/a.ts", '// import "node:fs"\nconst text = "import(\'pino\')";')),
  ];
  assert.deepEqual(right.flat().flatMap(violation), []);
});

test("a circle is found, and told file by file", () => {
  const circle = [
    importsOf(parse("src/oci/a.ts", 'import { b } from "./b.ts";')),
    importsOf(parse("src/oci/b.ts", 'import { c } from "./c.ts";')),
    importsOf(parse("src/oci/c.ts", 'import type { b } from "./b.ts";')),
  ];
  assert.deepEqual(cycles(circle.flat()), ["src/oci/b.ts -> src/oci/c.ts -> src/oci/b.ts"]);
});

function importsOf(file: SourceFile): readonly Import[] {
  const found: Import[] = [];
  const add = (kind: Import["kind"], offset: number, specifier: string): void => {
    const target = specifier.startsWith(".") ? join(dirname(file.path), specifier) : specifier;
    found.push({ file, line: lineAt(file, offset), kind, target });
  };
  visit(file, {
    ImportDeclaration: ({ importKind, start, source }) => {
      add(importKind === "type" ? "type" : "value", start, source.value);
    },
    ExportAllDeclaration: ({ exportKind, start, source }) => {
      add(exportKind === "type" ? "type" : "value", start, source.value);
    },
    ExportNamedDeclaration: ({ exportKind, start, source }) => {
      if (source !== null) add(exportKind === "type" ? "type" : "value", start, source.value);
    },
    ImportExpression: ({ start, source }) => {
      if (source.type === "Literal") add("lazy", start, String(source.value));
    },
    TSImportType: ({ start, source }) => add("type", start, source.value),
  });
  return found;
}

function violation({ file, line, kind, target }: Import): readonly string[] {
  const from = inSource(file.path);
  const layer = Object.keys(mayImport)
    .filter((key) => covers(key, from))
    .toSorted((a, b) => b.length - a.length)[0];
  const where = `${file.path}:${line}`;
  if (layer === undefined) {
    return [`${where} belongs to no layer: give it a row in test/architecture.test.ts`];
  }
  const to = inSource(target);
  // A folder is open to its own files; a row for one file stands alone.
  if (!layer.endsWith(".ts") && covers(layer, to)) return [];
  const allowed = mayImport[layer] ?? [];
  const isAllowed = allowed.some((entry) => {
    const [pattern = "", qualifier] = entry.split(" ").toReversed();
    if (qualifier === "type" && kind !== "type") return false;
    if (qualifier === "lazy" && kind === "value") return false;
    return covers(pattern, to);
  });
  if (isAllowed) return [];
  const what = kind === "type" ? `types of ${to}` : to;
  return [`${where} imports ${what}; ${layer} may import ${allowed.join(", ") || "nothing"}`];
}

/** Whether a pattern of the table stands for a path below src/, a package or a module of Node's. */
function covers(pattern: string, target: string): boolean {
  if (pattern.endsWith("*")) return target.startsWith(pattern.slice(0, -1));
  return target === pattern || target.startsWith(`${pattern}/`);
}

function cycles(imports: readonly Import[]): readonly string[] {
  const edges = Map.groupBy(imports, ({ file }) => file.path);
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path);
    if (seenAt !== -1) found.push([...trail.slice(seenAt), path].join(" -> "));
    if (seenAt !== -1 || done.has(path)) return;
    for (const { target } of edges.get(path) ?? []) walk(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) walk(path, []);
  return found;
}

function isOwn(target: string): boolean {
  return /^(src|test|bench|scripts)\//.test(target);
}

function inSource(path: string): string {
  return path.startsWith("src/") ? path.slice("src/".length) : path;
}

function packageOf(specifier: string): string {
  const depth = specifier.startsWith("@") ? 2 : 1;
  return specifier.split("/", depth).join("/");
}

type Versions = Readonly<Record<string, string>>;

function readManifest(): { readonly dependencies: Versions; readonly devDependencies: Versions } {
  const manifest = readJson("package.json") as Record<string, Versions>;
  return {
    dependencies: { ...manifest["dependencies"], ...manifest["peerDependencies"] },
    devDependencies: { ...manifest["devDependencies"] },
  };
}
