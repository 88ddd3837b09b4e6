import assert from 'node:assert/strict';
import { EventFd } from '@tsvmm/base';
import { fmov, fmovUpper, mov, mrs, SystemRegister, str } from './aarch64-assembler.ts';
import {
  DEVICE,
  enableLine,
  enablePrivateLine,
  PAYLOADS,
  Psci,
  platformOf,
  psci,
  store,
  WIRED,
  WIRED_PAYLOADS,
} from './aarch64-machine.ts';
import type { ConformanceCase } from './case.ts';
import { commonCases } from './common-cases.ts';
import { ConformanceMachine } from './machine.ts';

const { assemble, spin, idle } = WIRED_PAYLOADS;
/** CPACR_EL1: the floating-point registers do not trap. */
const FPEN = 3n << 20n;
const tellDevice = store(DEVICE, 1, 4);
const told = (value: bigint) => ({ kind: 'write', address: DEVICE + 8, size: 4, value });

function withMachine(
  body: (machine: ConformanceMachine) => Promise<void>,
  vcpuCount = 1,
): ConformanceCase['run'] {
  return async (hypervisor) => {
    await using machine = await ConformanceMachine.create(hypervisor, WIRED, vcpuCount);
    await body(machine);
  };
}

/** What every hypervisor that runs aarch64 guests does. Run each case by the test runner of your choice. */
export const aarch64Cases: readonly ConformanceCase[] = [
  ...commonCases(PAYLOADS),
  {
    name: 'shutdown and reboot are told apart',
    run: async (hypervisor) => {
      for (const [call, expected] of [
        [Psci.systemOff, 'shutdown'],
        [Psci.systemReset, 'reset'],
      ] as const) {
        await using machine = await ConformanceMachine.create(hypervisor, WIRED);
        machine.load(assemble(psci(call)));
        assert.equal((await machine.start(0).stop()).reason, expected);
      }
    },
  },
  {
    name: 'vector and system registers are those of the guest',
    run: withMachine(async (machine) => {
      machine.load(
        assemble(mov(1, 0x1234_5678_9abc_def0n), [fmov(7, 28), fmovUpper(7, 1)], tellDevice, spin),
      );
      const registers = {
        ...WIRED.registers,
        x28: 0xfedcn,
        sp_el1: 0x8000_8000n,
        tpidr_el1: 0x77n,
        cpacr_el1: FPEN,
      };
      const vcpu = machine.start(0, { registers });
      await vcpu.exit();
      vcpu.control.requestStop();
      const stop = await vcpu.stop();
      assert.equal(stop.registers.v7, (0x1234_5678_9abc_def0n << 64n) | 0xfedcn);
      assert.equal(stop.registers.sp, 0x8000_8000n);
      assert.equal(stop.registers.tpidr_el1, 0x77n);
    }),
  },
  {
    name: 'a vCPU has the affinity that the platform tells of',
    run: withMachine(async (machine) => {
      const secondary = WIRED.codeAddress + 0x1000;
      machine.load(assemble(PAYLOADS.startSecond(machine, secondary, 0), idle));
      machine.load(
        assemble([mrs(11, SystemRegister.mpidrEl1)], mov(9, DEVICE), [str(11, 9, 0, 8)], spin),
        secondary,
      );
      machine.start(0);
      const exit = await machine.start(1).exit();
      assert.ok(exit.kind === 'write');
      assert.equal(exit.value & 0xff_00ff_ffffn, BigInt(platformOf(machine).affinities[1] ?? -1));
    }, 2),
  },
  {
    name: 'a level-triggered line that stays up interrupts again',
    run: withMachine(async (machine) => {
      const { enable, told: id } = enableLine(machine, 6, 'level');
      const wait = PAYLOADS.waitAndTell(machine, DEVICE + 8);
      machine.load(assemble(enable, tellDevice, wait, wait, spin));
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.line(6).set(true);
      assert.deepEqual(await vcpu.exit(), told(id));
      assert.deepEqual(await vcpu.exit(), told(id));
    }),
  },
  {
    name: 'a private interrupt arrives at its vCPU',
    run: withMachine(async (machine) => {
      const { enable, told: id } = enablePrivateLine(machine, 5);
      machine.load(assemble(enable, tellDevice, PAYLOADS.waitAndTell(machine, DEVICE + 8), spin));
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.privateLine(0, 5).set(true);
      assert.deepEqual(await vcpu.exit(), told(id));
      assert.throws(() => machine.vm.interrupts.privateLine(1, 5), { code: 'INVALID_ARGUMENT' });
      assert.throws(() => machine.vm.interrupts.privateLine(0, 16), { code: 'INVALID_ARGUMENT' });
    }),
  },
  {
    name: 'an interrupt event whose line is resampled tells when the guest has ended the interrupt',
    requires: 'interrupt-resampling',
    run: withMachine(async (machine) => {
      using event = EventFd.create();
      using resample = EventFd.create();
      const ended = Promise.withResolvers<number>();
      using _watcher = resample.onReadable(ended.resolve);
      using _registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source: 9, resample });
      const { enable, told: id } = enableLine(machine, 9, 'level');
      machine.load(assemble(enable, tellDevice, PAYLOADS.waitAndTell(machine, DEVICE + 8), idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      event.signal();
      assert.deepEqual(await vcpu.exit(), told(id));
      assert.equal(await ended.promise, 1);
    }),
  },
  {
    name: 'a machine without an ITS refuses events that send messages',
    run: withMachine(async (machine) => {
      using event = EventFd.create();
      const message = { kind: 'msi', addressLow: 0x4001_0040, addressHigh: 0, data: 1 } as const;
      assert.equal(platformOf(machine).hasIts, false);
      assert.throws(() => machine.vm.registerInterruptEvent(event, message), { code: 'UNSUPPORTED' });
    }),
  },
];
