import { HartBlock, type SoftMemory } from '@tsvmm/softcpu';
import { HypervisorError } from '../errors.ts';
import type { VcpuRegisters } from '../vcpu.ts';

const CSRS = [
  'sstatus',
  'sie',
  'sip',
  'stvec',
  'sscratch',
  'sepc',
  'scause',
  'stval',
  'satp',
  'scounteren',
  'senvcfg',
  'stimecmp',
  'siselect',
] as const;

/** Offset in the hart's block of every register, by its name in the RISC-V manuals. */
const OFFSETS: ReadonlyMap<string, number> = new Map([
  ['pc', HartBlock.pc],
  ...Array.from({ length: 32 }, (_, index): [string, number] => [`x${index}`, HartBlock.x + index * 8]),
  ...Array.from({ length: 32 }, (_, index): [string, number] => [`f${index}`, HartBlock.f + index * 8]),
  ...CSRS.map((name): [string, number] => [name, HartBlock[name]]),
]);

/** A software hart's registers: words of its block. To be used while the hart does not run. */
export class SoftRegisters implements VcpuRegisters {
  readonly #view: DataView;

  constructor(memory: SoftMemory, hart: number) {
    this.#view = new DataView(memory.bytes.buffer, memory.hartBlock(hart));
  }

  get(name: string): bigint {
    return this.#view.getBigUint64(this.#offset(name), true);
  }

  set(name: string, value: bigint): void {
    const offset = this.#offset(name);
    if (value !== BigInt.asUintN(64, value)) {
      throw new HypervisorError('INVALID_ARGUMENT', `${value} is not an unsigned 64-bit value for ${name}`);
    }
    if (name !== 'x0') {
      this.#view.setBigUint64(offset, value, true);
    }
  }

  names(): readonly string[] {
    return [...OFFSETS.keys()];
  }

  #offset(name: string): number {
    const offset = OFFSETS.get(name);
    if (offset === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `a riscv64 vCPU has no register ${JSON.stringify(name)}: names() lists those it has`,
      );
    }
    return offset;
  }
}
