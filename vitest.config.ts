import { defineConfig } from 'vitest/config';
import { ClosingLine } from './tools/closing-line.ts';

export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts'],
    // These run where there is a real KVM: pnpm test:kvm.
    exclude: ['**/node_modules/**', 'test/kvm/**'],
    reporters: ['default', new ClosingLine()],
    passWithNoTests: false,
    allowOnly: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // No pool is named: that would win over the lab's.
    maxWorkers: 2,
  },
});
