/** Pauses that belong to what is tested: how long a fault lasts, when a client comes back. */

/** For nothing else: a test waits for what happens, with `until`. */
export function lasting(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  return promise;
}
