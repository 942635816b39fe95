/** What can be set of the registry's upkeep. */

const hourMs = 60 * 60 * 1000;

export interface JobSettings {
  readonly enabled: boolean;
  /** From the end of one run to the begin of the next one, over all nodes, ms. */
  readonly intervalMs: number;
}

export interface UpkeepSettings {
  /**
   * Ends uploads that nobody goes on with: Distribution's `storage.maintenance.uploadpurging`.
   */
  readonly purge: JobSettings & {
    /** How long nobody must have written to an upload, ms. */
    readonly ageMs: number;
    /** Only says what it would end. */
    readonly dryRun: boolean;
  };
  /** Removes the bytes of blobs that no repository links any more, and whose grace is over. */
  readonly collect: JobSettings;
  /**
   * Looks through the whole store for what the database does not know: bytes of a commit or an
   * upload that was cut off between the two.
   */
  readonly sweep: JobSettings & {
    /** Younger than this it may belong to somebody who is still at work, ms. */
    readonly graceMs: number;
  };
  /**
   * How long a node that does a job may be silent before another one takes the job over, ms. It is
   * renewed three times in its life.
   */
  readonly leaseMs: number;
  /**
   * Which part of the time a job may work, above 0 and up to 1: it pauses between its pages, so
   * that those who push and pull come first.
   */
  readonly duty: number;
  /** The first run of a job begins at some time in this, so that nodes do not act as one, ms. */
  readonly firstDelayMaxMs: number;
}

export const defaultUpkeepSettings: UpkeepSettings = {
  // Distribution's own.
  purge: { enabled: true, intervalMs: 24 * hourMs, ageMs: 168 * hourMs, dryRun: false },
  // A query on an index: often enough that a deletion gives its room back the same day.
  collect: { enabled: true, intervalMs: hourMs },
  // Reads every name in the store, and finds what a crash has left, which is little.
  sweep: { enabled: true, intervalMs: 24 * hourMs, graceMs: 24 * hourMs },
  // Longer than any pause of a process that is well, and nobody waits for the work.
  leaseMs: 60_000,
  duty: 0.5,
  firstDelayMaxMs: hourMs,
};
