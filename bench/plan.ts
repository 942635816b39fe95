/** How much of everything a run does. The whole of it has to end within 20 minutes on two cores. */

export interface Plan {
  readonly name: "full" | "quick";
  /** Interleaved rounds of everything that is a rate. */
  readonly rounds: number;
  /** Length of one measured window, and of the warm-up before the first. */
  readonly windowS: number;
  readonly warmUpS: number;
  /** Length of one window of small pushes. */
  readonly imagesWindowS: number;
  readonly layerRounds: number;
  readonly slowDiskRounds: number;
  readonly slowDiskWindowS: number;
  readonly starts: number;
  readonly startManifests: number;
  readonly tags: number;
  readonly repositories: number;
  readonly manifestsBesideReferrers: number;
  readonly bigLayerBytes: number;
  readonly stallS: number;
}

export const LAYER_BYTES: number = 256 * 1024 ** 2;

const FULL: Plan = {
  name: "full",
  rounds: 7,
  windowS: 2,
  warmUpS: 2,
  imagesWindowS: 3,
  layerRounds: 5,
  slowDiskRounds: 5,
  slowDiskWindowS: 6,
  starts: 9,
  startManifests: 100_000,
  tags: 20_000,
  repositories: 2000,
  manifestsBesideReferrers: 10_000,
  bigLayerBytes: 1024 ** 3,
  stallS: 5,
};

const QUICK: Plan = {
  ...FULL,
  name: "quick",
  rounds: 5,
  windowS: 0.4,
  warmUpS: 0.4,
  imagesWindowS: 0.7,
  layerRounds: 3,
  slowDiskRounds: 2,
  slowDiskWindowS: 2.5,
  starts: 3,
  startManifests: 10_000,
  tags: 5000,
  repositories: 500,
  manifestsBesideReferrers: 1000,
  bigLayerBytes: LAYER_BYTES,
  stallS: 2,
};

export function planFor(quick: boolean): Plan {
  return quick ? QUICK : FULL;
}
