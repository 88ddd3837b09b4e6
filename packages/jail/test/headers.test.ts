import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { POLICY_CONSTANTS } from '../src/seccomp/constants.ts';
import { SYSTEM_CALLS } from '../src/seccomp/system-calls.ts';

/** All macros that are numbers after `source`, by the C preprocessor. */
function macros(source: string): ReadonlyMap<string, string> {
  const output = execFileSync('gcc', ['-E', '-dM', '-x', 'c', '-'], { input: source, encoding: 'utf8' });
  return new Map(
    [...output.matchAll(/^#define (\w+) (.+)$/gm)].map(([, name = '', text = '']) => [name, text]),
  );
}

function compare(numbers: ReadonlyMap<string, number>, source: string): void {
  const defined = macros(source);
  let compared = 0;
  for (const [name, number] of numbers) {
    const text = defined.get(`__NR_${name}`);
    // Calls that are newer than this host's headers.
    if (text === undefined) continue;
    expect(Number(defined.get(text) ?? text), name).toBe(number);
    compared++;
  }
  expect(compared).toBeGreaterThan(280);
}

test("x86_64's numbers are those of the kernel's headers", () => {
  compare(SYSTEM_CALLS.x86_64, '#include <asm/unistd_64.h>');
});

test("the other architectures' numbers are those of the kernel's generic headers", () => {
  const wants = ['RENAMEAT', 'NEW_STAT', 'SET_GET_RLIMIT', 'SYS_CLONE3', 'MEMFD_SECRET'];
  const source = [
    ...wants.map((want) => `#define __ARCH_WANT_${want}`),
    '#define __BITS_PER_LONG 64',
    '#define __LP64__ 1',
    '#include <asm-generic/unistd.h>',
  ].join('\n');
  compare(SYSTEM_CALLS.aarch64, source);
  const { riscv_hwprobe, riscv_flush_icache, ...generic } = Object.fromEntries(SYSTEM_CALLS.riscv64);
  expect([riscv_hwprobe, riscv_flush_icache]).toEqual([258, 259]);
  compare(new Map(Object.entries(generic)), source);
});

test('constants have the values of the C headers', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'jail-'));
  const program = join(folder.path, 'constants');
  const names = [...POLICY_CONSTANTS.keys()];
  const headers = [
    'sys/mman.h',
    'linux/sched.h',
    'linux/fcntl.h',
    'linux/falloc.h',
    'linux/prctl.h',
    'signal.h',
    'sys/ioctl.h',
    'linux/fs.h',
    'linux/if_tun.h',
    'stdio.h',
  ];
  const source = `${headers.map((header) => `#include <${header}>\n`).join('')}int main(void) { ${names
    .map((name) => `printf("%llu\\n", (unsigned long long)${name});`)
    .join('\n')} }`;
  execFileSync('gcc', ['-x', 'c', '-D_GNU_SOURCE', '-o', program, '-'], { input: source });
  const values = execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(BigInt);
  expect(Object.fromEntries(names.map((name, index) => [name, values[index]]))).toEqual(
    Object.fromEntries(POLICY_CONSTANTS),
  );
});
