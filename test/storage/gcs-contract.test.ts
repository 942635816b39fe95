/** Google Cloud Storage, with parts smaller than Google's, so that it takes little time. */
import { gcsContracts } from "./gcs-suites.ts";

await gcsContracts("Google Cloud Storage", { partBytes: 256 * 1024, partBytesMin: 128 * 1024 });
