/** Randomness that can be repeated: whoever fails prints the seed. */
import { createHash } from "node:crypto";
import process from "node:process";

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits (mulberry32). */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (bits ^ (bits >>> 14)) >>> 0;
  }

  /** A whole number from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + (this.bits() % (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.bits() < probability * 2 ** 32;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(0, items.length - 1)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  bytes(size: number): Uint8Array<ArrayBuffer> {
    const words = new Uint32Array(Math.ceil(size / 4));
    for (let index = 0; index < words.length; index += 1) words[index] = this.bits();
    return new Uint8Array(words.buffer, 0, size);
  }

  /** A generator of its own, so that what one client does moves no other one's numbers. */
  fork(): Random {
    return new Random(this.bits());
  }
}

/** The seed in the environment variable, or a new one. */
export function seedFrom(variable: string): number {
  const given = process.env[variable];
  if (given === undefined) return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`${variable} must be a whole number`);
  return seed;
}

/** How often each race is run. RACE_ROUNDS asks for more: some are lost once in a thousand. */
export function raceRounds(): number {
  const rounds = Number(process.env["RACE_ROUNDS"] ?? 16);
  if (!Number.isSafeInteger(rounds)) throw new Error("RACE_ROUNDS must be a whole number");
  return rounds;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
