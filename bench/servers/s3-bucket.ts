/** A bucket to measure in. */
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { Backend } from "./sides.ts";

export async function createBucket(place: NonNullable<Backend["s3"]>): Promise<void> {
  const client = new S3Client({
    endpoint: place.endpoint,
    region: place.region,
    forcePathStyle: true,
    credentials: { accessKeyId: place.accessKey, secretAccessKey: place.secretKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: place.bucket }));
  client.destroy();
}
