/** The limits of the HTTP edge. Each has a default here, and the reason for it. */

export interface Limits {
  /**
   * A request's head must be there so long after its first byte, or after the connection was made.
   */
  readonly headersTimeoutMs: number;
  /**
   * When no byte moved in either direction for so long, and it is the client whom we wait for, the
   * connection is closed. There is no limit on the total: a layer of 100 GB over a thin line is no
   * fault.
   */
  readonly idleTimeoutMs: number;
  /** How long an idle connection is kept for the next request. */
  readonly keepAliveTimeoutMs: number;
  /** The request line and all headers together. */
  readonly headerBytesMax: number;
  readonly headersCountMax: number;
  /** Connections beyond this are closed as they come. */
  readonly connectionsMax: number;
  /** Requests that a client may send ahead on one connection, while the first is being answered. */
  readonly pipelinedMax: number;
  /**
   * What is left of a refused body is read and dropped, to keep the connection, up to this size.
   */
  readonly drainBytesMax: number;
  /** How long to wait for the rest of a refused body, or for the client to read a last answer. */
  readonly lingerMs: number;
  /**
   * A client that has shut down its sending side may wait for its answer, or be gone: the two look
   * the same. After so long it counts as gone, and `signal` aborts; an answer is still sent if
   * there is one.
   */
  readonly halfCloseGraceMs: number;
  /**
   * All buffers of streamed answers together, beyond the one small buffer that each is always
   * given.
   */
  readonly streamBufferBytesMax: number;
}

export const defaultLimits: Limits = {
  // As Node's own default; long enough for any client, short enough against Slowloris.
  headersTimeoutMs: 60_000,
  // Longer than the stall of a sleeping laptop's TCP or of a client that unpacks before it reads
  // on.
  idleTimeoutMs: 5 * 60_000,
  // Longer than the 60 s after which common load balancers drop their side, so that they are first
  // to close.
  keepAliveTimeoutMs: 75_000,
  // Bearer tokens that list the access to many repositories take 10 KiB and more.
  headerBytesMax: 32 * 1024,
  // Clients send about ten, proxies add as many; curl and Docker repeat Accept a few times.
  headersCountMax: 200,
  // Below the descriptors that a process usually may have (hard limit 1,048,576), above any known
  // registry's.
  connectionsMax: 50_000,
  // Registry clients do not pipeline at all; load generators do, by 10 or so.
  pipelinedMax: 64,
  // Costs less than a new connection with TLS.
  drainBytesMax: 256 * 1024,
  lingerMs: 2_000,
  halfCloseGraceMs: 1_000,
  // 50 stalled readers must cost less than 60 MiB with all else; four fast ones get a megabyte pair
  // each.
  streamBufferBytesMax: 16 * 1024 * 1024,
};
