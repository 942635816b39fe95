/** The project's own source files, parsed: what the tests on architecture and style look at. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync, Visitor, type Program, type VisitorObject } from "oxc-parser";

const root = join(import.meta.dirname, "..");

export interface SourceFile {
  /** From the project's root. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Where each line begins in the text. */
  readonly lineStarts: readonly number[];
  readonly program: Program;
}

/** Every TypeScript and JavaScript file in these folders, by path. */
export function readSources(...folders: readonly string[]): readonly SourceFile[] {
  const patterns = folders.map((folder) => `${folder}/**/*.{ts,mjs}`);
  return globSync(patterns, { cwd: root })
    .toSorted()
    .map((path) => parse(path, readFileSync(join(root, path), "utf8")));
}

export function parse(path: string, text: string): SourceFile {
  const { program, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  const lineStarts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)];
  return { path, text, lines: text.split("\n"), lineStarts, program };
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}

export function visit(file: SourceFile, visitor: VisitorObject): void {
  new Visitor(visitor).visit(file.program);
}

/** The line, counted from one, of an offset in the file's text. */
export function lineAt({ lineStarts }: SourceFile, offset: number): number {
  let [low, high] = [0, lineStarts.length];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if ((lineStarts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low + 1;
}

/** Fails with all that was found, one a line. */
export function assertNone(findings: readonly string[]): void {
  assert(findings.length === 0, `\n${findings.join("\n")}\n`);
}
