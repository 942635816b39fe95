/**
 * The style of CONTRIBUTING.md, as far as a program can tell. What the compiler refuses (enums,
 * namespaces, parameter properties), the linter (`any`, `!`, default exports, notes to oneself, the
 * case of file names) and the formatter is not looked for again.
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";
import type { CallExpression, Expression, Node } from "oxc-parser";
import { assertNone, lineAt, parse, readSources, visit, type SourceFile } from "./source-files.ts";

const budgets = {
  fileLines: 400,
  testFileLines: 600,
  functionLines: 70,
  handlerLines: 25,
  columns: 100,
  interfaceMethods: 12,
  /**
   * A word as long as this (a URL, a digest) may stick out of its line: nothing can be done about
   * it.
   */
  wordColumns: 60,
} as const;

/**
 * Where time, randomness, the environment and the terminal enter. The rest of src/ is handed a
 * clock, a source of ids, its settings and a logger, so that a test can own them.
 */
const entrances: Readonly<Record<string, readonly string[]>> = {
  "Date.now": ["src/app.ts", "src/cli/", "src/node/", "src/observe/"],
  "new Date()": ["src/app.ts", "src/cli/", "src/node/", "src/observe/"],
  "performance.now": ["src/app.ts", "src/cli/", "src/node/", "src/observe/"],
  "Math.random": ["src/app.ts", "src/cli/", "src/node/"],
  "crypto.randomUUID": ["src/app.ts", "src/cli/", "src/node/"],
  "crypto.randomBytes": ["src/app.ts", "src/cli/", "src/node/"],
  "crypto.getRandomValues": ["src/app.ts", "src/cli/", "src/node/"],
  "process.env": ["src/cli/", "src/config/"],
  "process.exit": ["src/cli/"],
  console: ["src/cli/"],
};

/** Files of tests that wait by the clock, and why nothing else would do. */
const sleepers: Readonly<Record<string, string>> = {};

/** Names that do not say what is in the file. */
const namelessFile = /^(common|helpers?|misc|shared|types|utils?)\.(ts|mjs)$/;

type Report = (at: number | Node, message: string) => void;
type Rule = (file: SourceFile, report: Report) => void;

const everything = readSources("src", "test", "bench", "scripts");
const shipped = everything.filter(({ path }) => path.startsWith("src/") && !isTest(path));
const tests = everything.filter(({ path }) => isTest(path));

function keeps(files: readonly SourceFile[], rule: Rule): () => void {
  return () => assertNone(files.flatMap((file) => findings(rule, file)));
}

test("files are short", keeps(everything, fileLength));
test("functions are short, handlers very short", keeps(everything, functionLength));
test("lines are short", keeps(everything, lineLength));
test("interfaces are small", keeps(everything, interfaceSize));
test("files have names that say something", keeps(everything, fileName));
test("there are no decorators", keeps(everything, decorators));
test("modules hold no state", keeps(shipped, moduleState));
test("time, randomness, environment and terminal are passed in", keeps(shipped, ambient));
test("every test runs, or says why not", keeps(tests, skippedTests));
test("tests wait for what happens, not for a time", keeps(tests, sleeps));

function fileLength({ path, lines }: SourceFile, report: Report): void {
  const max = isTest(path) ? budgets.testFileLines : budgets.fileLines;
  const count = lines.length - 1;
  if (count > max) report(0, `has ${count} lines, ${max} are allowed`);
}

function functionLength(file: SourceFile, report: Report): void {
  const isHandler = file.path.startsWith("src/http/handlers/");
  const max = isHandler ? budgets.handlerLines : budgets.functionLines;
  // The functions around the place in the file, and those of them that hold tests.
  const open: Node[] = [];
  const groups = new Set<Node>();
  const enter = (node: Node): void => void open.push(node);
  const leave = (node: Node): void => {
    open.pop();
    const count = lineAt(file, node.end) - lineAt(file, node.start) + 1;
    if (count <= max || groups.has(node)) return;
    report(node, `is a function of ${count} lines, ${max} are allowed`);
  };
  visit(file, {
    // A group of tests is a list, however long.
    CallExpression: ({ callee }) => {
      const around = open.at(-1);
      if (around !== undefined && /^(describe|it|suite|test)$/.test(nameOf(callee))) {
        groups.add(around);
      }
    },
    FunctionDeclaration: enter,
    "FunctionDeclaration:exit": leave,
    FunctionExpression: enter,
    "FunctionExpression:exit": leave,
    ArrowFunctionExpression: enter,
    "ArrowFunctionExpression:exit": leave,
  });
}

function lineLength(file: SourceFile, report: Report): void {
  const inTemplate = new Set<number>();
  visit(file, {
    TemplateElement: ({ start, end }) => {
      const [first, last] = [lineAt(file, start), lineAt(file, end)];
      if (first === last) return;
      for (let line = first; line <= last; line += 1) inTemplate.add(line);
    },
  });
  for (const [index, line] of file.lines.entries()) {
    const count = Array.from(line).length;
    const isBreakable = line.split(/\s+/).every((word) => word.length <= budgets.wordColumns);
    if (count > budgets.columns && isBreakable && !inTemplate.has(index + 1)) {
      report(file.lineStarts[index] ?? 0, `has ${count} columns, ${budgets.columns} are allowed`);
    }
  }
}

function interfaceSize(file: SourceFile, report: Report): void {
  visit(file, {
    TSInterfaceDeclaration: (node) => {
      const methods = node.body.body.filter(
        (member) =>
          member.type === "TSMethodSignature" ||
          (member.type === "TSPropertySignature" &&
            member.typeAnnotation?.typeAnnotation.type === "TSFunctionType"),
      );
      const max = budgets.interfaceMethods;
      if (methods.length > max)
        report(node, `is an interface of ${methods.length} methods, ${max} are allowed`);
    },
  });
}

function fileName({ path }: SourceFile, report: Report): void {
  if (namelessFile.test(basename(path))) report(0, "has a name that would fit any file");
}

function decorators(file: SourceFile, report: Report): void {
  visit(file, { Decorator: (node) => report(node, "is a decorator: Node cannot run it") });
}

function moduleState(file: SourceFile, report: Report): void {
  for (const statement of file.program.body) {
    const inner = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (inner?.type === "VariableDeclaration" && /^(let|var)$/.test(inner.kind)) {
      report(inner, `a module-level ${inner.kind} is state that nobody owns`);
    }
  }
}

function ambient(file: SourceFile, report: Report): void {
  const check = (node: Node, name: string): void => {
    const allowed = Object.hasOwn(entrances, name) ? entrances[name] : undefined;
    if (allowed === undefined || allowed.some((prefix) => file.path.startsWith(prefix))) return;
    report(node, `uses ${name}, which enters in ${allowed.join(", ")} and is passed on from there`);
  };
  visit(file, {
    MemberExpression: (node) => {
      check(node, nameOf(node));
      if (node.object.type === "Identifier") check(node, node.object.name);
    },
    NewExpression: (node) => {
      if (node.arguments.length === 0) check(node, `new ${nameOf(node.callee)}()`);
    },
    ImportDeclaration: ({ source, specifiers }) => {
      for (const specifier of specifiers) {
        if (specifier.type !== "ImportSpecifier" || specifier.imported.type === "Literal") continue;
        check(specifier, `${source.value.replace("node:", "")}.${specifier.imported.name}`);
      }
    },
  });
}

function skippedTests(file: SourceFile, report: Report): void {
  visit(file, {
    CallExpression: (call) => {
      const [subject = "", method = ""] = nameOf(call.callee).split(".");
      if (/^(describe|it|suite|test)$/.test(subject)) {
        if (method === "only") report(call, "keeps all other tests from running");
        if (/^(skip|todo)$/.test(method)) report(call, `say why, with { ${method}: "..." }`);
        for (const { name, node, isTrue } of optionsOf(call)) {
          if (name === "only") report(node, "keeps all other tests from running");
          if (/^(skip|todo)$/.test(name) && isTrue) report(node, "say why, instead of true");
        }
      } else if (/^(skip|todo)$/.test(method) && call.arguments.length === 0) {
        report(call, `say why, with .${method}("...")`);
      }
    },
  });
}

function sleeps(file: SourceFile, report: Report): void {
  if (Object.hasOwn(sleepers, file.path)) return;
  visit(file, {
    ImportDeclaration: ({ source, specifiers }) => {
      if (source.value !== "node:timers/promises") return;
      for (const specifier of specifiers) {
        const name = specifier.type === "ImportSpecifier" ? nameOf(specifier.imported) : "*";
        if (/^(\*|setTimeout|scheduler)$/.test(name)) report(specifier, "is for sleeping");
      }
    },
    // `new Promise((resolve) => setTimeout(resolve, 100))`; a timer that rejects is a limit, not a
    // sleep.
    NewExpression: ({ callee, arguments: [executor] }) => {
      if (nameOf(callee) !== "Promise" || executor?.type !== "ArrowFunctionExpression") return;
      const [resolve] = executor.params;
      if (resolve?.type !== "Identifier") return;
      const text = file.text.slice(executor.body.start, executor.body.end);
      if (new RegExp(`\\bsetTimeout\\([^;]*\\b${resolve.name}\\b`).test(text)) {
        report(executor, "sleeps: wait for what should happen instead");
      }
    },
  });
}

test("the rules find what they forbid, and nothing in strings and comments", () => {
  const found = (rule: Rule, text: string, path = "src/oci/a.ts"): number =>
    findings(rule, parse(path, text)).length;
  const long = "word ".repeat(21);

  assert.equal(found(fileLength, "\n".repeat(401)), 1);
  assert.equal(found(fileLength, "\n".repeat(401), "test/a.test.ts"), 0);
  assert.equal(found(functionLength, `function a() {${"\n".repeat(70)}}`), 1);
  assert.equal(found(functionLength, `const a = () => {${"\n".repeat(69)}};`), 0);
  assert.equal(
    found(functionLength, `class A { a() {${"\n".repeat(25)}} }`, "src/http/handlers/a.ts"),
    1,
  );
  assert.equal(found(functionLength, `function a() {${"\n".repeat(70)} test("b", c); }`), 0);
  assert.equal(found(functionLength, `test("a", () => {${"\n".repeat(70)}});`), 1);
  assert.equal(found(lineLength, `// ${long}\nconst a = "${long}";`), 2);
  assert.equal(found(lineLength, `// ${"x".repeat(101)}\nconst a = \`\n${long}\n\`;`), 0);
  assert.equal(found(interfaceSize, `interface A {${"a(): void; b: () => void;".repeat(7)}}`), 1);
  assert.equal(found(interfaceSize, `interface A {${"a(): void; b: string;".repeat(12)}}`), 0);
  assert.equal(found(fileName, "", "src/http/utils.ts"), 1);
  assert.equal(found(decorators, "class A { @b c() {} }"), 1);
  assert.equal(found(moduleState, "let a = 1; export let b = 2;"), 2);
  assert.equal(found(moduleState, "const a = 1; function b() { let c = 1; return c; }"), 0);
  assert.equal(found(ambient, "const a = Date.now; const b = new Date(); console.log(a, b);"), 3);
  assert.equal(found(ambient, 'import { randomUUID } from "node:crypto"; process.env["A"];'), 2);
  assert.equal(found(ambient, '// Date.now()\nconst a = "process.env"; new Date(0); b.now();'), 0);
  assert.equal(found(ambient, "console.log(process.env);", "src/cli/a.ts"), 0);
  assert.equal(
    found(skippedTests, "test.only(a); it.skip(b); test(c, { skip: true }); t.skip();"),
    4,
  );
  assert.equal(found(skippedTests, 'test(a, { skip: "no docker here" }, b); t.skip("why");'), 0);
  assert.equal(found(sleeps, "await new Promise((resolve) => setTimeout(resolve, 1));"), 1);
  assert.equal(found(sleeps, 'import { setTimeout } from "node:timers/promises";'), 1);
  assert.equal(found(sleeps, 'import { setImmediate } from "node:timers/promises";'), 0);
  assert.equal(found(sleeps, "await new Promise((_, no) => setTimeout(() => no(), 1));"), 0);
});

/** Tests, and the contract suites, which are shipped so that others can test their stores. */
function isTest(path: string): boolean {
  return path.startsWith("test/") || /\/contract[-.]/.test(path);
}

function findings(rule: Rule, file: SourceFile): readonly string[] {
  const found: string[] = [];
  rule(file, (at, message) => {
    const line = lineAt(file, typeof at === "number" ? at : at.start);
    found.push(`${file.path}:${line} ${message}`);
  });
  return found;
}

/** `a` or `a.b`; anything else is the empty string. */
function nameOf(node: Expression | Node): string {
  if (node.type === "Identifier") return node.name;
  if (node.type !== "MemberExpression" || node.object.type !== "Identifier") return "";
  return node.property.type === "Identifier" ? `${node.object.name}.${node.property.name}` : "";
}

interface TestOption {
  readonly name: string;
  readonly node: Node;
  readonly isTrue: boolean;
}

function optionsOf({ arguments: given }: CallExpression): readonly TestOption[] {
  return given.flatMap((argument) => {
    if (argument.type !== "ObjectExpression") return [];
    return argument.properties.flatMap((property) => {
      if (property.type !== "Property" || property.key.type !== "Identifier") return [];
      const isTrue = property.value.type === "Literal" && property.value.value === true;
      return [{ name: property.key.name, node: property, isTrue }];
    });
  });
}
