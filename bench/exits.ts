import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attachVcpu, type ExitHandler, KvmHypervisor } from '../packages/hypervisor/src/index.ts';
import type { BenchmarkRow } from './run.ts';

const PEER = fileURLToPath(new URL('exits-peer.c', import.meta.url));
const EXITS = 20_000;
const ROUNDS = 11;
const WARM_UP_ROUNDS = 2;
const CODE_ADDRESS = 0x1000;

/** Real-mode loops that leave the vCPU once in two instructions. The peer gets the same bytes. */
const PROGRAMS = {
  // mov dx, 0x3f8; again: out dx, al; jmp again
  'a port write': [0xba, 0xf8, 0x03, 0xee, 0xeb, 0xfd],
  // mov dx, 0x3f8; again: in al, dx; jmp again
  'a port read': [0xba, 0xf8, 0x03, 0xec, 0xeb, 0xfd],
  // mov ax, 0xc000; mov ds, ax; again: mov [0], al; jmp again
  'an MMIO write': [0xb8, 0x00, 0xc0, 0x8e, 0xd8, 0xa2, 0x00, 0x00, 0xeb, 0xfb],
  // mov ax, 0xc000; mov ds, ax; again: mov al, [0]; jmp again
  'an MMIO read': [0xb8, 0x00, 0xc0, 0x8e, 0xd8, 0xa0, 0x00, 0x00, 0xeb, 0xfb],
} as const;

export const description =
  "an exit of KVM's handled in TypeScript, against a loop in C on the same device (lower is better)";

/** Both are measured in turn, in slices of a second or less, so that whatever else the machine does hits both alike. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  if (process.arch !== 'x64' || !existsSync('/dev/kvm')) {
    throw new Error('This benchmark needs /dev/kvm on an x86_64 host');
  }
  using directory = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-exits-'));
  const peer = join(directory.path, 'peer');
  execFileSync('gcc', ['-O2', '-o', peer, PEER], { stdio: 'inherit' });
  for (const [what, program] of Object.entries(PROGRAMS)) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
      const our = await measure(program);
      const their = Number(execFileSync(peer, [String(EXITS), Buffer.from(program).toString('hex')]));
      if (round >= 0) {
        ours.push(our);
        theirs.push(their);
      }
    }
    const our = median(ours);
    const their = median(theirs);
    report({ what, ours: our, peer: their, unit: 'µs', ratio: their / our });
  }
}

/** Microseconds for an exit. */
async function measure(program: readonly number[]): Promise<number> {
  using hypervisor = new KvmHypervisor();
  await using vm = await hypervisor.createVm({
    architecture: 'x86_64',
    ram: [{ guestAddress: 0, size: 0x10000 }],
    vcpuCount: 1,
  });
  vm.memory.copyIn(CODE_ADDRESS, Uint8Array.from(program));
  const control = vm.createVcpu(0);
  using vcpu = await attachVcpu(control.descriptor);
  vcpu.registers.set('cs', 0n);
  vcpu.registers.set('cs.base', 0n);
  vcpu.registers.set('rip', BigInt(CODE_ADDRESS));
  let left = EXITS;
  let sum = 0;
  const count = () => {
    if (--left === 0) control.requestStop();
  };
  const handler: ExitHandler = {
    mmioRead(access) {
      access.low = left & 0xff;
      count();
    },
    mmioWrite(access) {
      sum += access.low;
      count();
    },
    pioRead(access) {
      access.low = left & 0xff;
      count();
    },
    pioWrite(access) {
      sum += access.low;
      count();
    },
    debugConsoleWrite: () => 0,
    debugConsoleWriteByte: () => {},
  };
  const start = performance.now();
  const stop = vcpu.run(handler);
  const milliseconds = performance.now() - start;
  if (stop.reason !== 'stopped' || !Number.isFinite(sum)) throw new Error(stop.detail);
  return (milliseconds * 1000) / EXITS;
}

function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
