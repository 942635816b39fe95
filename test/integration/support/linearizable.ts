/**
 * Whether some order explains what clients saw: each operation took effect at one moment between
 * its request and its answer (Wing and Gong's search, with Lowe's memory of what was tried).
 */

export interface Operation<V> {
  /** When it was asked for and when it was answered; without an answer it may have no effect. */
  readonly from: number;
  readonly until: number | undefined;
  /** For messages. */
  readonly what: string;
  /** It changes nothing: where its answer fits, it may as well come at once. */
  readonly isRead?: boolean;
  /**
   * What the value is afterwards, where it was `value` before; `undefined` when the answer that was
   * given cannot be given then.
   */
  apply(value: V): { readonly value: V } | undefined;
}

interface Step<V> {
  /** What was done, a bit for each operation. */
  readonly done: bigint;
  readonly value: V;
}

/** The search grows with two to the power of what happens at once: ten is much. */
const statesMax = 2_000_000;

/**
 * Whether an order of the operations exists; values are compared as texts. Operations that were not
 * answered may be anywhere after their request, or nowhere. Throws when it takes too long to tell.
 */
export function isLinearizable<V extends string | undefined>(
  initial: V,
  operations: readonly Operation<V>[],
): boolean {
  const sorted = operations.toSorted((a, b) => a.from - b.from);
  const answered = sorted.flatMap(({ until }, index) => (until === undefined ? [] : [index]));
  const wanted = answered.reduceRight((bits, index) => bits | (1n << BigInt(index)), 0n);
  const seen = new Set<string>();
  const open: Step<V>[] = [{ done: 0n, value: initial }];
  for (let step = open.pop(); step !== undefined; step = open.pop()) {
    if ((step.done & wanted) === wanted) return true;
    const key = `${step.done.toString(36)} ${step.value ?? ""}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > statesMax) throw new Error("too many operations at once to find their order");
    open.push(...following(sorted, step));
  }
  return false;
}

/** An operation may come next unless another one was answered before it was asked for. */
function following<V>(sorted: readonly Operation<V>[], { done, value }: Step<V>): Step<V>[] {
  const steps: Step<V>[] = [];
  let firstAnswer = Number.POSITIVE_INFINITY;
  for (const [index, { until }] of sorted.entries()) {
    const isDone = (done & (1n << BigInt(index))) !== 0n;
    if (!isDone && until !== undefined) firstAnswer = Math.min(firstAnswer, until);
  }
  for (const [index, operation] of sorted.entries()) {
    if (operation.from > firstAnswer) break;
    const bit = 1n << BigInt(index);
    if ((done & bit) !== 0n) continue;
    const next = operation.apply(value);
    if (next === undefined) continue;
    const step = { done: done | bit, value: next.value };
    if (operation.isRead === true) return [step];
    steps.push(step);
  }
  // The last of these is looked at first: what was asked for first, as a rule.
  return steps.toReversed();
}
