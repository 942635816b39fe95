/**
 * `storage.s3`, also called `s3aws`: the parameters of Distribution 2 and 3. What a value may be
 * beyond its kind (ranges, storage classes, regions) the adapter checks for everybody.
 */
import type { z } from "zod";
import { s3LogLevels } from "../storage/s3/s3-options.ts";
import type { ObjectStorage } from "./config.ts";
import { flag, integer, said, section, text, value, word } from "./yaml-values.ts";

/** In YAML, `off` without quotes is a boolean. */
const logLevel = value(`must be one of ${s3LogLevels.join(", ")}`, (given) =>
  given === false ? "off" : word(s3LogLevels).safeParse(given).data,
);

export const s3Section: z.ZodType<ObjectStorage> = section({
  accesskey: text.optional(),
  secretkey: text.optional(),
  sessiontoken: text.optional(),
  region: text.optional(),
  regionendpoint: text.optional(),
  forcepathstyle: flag.optional(),
  bucket: text,
  encrypt: flag.optional(),
  keyid: text.optional(),
  secure: flag.optional(),
  skipverify: flag.optional(),
  v4auth: flag.optional(),
  chunksize: integer(1).optional(),
  multipartcopychunksize: integer(1).optional(),
  multipartcopymaxconcurrency: integer(1).optional(),
  multipartcopythresholdsize: integer(0).optional(),
  rootdirectory: text.optional(),
  storageclass: text.optional(),
  objectacl: text.optional(),
  useragent: text.optional(),
  usedualstack: flag.optional(),
  accelerate: flag.optional(),
  usefipsendpoint: flag.optional(),
  redirectendpoint: text.optional(),
  loglevel: logLevel.optional(),
}).transform((s3): ObjectStorage => ({
  s3: said({
    bucket: s3.bucket,
    region: s3.region,
    endpoint: s3.regionendpoint,
    forcePathStyle: s3.forcepathstyle,
    accessKey: s3.accesskey,
    secretKey: s3.secretkey,
    sessionToken: s3.sessiontoken,
    v4Auth: s3.v4auth,
    secure: s3.secure,
    skipVerify: s3.skipverify,
    encrypt: s3.encrypt,
    keyId: s3.keyid,
    storageClass: s3.storageclass,
    objectAcl: s3.objectacl,
    chunkSize: s3.chunksize,
    copyChunkSize: s3.multipartcopychunksize,
    copyConcurrency: s3.multipartcopymaxconcurrency,
    copyThreshold: s3.multipartcopythresholdsize,
    userAgent: s3.useragent,
    useDualStack: s3.usedualstack,
    accelerate: s3.accelerate,
    useFipsEndpoint: s3.usefipsendpoint,
    redirectEndpoint: s3.redirectendpoint,
    logLevel: s3.loglevel,
  }),
  rootDirectory: s3.rootdirectory,
}));
