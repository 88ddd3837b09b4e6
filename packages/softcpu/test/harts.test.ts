import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { HartBlock, Request } from '../src/core/layout.ts';
import { SoftMemory } from '../src/core/memory.ts';
import type { Fence } from '../src/riscv64/hart-host.ts';
import { Csr } from '../src/riscv64/registers.ts';
import { asm, encode, loadConstant } from './assembler.ts';
import type { HartWorkerData } from './hart-worker.ts';
import { RAM_BASE } from './program-runner.ts';

const [RA, T0, T1, T2, A0, A1, A2] = [1, 5, 6, 7, 10, 11, 12];
const DATA = RAM_BASE + 0x1_0000;
const STOP = asm.store('sw', 0, 0);
const EVERYTHING: Fence = { kind: 'address-space', page: 0, pages: Number.POSITIVE_INFINITY };

class Machine {
  readonly memory: SoftMemory;

  constructor(harts: number) {
    this.memory = SoftMemory.create({ harts, ramBase: RAM_BASE, ramSize: 4 << 20, codeSize: 1 << 20 });
  }

  load(address: number, words: readonly number[]): void {
    words.forEach((word, index) => {
      this.memory.i32[((this.memory.ramOffset + address - RAM_BASE) >>> 2) + index] = word;
    });
  }

  word(address: number): number {
    return this.memory.u32[(this.memory.ramOffset + address - RAM_BASE) >>> 2] ?? 0;
  }

  setLong(address: number, value: bigint): void {
    new DataView(this.memory.memory.buffer).setBigUint64(
      this.memory.ramOffset + address - RAM_BASE,
      value,
      true,
    );
  }

  /** Runs a hart on a thread of its own until its program ends. */
  async run(id: number, pc: number, fence: Fence = EVERYTHING): Promise<void> {
    const workerData: HartWorkerData = { memory: this.memory.descriptor(), id, pc, fence };
    const worker = new Worker(new URL('./hart-worker.ts', import.meta.url), { workerData });
    await once(worker, 'exit');
  }
}

describe('harts on several threads', () => {
  it('lose no update of atomics and of load-reserved with store-conditional', async () => {
    const rounds = 50_000n;
    const machine = new Machine(3);
    const loop = [
      encode('amoadd_w', { rd: 0, rs1: A1, rs2: T1 }),
      encode('lr_d', { rd: T2, rs1: A2 }),
      asm.addi(T2, T2, 1),
      encode('sc_d', { rd: T2, rs1: A2, rs2: T2 }),
      asm.branch('bne', T2, 0, -12),
      asm.addi(T0, T0, -1),
    ];
    machine.load(RAM_BASE, [
      ...loadConstant(T0, rounds),
      ...loadConstant(A1, BigInt(DATA)),
      ...loadConstant(A2, BigInt(DATA + 64)),
      asm.addi(T1, 0, 1),
      ...loop,
      asm.branch('bne', T0, 0, -loop.length * 4),
      STOP,
    ]);
    await Promise.all([0, 1, 2].map((id) => machine.run(id, RAM_BASE)));
    expect(machine.word(DATA)).toBe(Number(rounds) * 3);
    expect(machine.word(DATA + 64)).toBe(Number(rounds) * 3);
  });

  it('see a changed mapping when the fence is done, of some pages or of all', async () => {
    const target = 0x4000_3000;
    for (const fence of [EVERYTHING, { kind: 'address-space', page: target / 4096, pages: 1 }] as const) {
      const machine = new Machine(2);
      const [root, middle, last] = [RAM_BASE + 0x2_0000, RAM_BASE + 0x2_1000, RAM_BASE + 0x2_2000];
      const [before, after] = [RAM_BASE + 0x3_0000, RAM_BASE + 0x3_1000];
      machine.setLong(root + 8, BigInt(middle / 4 + 1));
      machine.setLong(root + 16, BigInt(RAM_BASE / 4 + 0xcf));
      machine.setLong(root, 0xc7n);
      machine.setLong(middle, BigInt(last / 4 + 1));
      machine.setLong(last + 3 * 8, BigInt(before / 4 + 0xc7));
      machine.load(before, [1]);
      machine.load(after, [2]);
      const enter = [
        ...loadConstant(T0, (8n << 60n) | BigInt(root / 4096)),
        asm.csrw(Csr.satp, T0),
        ...loadConstant(A0, BigInt(target)),
        ...loadConstant(A1, BigInt(DATA)),
      ];
      // Hart 1 says that it runs, waits until hart 0 is done, and reads at once: its TLB held the old page.
      machine.load(RAM_BASE, [
        ...enter,
        asm.load('lw', T1, A0),
        asm.store('sw', T1, A1, 0),
        asm.load('lw', T1, A1, 4),
        asm.branch('beq', T1, 0, -4),
        asm.load('lw', T1, A0),
        asm.store('sw', T1, A1, 8),
        STOP,
      ]);
      // Hart 0 waits for that, changes the mapping, asks for the fence and says so.
      machine.load(RAM_BASE + 0x1000, [
        ...enter,
        ...loadConstant(T0, BigInt(after / 4 + 0xc7)),
        ...loadConstant(A2, BigInt(last + 3 * 8)),
        asm.load('lw', T1, A1, 0),
        asm.branch('beq', T1, 0, -4),
        asm.store('sd', T0, A2),
        asm.plain('ecall'),
        asm.addi(T1, 0, 1),
        asm.store('sw', T1, A1, 4),
        STOP,
      ]);
      await Promise.all([machine.run(0, RAM_BASE + 0x1000, fence), machine.run(1, RAM_BASE, fence)]);
      expect([machine.word(DATA), machine.word(DATA + 8)]).toEqual([1, 2]);
    }
  });

  it('ask each other for fences at the same time, and see changed code after them', async () => {
    const machine = new Machine(2);
    const subroutine = DATA + 0x1000;
    machine.load(subroutine, [asm.addi(A0, 0, 1), asm.jalr(0, RA)]);
    const rounds = 300n;
    // Each hart fences again and again; hart 0 (a0 is the hart's id) replaces the subroutine at the end.
    machine.load(RAM_BASE, [
      ...loadConstant(T0, rounds),
      ...loadConstant(A1, BigInt(subroutine)),
      ...loadConstant(T2, BigInt(asm.addi(A0, 0, 2))),
      asm.addi(20, A0, 0),
      asm.jalr(RA, A1),
      asm.plain('ecall'),
      asm.addi(T0, T0, -1),
      asm.branch('bne', T0, 0, -12),
      asm.branch('bne', 20, 0, 20),
      asm.store('sw', T2, A1),
      asm.plain('ecall'),
      asm.addi(T1, 0, 1),
      asm.store('sw', T1, A1, 64),
      asm.load('lw', T1, A1, 64),
      asm.branch('beq', T1, 0, -4),
      asm.jalr(RA, A1),
      encode('slli', { rd: 20, rs1: 20, immediate: 2 }),
      encode('add', { rd: A1, rs1: A1, rs2: 20 }),
      asm.store('sw', A0, A1, 128),
      STOP,
    ]);
    await Promise.all([0, 1].map((id) => machine.run(id, RAM_BASE, { kind: 'instruction' })));
    expect([machine.word(subroutine + 128), machine.word(subroutine + 132)]).toEqual([2, 2]);
  });

  it('need not answer while they idle, and stop when asked to from outside', async () => {
    const machine = new Machine(2);
    // Hart 1 waits for ever; hart 0's fence of both does not.
    machine.load(RAM_BASE, [asm.plain('wfi'), asm.jump(-4)]);
    machine.load(RAM_BASE + 0x1000, [asm.plain('ecall'), asm.plain('ecall'), STOP]);
    const sleeper = machine.run(1, RAM_BASE);
    await machine.run(0, RAM_BASE + 0x1000);
    const idle = (machine.memory.hartBlock(1) + HartBlock.idle) >>> 2;
    expect(Atomics.load(machine.memory.i32, idle)).toBe(1);
    machine.memory.request(1, Request.stop);
    await sleeper;
  });
});
