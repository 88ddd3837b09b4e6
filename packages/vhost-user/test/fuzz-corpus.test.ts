import { testCorpus } from '../../../tools/fuzz/corpus-suite.ts';
import { TARGETS } from '../fuzz/targets.ts';

testCorpus('vhost-user', TARGETS);
