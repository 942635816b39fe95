/**
 * The run as people read it: one table for the terminal, the same as Markdown for
 * docs/benchmarks.md.
 */
import { REFERENCE, drift, slowness } from "./calibration.ts";
import type { Calibration } from "./calibration.ts";
import type { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { cpuSpread, ratio, valueSpread } from "./results.ts";
import type { Line, Role } from "./results.ts";
import type { Spread } from "./statistics.ts";
import { digits, judge } from "./targets.ts";
import type { Verdict } from "./targets.ts";

export interface Run {
  readonly machine: Machine;
  readonly plan: Plan;
  readonly rows: readonly string[];
  readonly names: Readonly<Record<Role, string>>;
  readonly begin: Calibration;
  readonly end: Calibration;
  /** The middle of the two, by which targets are scaled. */
  readonly calibration: Calibration;
  readonly lines: readonly Line[];
  /** Rows that could not be measured, and why. */
  readonly failures: readonly string[];
  readonly minutes: number;
}

/** Between a run's two calibrations; beyond this something else was using the machine. */
const DRIFT_MAX = 1.2;

const UNSTEADY =
  "The machine changed by more than a fifth during this run: take it again when it is idle.";

type Table = readonly (readonly string[])[];

export function verdicts(run: Run): readonly Verdict[] {
  return run.lines.flatMap((line) => judge(line, run.lines, run.calibration));
}

export function terminal(run: Run): string {
  const parts = [
    facts(run).join("\n"),
    aligned(calibrationTable(run)),
    aligned(measures(run)),
    aligned(targetsTable(run)),
    ...notes(run),
    ...run.failures.map((failure) => `FAILED ${failure}`),
  ];
  return `\n${parts.join("\n\n")}\n`;
}

export function markdown(run: Run): string {
  const parts = [
    facts(run)
      .map((fact) => `- ${fact}`)
      .join("\n"),
    "### The machine",
    piped(calibrationTable(run)),
    "### Measured",
    "Medians of the rounds, with the lowest and the highest round in brackets; server CPU per\n" +
      "unit of work. A ratio says how many times as good as the yardstick: above 1 is better.",
    piped(measures(run)),
    "### Targets",
    piped(targetsTable(run)),
    notes(run)
      .map((note) => `- ${note}`)
      .join("\n"),
    run.failures.map((failure) => `- Failed: ${failure}`).join("\n"),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function facts({ machine, plan, names, rows, minutes }: Run): readonly string[] {
  return [
    `${names.subject} beside ${names.yardstick}, ${machine.date}`,
    `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, ` +
      `Linux ${machine.kernel}, ${machine.filesystem}, Node ${machine.node}`,
    `rows: ${rows.join(", ")}; ${plan.name} plan; ${minutes.toFixed(1)} minutes`,
  ];
}

function calibrationTable({ begin, end }: Run): Table {
  const row = (name: string, of: (calibration: Calibration) => number): string[] => [
    name,
    digits(of(REFERENCE)),
    digits(of(begin)),
    digits(of(end)),
  ];
  return [
    ["calibration", "where the targets were set", "here, at the start", "here, at the end"],
    row("bare node:http, 1.2 KB, requests/s", (of) => of.httpPerS),
    row("its CPU, ms/request", (of) => of.httpCpuMs),
    row("sha256, one core, GB/s", (of) => of.sha256GBps),
    row("bare node:http, a file in 1 MiB pieces, GB/s", (of) => of.fileGBps),
    row("its CPU, s/GB", (of) => of.fileCpuSPerGB),
    row("4 KiB write + fdatasync, ms", (of) => of.fdatasyncMs),
    row("slower than there: HTTP", (of) => slowness(of, "http")),
    row("slower than there: sha256", (of) => slowness(of, "sha256")),
    row("slower than there: files", (of) => slowness(of, "file")),
  ];
}

function measures({ lines, names }: Run): Table {
  const [ours = "ours"] = names.subject.split(" ");
  const [theirs = "theirs"] = names.yardstick.split(" ");
  const head = ["work", "unit", ours, theirs, "ratio", "CPU", `CPU, ${theirs}`, "CPU, client"];
  const rows = lines.map((line) => [
    line.work,
    line.unit,
    range(valueSpread(line, "subject")),
    range(valueSpread(line, "yardstick")),
    range(ratio(line), "x"),
    withUnit(cpuSpread(line, "subject"), line.cpuUnit),
    withUnit(cpuSpread(line, "yardstick"), line.cpuUnit),
    withUnit(cpuSpread(line, "subject", "clientCpu"), line.cpuUnit),
  ]);
  return [head, ...rows];
}

function targetsTable(run: Run): Table {
  const head = [
    "work",
    "target",
    "measured",
    "verdict",
    "scaled to this machine",
    "verdict, scaled",
  ];
  const rows = verdicts(run).map((verdict) => [
    verdict.work,
    verdict.target,
    verdict.measured,
    verdict.reached ? "reached" : `missed by ${digits(verdict.missedBy)}x`,
    verdict.scaled?.target ?? "",
    verdict.scaled === undefined ? "" : word(verdict.scaled.reached),
  ]);
  return [head, ...rows];
}

function word(reached: boolean): string {
  return reached ? "reached" : "missed";
}

function notes(run: Run): readonly string[] {
  const { begin, end } = run;
  const unsteady = drift(begin, end) > DRIFT_MAX ? [UNSTEADY] : [];
  return [...unsteady, ...new Set(run.lines.flatMap((line) => line.notes ?? []))];
}

function range(of: Spread | undefined, unit = ""): string {
  if (of === undefined) return "-";
  const median = `${digits(of.median)}${unit}`;
  return of.min === of.max ? median : `${median} (${digits(of.min)}..${digits(of.max)})`;
}

function withUnit(of: Spread | undefined, unit: string | undefined): string {
  return of === undefined ? "-" : `${digits(of.median)} ${unit ?? ""}`.trim();
}

function aligned(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => (row[column] ?? "").length)),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

function piped(table: Table): string {
  const [head = [], ...rows] = table;
  return [head, head.map(() => "---"), ...rows].map(pipedLine).join("\n");
}

function pipedLine(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
