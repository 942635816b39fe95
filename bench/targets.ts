/** Says of each target whether this run reached it, and what that means on this machine. */
import { slowness } from "./calibration.ts";
import type { Calibration } from "./calibration.ts";
import { cpuSpread, ratio, valueSpread } from "./results.ts";
import type { Line, Scale, Target } from "./results.ts";

export interface Verdict {
  readonly row: string;
  readonly work: string;
  /** What was to be reached, and what was. */
  readonly target: string;
  readonly measured: string;
  readonly reached: boolean;
  /** How far away: 1.2 is "a fifth short". */
  readonly missedBy: number;
  /** The same, for a machine as slow as this one: only of absolute targets. */
  readonly scaled?: { readonly target: string; readonly reached: boolean };
}

interface Limit {
  readonly got: number;
  readonly limit: number;
  readonly atLeast: boolean;
  readonly text: (value: number) => string;
  readonly scale: Scale;
}

export function judge(
  line: Line,
  all: readonly Line[],
  calibration: Calibration,
): readonly Verdict[] {
  return (line.targets ?? []).flatMap((target) => {
    const limit = limitOf(line, target, all);
    if (limit === undefined) return [];
    const { got, text, atLeast } = limit;
    const sign = atLeast ? ">=" : "<=";
    const verdict: Verdict = {
      row: line.row,
      work: line.work,
      target: `${sign} ${text(limit.limit)}`,
      measured: text(got),
      reached: holds(limit, limit.limit),
      missedBy: atLeast ? limit.limit / got : got / limit.limit,
    };
    if (limit.scale === "none") return [verdict];
    const slower = slowness(calibration, limit.scale);
    const scaled = atLeast ? limit.limit / slower : limit.limit * slower;
    const target2 = `${sign} ${text(scaled)}`;
    return [{ ...verdict, scaled: { target: target2, reached: holds(limit, scaled) } }];
  });
}

function holds({ got, atLeast }: Limit, limit: number): boolean {
  return atLeast ? got >= limit : got <= limit;
}

function limitOf(line: Line, target: Target, all: readonly Line[]): Limit | undefined {
  const none = "none" as const;
  if (target.kind === "ratio") {
    const got = ratio(line)?.median;
    if (got === undefined) return undefined;
    return { got, limit: target.atLeast, atLeast: true, text: times, scale: none };
  }
  if (target.kind === "cpu") {
    const got = cpuSpread(line, "subject")?.median;
    if (got === undefined) return undefined;
    const text = (value: number): string => `${digits(value)} ${line.cpuUnit ?? ""} CPU`;
    return { got, limit: target.value, atLeast: false, text, scale: target.scale };
  }
  const got = valueSpread(line, "subject")?.median;
  if (got === undefined) return undefined;
  if (target.kind === "beside") {
    const other = all.find((each) => each.row === line.row && each.work === target.work);
    const first = other && valueSpread(other, "subject")?.median;
    if (first === undefined) return undefined;
    const text = (value: number): string => `${times(value)} the first page`;
    return { got: got / first, limit: target.factor, atLeast: false, text, scale: none };
  }
  const text = (value: number): string => `${digits(value)} ${line.unit}`;
  const atLeast = target.kind === "atLeast";
  return { got, limit: target.value, atLeast, text, scale: target.scale };
}

function times(value: number): string {
  return `${digits(value)}x`;
}

/** Three digits that count, thousands apart. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}
