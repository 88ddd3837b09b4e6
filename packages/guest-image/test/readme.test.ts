import { expect, test } from 'vitest';
import { runReadmeExample } from '../../../tools/readme-example.ts';

test('the example in README.md runs', () => {
  const output = runReadmeExample(new URL('../', import.meta.url));
  expect(output).toMatch(/vmlinux-.* .*initrd-.*\.cpio .*config-/);
  expect(output).toContain("'riscv64: ");
});
