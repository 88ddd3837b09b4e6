import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shellWords } from '../shell-words.ts';

test('the shell reads every word from one line as it was written', () => {
  const word = fc.string({ unit: fc.constantFrom("'", '"', '\\', '$', '\n', ' ', '`', 'ä', 'x') });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const line = shellWords(words);
      expect(line).not.toContain('\n');
      const script = `newline='\n'\nIFS= read -r line\neval "printf '%s\\0' $line"`;
      const output = execFileSync('sh', ['-c', script], { input: `${line}\n`, encoding: 'utf8' });
      expect(output.split('\0').slice(0, -1)).toEqual(words);
    }),
    { numRuns: 50 },
  );
});
