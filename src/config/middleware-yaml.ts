/**
 * The list `middleware.storage`: what decides the URL that a client is sent to for a blob. Of
 * Distribution's other two lists, nothing was ever shipped.
 */
import { z } from "zod";
import type { LinkOptions } from "../storage/links/link-options.ts";
import { duration, flag, said, section, text, value, word } from "./yaml-values.ts";

const cloudfront = section({
  baseurl: text,
  privatekey: text,
  keypairid: text,
  duration: duration.optional(),
  ipfilteredby: word(["none", "aws", "awsregion"]).optional(),
  awsregion: text.optional(),
  updatefrequency: duration.optional(),
  // Misspelt in Distribution once, and accepted ever since.
  updatefrenquency: duration.optional(),
  iprangesurl: text.optional(),
}).transform((options, context): LinkOptions => {
  const ipFilter = ipFilterOf(options.ipfilteredby, options.awsregion);
  if (ipFilter === undefined) {
    const message = "is required with ipfilteredby: awsregion";
    context.addIssue({ code: "custom", path: ["awsregion"], message });
    return z.NEVER;
  }
  return said({
    kind: "cloudfront",
    baseUrl: options.baseurl,
    privateKeyPath: options.privatekey,
    keyPairId: options.keypairid,
    durationMs: options.duration,
    ipFilter,
    updateFrequencyMs: options.updatefrequency ?? options.updatefrenquency,
    ipRangesUrl: options.iprangesurl,
  });
});

type IpFilter = "none" | "aws" | { readonly regions: readonly string[] };

function ipFilterOf(
  by: "none" | "aws" | "awsregion" | undefined,
  list: string | undefined,
): IpFilter | undefined {
  if (by !== "awsregion") return by ?? "none";
  const regions = (list ?? "").split(",").map((region) => region.trim().toLowerCase());
  const named = regions.filter((region) => region !== "");
  return named.length === 0 ? undefined : { regions: named };
}

const baseUrl = value("must be a URL with a scheme and a host", (given) => {
  const url = typeof given === "string" ? URL.parse(given) : null;
  return url === null || url.host === "" ? undefined : String(given);
});

const redirect = section({ baseurl: baseUrl }).transform(({ baseurl }): LinkOptions => ({
  kind: "redirect",
  baseUrl: baseurl,
}));

const rewrite = section({
  scheme: text.optional(),
  host: text.optional(),
  trimpathprefix: text.optional(),
}).transform(({ host, scheme, trimpathprefix }): LinkOptions => ({
  kind: "rewrite",
  scheme,
  host,
  trimPathPrefix: trimpathprefix,
}));

const disabled = flag.optional();

const entry = z.discriminatedUnion(
  "name",
  [
    z.looseObject({ name: z.literal("cloudfront"), disabled, options: cloudfront }),
    z.looseObject({ name: z.literal("redirect"), disabled, options: redirect }),
    z.looseObject({ name: z.literal("rewrite"), disabled, options: rewrite }),
  ],
  { error: "must be one of cloudfront, redirect, rewrite" },
);

/** What is switched off need not be right. */
const entryOrOff = z.preprocess((given) => (isOff(given) ? null : given), entry.nullable());

function isOff(given: unknown): boolean {
  if (typeof given !== "object" || given === null || !("disabled" in given)) return false;
  return flag.safeParse(given.disabled).data === true;
}

export const middlewareSection: z.ZodType<readonly LinkOptions[]> = section({
  storage: z.array(entryOrOff).nullish(),
  // Refused unless they are empty.
  registry: z.unknown().optional(),
  repository: z.unknown().optional(),
}).transform(({ storage }) => storage?.flatMap((entry) => entry?.options ?? []) ?? []);
