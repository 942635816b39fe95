import { chaosRounds, testChaos } from "./chaos.ts";

testChaos("shared folder", Math.ceil(chaosRounds / 3));
