/** The project's own source files, parsed: what the tests on architecture and style look at. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync, Visitor, type ParseResult, type VisitorObject } from "oxc-parser";

const root = join(import.meta.dirname, "..");

export interface SourceFile {
  /** From the project's root. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly parsed: ParseResult;
}

/** Every TypeScript and JavaScript file in these folders, by path. */
export function readSources(...folders: readonly string[]): readonly SourceFile[] {
  const patterns = folders.map((folder) => `${folder}/**/*.{ts,mjs}`);
  return globSync(patterns, { cwd: root })
    .toSorted()
    .map((path) => parse(path, readFileSync(join(root, path), "utf8")));
}

export function parse(path: string, text: string): SourceFile {
  const parsed = parseSync(path, text);
  const [error] = parsed.errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  return { path, text, lines: text.split("\n"), parsed };
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}

export function visit(file: SourceFile, visitor: VisitorObject): void {
  new Visitor(visitor).visit(file.parsed.program);
}

/** The line, counted from one, of an offset in the file's text. */
export function lineAt(file: SourceFile, offset: number): number {
  let line = 1;
  for (let at = file.text.indexOf("\n"); at !== -1 && at < offset; line += 1) {
    at = file.text.indexOf("\n", at + 1);
  }
  return line;
}

/** Fails with all that was found, one a line. */
export function assertNone(findings: readonly string[]): void {
  assert(findings.length === 0, `\n${findings.join("\n")}\n`);
}
