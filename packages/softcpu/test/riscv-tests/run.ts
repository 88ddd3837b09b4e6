/**
 * Runs the riscv-tests suites (https://github.com/riscv-software-src/riscv-tests) that a machine without M-mode can run:
 *
 *     node packages/softcpu/test/riscv-tests/run.ts DIRECTORY [PATTERN]
 *
 * DIRECTORY has the repository's `isa` and, in `env`, `encoding.h` of its submodule riscv-test-env. Needs
 * riscv64-linux-gnu-gcc. Exits with 1 if a test fails; a test that hangs is the one named last.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ProgramRunner } from '../program-runner.ts';

const SUITES = ['ui', 'um', 'ua', 'uf', 'ud', 'uc', 'uzba', 'uzbb', 'uzbs'].map((name) => `rv64${name}`);
/** Supervisor tests that need no M-mode; they bring their own privilege. */
const SUPERVISOR_TESTS = ['csr', 'scall', 'sbreak', 'wfi', 'ma_fetch'];
const ENVIRONMENT = import.meta.dirname;

const [directory, pattern = ''] = process.argv.slice(2);
if (directory === undefined) {
  console.error('usage: run.ts DIRECTORY [PATTERN]');
  process.exit(2);
}
const isa = join(directory, 'isa');
const output = mkdtempSync(join(tmpdir(), 'riscv-tests-'));

function build(source: string, virtual: boolean): Uint8Array {
  const elf = join(output, `${basename(source, '.S')}.elf`);
  execFileSync('riscv64-linux-gnu-gcc', [
    ...[
      '-march=rv64gc_zba_zbb_zbs',
      '-mabi=lp64',
      '-static',
      '-mcmodel=medany',
      '-nostdlib',
      '-nostartfiles',
    ],
    ...(virtual ? ['-DVIRTUAL'] : []),
    ...['-I', ENVIRONMENT, '-I', join(directory ?? '', 'env'), '-I', join(isa, 'macros', 'scalar')],
    ...['-Wl,--build-id=none', '-T', join(ENVIRONMENT, 'link.ld'), source, '-o', elf],
  ]);
  return readFileSync(elf);
}

let failures = 0;

function check(name: string, source: string, virtual: boolean): void {
  process.stdout.write(`${name} `);
  const machine = new ProgramRunner();
  const result = machine.run(machine.loadElf(build(source, virtual)));
  if (result !== 1) {
    failures++;
  }
  console.log(
    result === 1 ? 'passed' : `FAILED: ${result === undefined ? 'no result' : `test ${result >>> 1}`}`,
  );
}

try {
  for (const suite of SUITES) {
    for (const file of readdirSync(join(isa, suite)).filter((name) => name.endsWith('.S'))) {
      for (const environment of ['p', 'v']) {
        const name = `${suite}-${environment}-${basename(file, '.S')}`;
        if (name.includes(pattern)) {
          check(name, join(isa, suite, file), environment === 'v');
        }
      }
    }
  }
  for (const test of SUPERVISOR_TESTS) {
    const name = `rv64si-p-${test}`;
    if (name.includes(pattern)) {
      check(name, join(isa, 'rv64si', `${test}.S`), false);
    }
  }
} finally {
  rmSync(output, { recursive: true });
}
console.log(failures === 0 ? 'all passed' : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;
