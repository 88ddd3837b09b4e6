import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect, test } from 'vitest';

/** What the kernel calls the emulated hardware virtualization, in /proc/cpuinfo or in its messages of the boot. */
const SIGNS: Readonly<Partial<Record<NodeJS.Architecture, RegExp>>> = {
  x64: /^flags\s*:.*\bsvm\b/m,
  arm64: /^CPU implementer\s*: 0x41$/m,
  riscv64: /^isa\s*: rv64[a-z]*h/m,
};

test('these tests run in the lab, on hardware virtualization', () => {
  expect(hostname()).toBe('lab');
  expect(readFileSync('/proc/cpuinfo', 'utf8')).toMatch(SIGNS[process.arch] ?? /^$/);
  expect(statSync('/dev/kvm').isCharacterDevice()).toBe(true);
});
