/**
 * Google Cloud Storage with Google's own limits, on a server that answers as Google documents:
 * there is no emulator that could be asked, and no account of Google's here.
 */
import { gcsContracts } from "../storage/gcs-suites.ts";

const mebibyte = 1024 * 1024;
const limits = { partBytes: 6 * mebibyte, partBytesMin: 5 * mebibyte };

await gcsContracts("Google Cloud Storage", limits);
await gcsContracts("Google Cloud Storage with Distribution's keys", {
  ...limits,
  distributionKeys: true,
});
