/**
 * Runs the riscv-tests suites (https://github.com/riscv-software-src/riscv-tests) that a machine without M-mode can run:
 *
 *     node packages/softcpu/test/riscv-tests/run.ts [--regions] DIRECTORY [PATTERN]
 *
 * DIRECTORY has the repository's `isa` and, in `env`, `encoding.h` of its submodule riscv-test-env. Needs
 * riscv64-linux-gnu-gcc. Exits with 1 if a test fails; a test that hangs is the one named last.
 *
 * With --regions each program runs several times on one hart that translates at the first taken jump, so that from the
 * second time on its code is regions.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { attachSynchronousTranslation } from '../../src/riscv64/synchronous-regions.ts';
import { ProgramRunner } from '../program-runner.ts';

const SUITES = ['ui', 'um', 'ua', 'uf', 'ud', 'uc', 'uzba', 'uzbb', 'uzbs'].map((name) => `rv64${name}`);
/** Supervisor tests that need no M-mode; they bring their own privilege. */
const SUPERVISOR_TESTS = ['csr', 'scall', 'sbreak', 'wfi', 'ma_fetch'];
const ENVIRONMENT = import.meta.dirname;

/** Times that a program runs on a hart with regions: to be hot, to be in regions, and to jump from region to region. */
const RUNS_WITH_REGIONS = 4;

const {
  values: { regions = false },
  positionals: [directory, pattern = ''],
} = parseArgs({ options: { regions: { type: 'boolean' } }, allowPositionals: true });
if (directory === undefined) {
  console.error('usage: run.ts [--regions] DIRECTORY [PATTERN]');
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

let regionCount = 0;

function check(name: string, source: string, virtual: boolean): void {
  process.stdout.write(`${name} `);
  const program = build(source, virtual);
  const machine = new ProgramRunner({ hotThreshold: regions ? 1 : 0 });
  const installer = regions ? attachSynchronousTranslation(machine.hart) : undefined;
  let result: number | undefined = 1;
  for (let run = 0; run < (regions ? RUNS_WITH_REGIONS : 1) && result === 1; run++) {
    machine.memory.ram.fill(0);
    result = machine.run(machine.loadElf(program));
  }
  regionCount += installer?.statistics.regions ?? 0;
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
if (regions) {
  console.log(`${regionCount} regions`);
}
process.exitCode = failures === 0 ? 0 : 1;
