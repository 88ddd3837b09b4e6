import assert from 'node:assert/strict';
import { EventFd } from '@tsvmm/base';
import { HypervisorError } from '../errors.ts';
import type { Hypervisor } from '../hypervisor.ts';
import type { ConformanceCase } from './case.ts';
import { ConformanceMachine, type MachineSetup } from './machine.ts';
import {
  addi,
  assemble,
  Csr,
  csrrw,
  jump,
  lbu,
  ld,
  lhu,
  loadImmediate,
  lui,
  lwu,
  Register,
  sb,
  sbiCall,
  sd,
  sh,
  slli,
  sw,
  wfi,
} from './riscv64-assembler.ts';

const RAM_START = 0x8000_0000;
const RAM_SIZE = 16 * 2 ** 20;
/** Nothing is here: loads and stores leave the vCPU. */
const DEVICE = 0x1000_0000;
const IMSIC = 0x0800_0000;
const APLIC = 0x4000;
const APLIC_SOURCE = 3;

const SETUP: MachineSetup = {
  options: {
    architecture: 'riscv64',
    ram: [{ guestAddress: RAM_START, size: RAM_SIZE }],
    aia: { imsicAddress: IMSIC, imsicIdentities: 255, aplicAddress: APLIC, aplicSources: 8 },
  },
  codeAddress: RAM_START,
  registers: { pc: BigInt(RAM_START) },
};

const { zero, a0, a1, a2, t0, t1 } = Register;
const SBI_SRST = 0x5352_5354;
const SBI_HSM = 0x48_534d;
const SBI_DBCN = 0x4442_434e;
const EIDELIVERY = 0x70;
const EIE0 = 0xc0;
const SUPERVISOR_EXTERNAL = 9;

const spin = jump(0);
const powerOff = sbiCall(SBI_SRST, 0, 0, 0);
const pointAtDevice = loadImmediate(t0, DEVICE);
const tellDevice = [...pointAtDevice, sw(t0, t0, 0)];

/** Enables one identity of the calling hart's interrupt file, and external interrupts in sie. */
function enableInterrupt(identity: number): number[] {
  return [
    addi(t1, zero, EIDELIVERY),
    csrrw(zero, Csr.siselect, t1),
    addi(t1, zero, 1),
    csrrw(zero, Csr.sireg, t1),
    addi(t1, zero, EIE0),
    csrrw(zero, Csr.siselect, t1),
    addi(t1, zero, 1),
    slli(t1, t1, identity),
    csrrw(zero, Csr.sireg, t1),
    addi(t1, zero, 1),
    slli(t1, t1, SUPERVISOR_EXTERNAL),
    csrrw(zero, Csr.sie, t1),
  ];
}

/** Waits for an interrupt, claims it, and writes its identity (bits 26:16 of stopei) to the device. */
const waitAndTell = [wfi(), csrrw(a0, Csr.stopei, zero), ...pointAtDevice, sw(a0, t0, 8)];

function withMachine(
  body: (machine: ConformanceMachine) => Promise<void>,
  vcpuCount = 1,
): (hypervisor: Hypervisor) => Promise<void> {
  return async (hypervisor) => {
    await using machine = await ConformanceMachine.create(hypervisor, SETUP, vcpuCount);
    await body(machine);
  };
}

/** What every hypervisor that runs riscv64 guests does. Run each case by the test runner of your choice. */
export const riscv64Cases: readonly ConformanceCase[] = [
  {
    name: 'stores to no memory leave the vCPU with address, size and data',
    run: withMachine(async (machine) => {
      machine.load(
        assemble([
          ...pointAtDevice,
          addi(a0, zero, -2),
          sb(a0, t0, 1),
          sh(a0, t0, 2),
          sw(a0, t0, 4),
          sd(a0, t0, 8),
          ...powerOff,
        ]),
      );
      const vcpu = machine.start(0);
      for (const [size, offset] of [
        [1, 1],
        [2, 2],
        [4, 4],
        [8, 8],
      ] as const) {
        const value = BigInt.asUintN(size * 8, -2n);
        assert.deepEqual(await vcpu.exit(), { kind: 'write', address: DEVICE + offset, size, value });
      }
      assert.equal((await vcpu.stop()).reason, 'shutdown');
    }),
  },
  {
    name: 'loads from no memory give what the handler answers',
    run: withMachine(async (machine) => {
      machine.load(
        assemble([
          ...pointAtDevice,
          lbu(a0, t0, 0),
          sd(a0, t0, 0x100),
          lhu(a0, t0, 0),
          sd(a0, t0, 0x100),
          lwu(a0, t0, 0),
          sd(a0, t0, 0x100),
          ld(a0, t0, 0),
          sd(a0, t0, 0x100),
          ...powerOff,
        ]),
      );
      const readValue = 0xfedc_ba98_7654_3210n;
      const vcpu = machine.start(0, { readValue });
      for (const size of [1, 2, 4, 8]) {
        const value = BigInt.asUintN(size * 8, readValue);
        assert.deepEqual(await vcpu.exit(), { kind: 'read', address: DEVICE, size, value });
        assert.deepEqual(await vcpu.exit(), { kind: 'write', address: DEVICE + 0x100, size: 8, value });
      }
    }),
  },
  {
    name: 'registers are set before the first instruction and read after the last',
    run: withMachine(async (machine) => {
      machine.load(assemble([addi(a2, a1, 5), ...powerOff]));
      const vcpu = machine.start(0, { registers: { pc: BigInt(RAM_START), x11: 0xffff_ffff_ffff_fff0n } });
      const { registers } = await vcpu.stop();
      assert.equal(registers.x12, 0xffff_ffff_ffff_fff5n);
      assert.equal(registers.x0, 0n);
    }),
  },
  {
    name: 'a spinning vCPU stops when asked, and goes on',
    run: withMachine(async (machine) => {
      machine.load(assemble([...tellDevice, spin]));
      const vcpu = machine.start(0, { runs: 2 });
      await vcpu.exit();
      vcpu.control.requestStop();
      const first = await vcpu.stop();
      assert.equal(first.reason, 'stopped');
      assert.equal(first.registers.pc, BigInt(RAM_START + 4 * tellDevice.length));
      vcpu.control.requestStop();
      assert.equal((await vcpu.stop()).reason, 'stopped');
    }),
  },
  {
    name: 'an idle vCPU stops when asked',
    run: withMachine(async (machine) => {
      machine.load(assemble([...tellDevice, wfi(), jump(-4)]));
      const vcpu = machine.start(0);
      await vcpu.exit();
      vcpu.control.requestStop();
      assert.equal((await vcpu.stop()).reason, 'stopped');
    }),
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
        machine.load(assemble(sbiCall(SBI_SRST, 0, type, reason)));
        assert.equal((await machine.start(0).stop()).reason, expected);
      }
    },
  },
  {
    name: 'an MSI wakes the vCPU it is sent to',
    run: withMachine(async (machine) => {
      machine.load(assemble([...enableInterrupt(7), ...tellDevice, ...waitAndTell, ...powerOff]));
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.msi.send(IMSIC, 0, 7);
      const exit = await vcpu.exit();
      assert.deepEqual(exit, { kind: 'write', address: DEVICE + 8, size: 4, value: (7n << 16n) | 7n });
    }),
  },
  {
    name: 'a wired interrupt arrives as the MSI the guest asked for',
    run: withMachine(async (machine) => {
      const routeSource = [
        ...loadImmediate(t0, APLIC),
        addi(t1, zero, 4), // rising edge
        sw(t1, t0, 4 * APLIC_SOURCE),
        ...loadImmediate(t0, APLIC + 0x3000),
        addi(t1, zero, 9),
        sw(t1, t0, 4 * APLIC_SOURCE), // hart 0, identity 9
        ...loadImmediate(t0, APLIC + 0x1edc),
        addi(t1, zero, APLIC_SOURCE),
        sw(t1, t0, 0), // setienum
        ...loadImmediate(t0, APLIC),
        addi(t1, zero, 0x100),
        sw(t1, t0, 0), // domaincfg.IE
      ];
      machine.load(
        assemble([...enableInterrupt(9), ...routeSource, ...tellDevice, ...waitAndTell, ...powerOff]),
      );
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.line(APLIC_SOURCE).set(true);
      const exit = await vcpu.exit();
      assert.deepEqual(exit, { kind: 'write', address: DEVICE + 8, size: 4, value: (9n << 16n) | 9n });
    }),
  },
  {
    name: 'a store to an I/O event signals it and does not leave the vCPU',
    run: withMachine(async (machine) => {
      using event = EventFd.create();
      const registration = { space: 'mmio', address: DEVICE, length: 4, match: 1, event } as const;
      machine.vm.registerIoEvent(registration);
      assert.throws(() => machine.vm.registerIoEvent(registration), { code: 'INVALID_ARGUMENT' });
      machine.load(
        assemble([
          ...pointAtDevice,
          addi(a0, zero, 1),
          sw(a0, t0, 0), // signals
          sh(a0, t0, 0), // another size
          addi(a0, zero, 2),
          sw(a0, t0, 0), // another value
          ...powerOff,
        ]),
      );
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), { kind: 'write', address: DEVICE, size: 2, value: 1n });
      assert.deepEqual(await vcpu.exit(), { kind: 'write', address: DEVICE, size: 4, value: 2n });
      assert.equal(event.tryRead(), 1);
      machine.vm.unregisterIoEvent(registration);
      assert.throws(() => machine.vm.unregisterIoEvent(registration), { code: 'INVALID_ARGUMENT' });
    }),
  },
  {
    name: 'an interrupt event that is signalled interrupts the vCPU',
    run: withMachine(async (machine) => {
      using event = EventFd.create();
      const target = { kind: 'msi', addressLow: IMSIC, addressHigh: 0, data: 5 } as const;
      using _registration = machine.vm.registerInterruptEvent(event, target);
      machine.load(assemble([...enableInterrupt(5), ...tellDevice, ...waitAndTell, ...powerOff]));
      const vcpu = machine.start(0);
      await vcpu.exit();
      event.signal();
      const exit = await vcpu.exit();
      assert.deepEqual(exit, { kind: 'write', address: DEVICE + 8, size: 4, value: (5n << 16n) | 5n });
    }),
  },
  {
    name: 'other vCPUs wait until the guest starts them',
    run: withMachine(async (machine) => {
      const secondary = RAM_START + 0x1000;
      machine.load(assemble([...sbiCall(SBI_HSM, 0, 1), ...powerOff]));
      // a1 holds the start address: its bit 31 makes it more than loadImmediate can say.
      machine.load(
        assemble([
          addi(a0, zero, 1),
          addi(a1, zero, 1),
          slli(a1, a1, 31),
          lui(t1, 1),
          0x0065_85b3, // add a1, a1, t1
          addi(a2, zero, 42),
          ...loadImmediate(Register.a7, SBI_HSM),
          addi(Register.a6, zero, 0),
          0x73,
          spin,
        ]),
      );
      machine.load(assemble([...pointAtDevice, sd(a0, t0, 0), sd(a1, t0, 8), ...powerOff]), secondary);
      machine.start(0);
      const second = machine.start(1);
      assert.deepEqual(await second.exit(), { kind: 'write', address: DEVICE, size: 8, value: 1n });
      assert.deepEqual(await second.exit(), { kind: 'write', address: DEVICE + 8, size: 8, value: 42n });
      assert.equal((await second.stop()).reason, 'shutdown');
    }, 2),
  },
  {
    name: 'a vCPU that was never started stops when asked',
    run: withMachine(async (machine) => {
      machine.load(assemble([...tellDevice, spin]));
      await machine.start(0).exit();
      const second = machine.start(1);
      second.control.requestStop();
      assert.equal((await second.stop()).reason, 'stopped');
    }, 2),
  },
  {
    name: 'the debug console gets the bytes of guest memory',
    run: withMachine(async (machine) => {
      machine.vm.memory.copyIn(RAM_START + 0x2000, new TextEncoder().encode('tsvmm'));
      machine.load(
        assemble([
          addi(a0, zero, 5),
          addi(a1, zero, 1),
          slli(a1, a1, 31),
          lui(t1, 2),
          0x0065_85b3, // add a1, a1, t1
          addi(a2, zero, 0),
          ...loadImmediate(Register.a7, SBI_DBCN),
          addi(Register.a6, zero, 0),
          0x73,
          ...powerOff,
        ]),
      );
      const exit = await machine.start(0).exit();
      assert.deepEqual(exit, { kind: 'debug', bytes: [...new TextEncoder().encode('tsvmm')] });
    }),
  },
  {
    name: 'what is out of range is refused by name',
    run: async (hypervisor) => {
      const vcpuCount = hypervisor.maximumVcpus + 1;
      await assert.rejects(
        hypervisor.createVm({ ...SETUP.options, vcpuCount }),
        (error) => error instanceof HypervisorError && error.code === 'INVALID_ARGUMENT',
      );
      await using machine = await ConformanceMachine.create(hypervisor, SETUP);
      assert.throws(() => machine.vm.createVcpu(1), { code: 'INVALID_ARGUMENT' });
      assert.throws(() => machine.vm.interrupts.line(0), { code: 'INVALID_ARGUMENT' });
      assert.throws(() => machine.vm.interrupts.line(9), { code: 'INVALID_ARGUMENT' });
    },
  },
];
