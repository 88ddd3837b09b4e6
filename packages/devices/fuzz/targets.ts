import type { FuzzTargets } from '../../../tools/fuzz/target.ts';
import { localTarget } from './guest/local-target.ts';
import { PROFILES, type ProfileName } from './guest/profiles.ts';
import { platformTarget } from './platform/target.ts';

const NAMES = Object.keys(PROFILES) as ProfileName[];

/** What can be fuzzed, by the name that the command line takes. */
export const TARGETS: FuzzTargets = {
  ...Object.fromEntries(NAMES.map((name) => [name, localTarget(name)])),
  platform: platformTarget,
};
