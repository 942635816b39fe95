import { describeHttp } from "../http-suite.ts";

await describeHttp("ceph");
