import { testCorpus } from '../../../tools/fuzz/corpus-suite.ts';
import { TARGETS } from '../fuzz/targets.ts';

// Few: each target starts two processes, and @tsvmm/devices tries the same programs without.
testCorpus('device-process', TARGETS, 4);
