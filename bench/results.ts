/** What a row of the benchmark returns, and what it has to reach. */
import { spread } from "./statistics.ts";
import type { Spread } from "./statistics.ts";

/** The two that run side by side: ours, and the one that it is measured against. */
export type Role = "subject" | "yardstick";

export interface Sample {
  /** In the line's unit. */
  readonly value: number;
  /** Server CPU per unit of work, in the line's `cpuUnit`. */
  readonly cpu?: number;
  /** The load generator's CPU per unit of work, likewise. */
  readonly clientCpu?: number;
}

export type Samples = { readonly [role in Role]?: readonly Sample[] };

/** Which calibration an absolute target follows from machine to machine. */
export type Scale = "http" | "sha256" | "file" | "none";

export type Target =
  /** Times as good as the yardstick in the same run. */
  | { readonly kind: "ratio"; readonly atLeast: number }
  /** The line's own value. */
  | { readonly kind: "atLeast" | "atMost"; readonly value: number; readonly scale: Scale }
  /** CPU per unit of work. */
  | { readonly kind: "cpu"; readonly value: number; readonly scale: Scale }
  /** Not worse than another line of this run, up to a factor that is noise. */
  | { readonly kind: "beside"; readonly work: string; readonly factor: number };

/** One line of the report: one kind of work, its rounds on both sides. */
export interface Line {
  readonly row: string;
  readonly work: string;
  readonly unit: string;
  /** Of rates more is better, of times and memory less. */
  readonly moreIsBetter: boolean;
  readonly cpuUnit?: string;
  readonly samples: Samples;
  /** The two sides did not work under the same conditions: no ratio. */
  readonly incomparable?: boolean;
  readonly targets?: readonly Target[];
  readonly notes?: readonly string[];
}

function values(line: Line, role: Role): readonly number[] {
  return (line.samples[role] ?? []).map((sample) => sample.value);
}

export function valueSpread(line: Line, role: Role): Spread | undefined {
  const of = values(line, role);
  return of.length === 0 ? undefined : spread(of);
}

export function cpuSpread(
  line: Line,
  role: Role,
  which: "cpu" | "clientCpu" = "cpu",
): Spread | undefined {
  const of = (line.samples[role] ?? []).flatMap((sample) => sample[which] ?? []);
  return of.length === 0 ? undefined : spread(of);
}

/** How many times as good as the yardstick: of the medians, and of each round on its own. */
export function ratio(line: Line): Spread | undefined {
  const subject = values(line, "subject");
  const yardstick = values(line, "yardstick");
  if (subject.length === 0 || yardstick.length === 0) return undefined;
  if (line.incomparable === true) return undefined;
  const better = (ours: number, theirs: number): number =>
    line.moreIsBetter ? ours / theirs : theirs / ours;
  const rounds = subject.flatMap((ours, round) => {
    const theirs = yardstick[round];
    return theirs === undefined ? [] : [better(ours, theirs)];
  });
  const each = spread(rounds);
  const medians = better(spread(subject).median, spread(yardstick).median);
  return { median: medians, min: each.min, max: each.max };
}
