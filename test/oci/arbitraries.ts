/** Random values of the domain, for property tests. fast-check prints the seed of what fails. */
import fc from "fast-check";
import { digestOf } from "../../src/oci/digest.ts";
import type { Digest, DigestAlgorithm } from "../../src/oci/digest.ts";

const hexLengths: readonly (readonly [DigestAlgorithm, number])[] = [
  ["sha256", 64],
  ["sha384", 96],
  ["sha512", 128],
];

export const digests: fc.Arbitrary<Digest> = fc
  .constantFrom(...hexLengths)
  .chain(([algorithm, length]) =>
    textOf("0123456789abcdef", { minLength: length, maxLength: length }).map((hex) =>
      digestOf(algorithm, hex),
    ),
  );

/** Any code units at all, halves of surrogate pairs too. */
export function anyText(sizes: fc.StringConstraints = {}): fc.Arbitrary<string> {
  const latin1 = fc.nat(0xff).map((code) => String.fromCharCode(code));
  const others = fc.nat(0x10ffff).map((code) => String.fromCodePoint(code));
  return fc.string({ ...sizes, unit: fc.oneof(latin1, others) });
}

/** Any string, weighted towards the characters that a grammar is made of. */
export function textNear(alphabet: string): fc.Arbitrary<string> {
  return fc.oneof(textOf(alphabet, { maxLength: 40 }), anyText({ maxLength: 40 }));
}

export function textOf(alphabet: string, sizes: fc.StringConstraints = {}): fc.Arbitrary<string> {
  return fc.string({ ...sizes, unit: fc.constantFrom(...alphabet) });
}
