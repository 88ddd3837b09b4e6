import type { FuzzTargets } from '../../../tools/fuzz/target.ts';
import { backEndTarget } from './back-end-target.ts';
import { frontEndTarget } from './front-end-target.ts';

/** What can be fuzzed, by the name that the command line takes: this side of the connection. */
export const TARGETS: FuzzTargets = {
  'vhost-user-back-end': backEndTarget,
  'vhost-user-front-end': frontEndTarget,
};
