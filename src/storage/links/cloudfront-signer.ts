/**
 * CloudFront's signed URLs with a canned policy: one address, until one moment. Signatures are RSA
 * with SHA-1, which is what CloudFront verifies.
 */
import { createPrivateKey, sign, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";

/** Throws an Error that names the file and never shows what is in it. */
export async function readPrivateKey(path: string): Promise<KeyObject> {
  const problem = (what: string): Error =>
    new Error(`middleware cloudfront: privatekey ${path} ${what}`);
  let pem: string;
  try {
    pem = await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw problem(`cannot be read${code}`);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw problem("is not a private key as PEM, in PKCS#1 or PKCS#8, without a passphrase");
  }
  if (key.asymmetricKeyType !== "rsa") throw problem("is not an RSA key");
  return key;
}

export class CloudFrontSigner {
  readonly #keyPairId: string;
  readonly #privateKey: KeyObject;

  constructor(keyPairId: string, privateKey: KeyObject) {
    this.#keyPairId = keyPairId;
    this.#privateKey = privateKey;
  }

  /** `url` without a query; `expiresAt` in ms UTC, which counts in whole seconds. */
  sign(url: string, expiresAt: number): string {
    const expires = Math.floor(expiresAt / 1000);
    // CloudFront builds the same text from the request, so not a space may differ.
    const condition = `{"DateLessThan":{"AWS:EpochTime":${expires}}}`;
    const policy = `{"Statement":[{"Resource":"${url}","Condition":${condition}}]}`;
    const signature = sign("sha1", Buffer.from(policy), this.#privateKey).toString("base64");
    const safe = signature.replaceAll("+", "-").replaceAll("=", "_").replaceAll("/", "~");
    const keyPairId = encodeURIComponent(this.#keyPairId);
    return `${url}?Expires=${expires}&Signature=${safe}&Key-Pair-Id=${keyPairId}`;
  }
}
