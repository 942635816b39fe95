/** Requests of one call that are made at a time: enough to hide the way there and back. */
const groupSize = 16;

/** Runs `work` on each item, some at a time. Results are in the items' order. */
export async function inGroups<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += groupSize) {
    results.push(...(await Promise.all(items.slice(start, start + groupSize).map(work))));
  }
  return results;
}
