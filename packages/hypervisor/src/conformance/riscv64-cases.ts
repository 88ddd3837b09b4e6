import assert from 'node:assert/strict';
import type { ConformanceCase } from './case.ts';
import { commonCases } from './common-cases.ts';
import { ConformanceMachine } from './machine.ts';
import { addi, assemble, Register, sbiCall } from './riscv64-assembler.ts';
import { DEVICE, PAYLOADS, RAM, Sbi, SETUP, store } from './riscv64-machine.ts';

const { a1, a2 } = Register;
const TEXT = RAM + 0x2000;

/** What every hypervisor that runs riscv64 guests does. Run each case by the test runner of your choice. */
export const riscv64Cases: readonly ConformanceCase[] = [
  ...commonCases(PAYLOADS),
  {
    name: 'registers that the guest computed are read after the last instruction',
    run: async (hypervisor) => {
      await using machine = await ConformanceMachine.create(hypervisor, SETUP);
      machine.load(assemble([addi(a2, a1, 5)], PAYLOADS.powerOff));
      const vcpu = machine.start(0, { registers: { ...SETUP.registers, x11: 0xffff_ffff_ffff_fff0n } });
      const { registers } = await vcpu.stop();
      assert.equal(registers.x12, 0xffff_ffff_ffff_fff5n);
      assert.equal(registers.x0, 0n);
    },
  },
  {
    name: 'shutdown, reboot and failure are told apart',
    run: async (hypervisor) => {
      for (const [type, reason, expected] of [
        [0, 0, 'shutdown'],
        [1, 0, 'reset'],
        [0, 1, 'crash'],
      ] as const) {
        await using machine = await ConformanceMachine.create(hypervisor, SETUP);
        machine.load(assemble(sbiCall(Sbi.systemReset, 0, type, reason)));
        assert.equal((await machine.start(0).stop()).reason, expected);
      }
    },
  },
  {
    name: 'the debug console gets the bytes of guest memory, and refuses what is none',
    run: async (hypervisor) => {
      await using machine = await ConformanceMachine.create(hypervisor, SETUP);
      const text = new TextEncoder().encode('tsvmm');
      machine.vm.memory.copyIn(TEXT, text);
      machine.load(
        assemble(
          sbiCall(Sbi.debugConsole, 0, text.length, TEXT, 0),
          sbiCall(Sbi.debugConsole, 0, text.length, DEVICE, 0),
          // a0 has the error: invalid parameter is -3.
          [addi(Register.t2, Register.a0, 0)],
          sbiCall(Sbi.debugConsole, 2, 0x21),
          store(DEVICE, 1, 4),
          PAYLOADS.powerOff,
        ),
      );
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), { kind: 'debug', bytes: [...text] });
      assert.deepEqual(await vcpu.exit(), { kind: 'debug', bytes: [0x21] });
      const { registers } = await vcpu.stop();
      assert.equal(registers.x7, BigInt.asUintN(64, -3n));
    },
  },
];
