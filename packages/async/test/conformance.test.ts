import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { executorCases } from '../src/conformance/index.ts';
import { openExecutor } from '../src/index.ts';
import { availableKinds } from './support/kinds.ts';

describe.for([...(await availableKinds())])('%s', (kind) => {
  test.for([...executorCases])('$name', async ({ run }) => {
    const folder = mkdtempSync(join(tmpdir(), 'async-'));
    try {
      await run({ folder, open: (capacity = 64) => openExecutor({ kind, capacity }).executor });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
