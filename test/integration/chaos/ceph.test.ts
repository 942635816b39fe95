import { chaosRounds, testChaos } from "./chaos.ts";

testChaos("ceph", chaosRounds);
