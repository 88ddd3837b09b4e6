import assert from 'node:assert/strict';
import { EventFd, MemFd, mapShared } from '@tsvmm/base';
import { attachRegion } from '../attach.ts';
import { HypervisorError } from '../errors.ts';
import type { Hypervisor } from '../hypervisor.ts';
import type { MemoryRegion } from '../vm.ts';
import type { ConformanceCase } from './case.ts';
import type { LoggedExit } from './exit-log.ts';
import { ConformanceMachine } from './machine.ts';
import { checkMsiEvents, MSI_EVENTS, MSI_EVENTS_CASE } from './msi-events.ts';
import type { Payloads } from './payloads.ts';

const SIZES = [1, 2, 4, 8] as const;
const READ_VALUE = 0xfedc_ba98_7654_3210n;
const PAGE = 4096;

const isInvalid = (error: unknown) => error instanceof HypervisorError && error.code === 'INVALID_ARGUMENT';

/** Where nobody listens, a message is lost, and an event that could only send one is refused. */
function takesNoMessages({ vm }: ConformanceMachine): void {
  using event = EventFd.create();
  const message = { addressLow: 0x4001_0040, addressHigh: 0, data: 1 };
  vm.interrupts.msi.send(message.addressLow, message.addressHigh, message.data);
  assert.throws(() => vm.registerInterruptEvent(event, { kind: 'msi', ...message }), { code: 'UNSUPPORTED' });
}

/** What every hypervisor does for guests of every architecture, shown by one architecture's payloads. */
export function commonCases(payloads: Payloads): readonly ConformanceCase[] {
  const { device, setup, store, spin, idle, powerOff } = payloads;
  /** Tells the main thread that the code has come this far. */
  const tellDevice = store(device, 1, 4);
  const told: LoggedExit = { kind: 'write', address: device, size: 4, value: 1n };
  const write = (offset: number, size: number, value: bigint): LoggedExit => ({
    kind: 'write',
    address: device + offset,
    size,
    value,
  });
  const waitAndTell = (machine: ConformanceMachine) => payloads.waitAndTell(machine, device + 8);
  const interrupted = (value: bigint) => write(8, 4, value);

  function withMachine(
    body: (machine: ConformanceMachine) => Promise<void>,
    vcpuCount = 1,
  ): (hypervisor: Hypervisor) => Promise<void> {
    return async (hypervisor) => {
      await using machine = await ConformanceMachine.create(hypervisor, setup, vcpuCount);
      await body(machine);
    };
  }

  /** Memory of one page for a region, with a value in its first word. */
  function onePage(value: number): { readonly file: MemFd; readonly region: MemoryRegion } {
    const file = MemFd.create({ name: 'conformance', size: PAGE });
    new Uint32Array(mapShared(file.descriptor.number, 0, PAGE).buffer)[0] = value;
    const place = { guestAddress: payloads.freeAddress, size: PAGE, descriptorOffset: 0 };
    return { file, region: { ...place, descriptor: file.descriptor.number, readOnly: false } };
  }

  return [
    {
      name: 'stores to no memory leave the vCPU with address, size and data',
      run: withMachine(async (machine) => {
        machine.load(
          payloads.assemble(...SIZES.map((size) => store(device + size, 0x7654_3210, size)), powerOff),
        );
        const vcpu = machine.start(0);
        for (const size of SIZES) {
          assert.deepEqual(await vcpu.exit(), write(size, size, BigInt.asUintN(size * 8, 0x7654_3210n)));
        }
        assert.equal((await vcpu.stop()).reason, 'shutdown');
      }),
    },
    {
      name: 'loads from no memory give what the handler answers',
      run: withMachine(async (machine) => {
        const loads = SIZES.map((size) => payloads.loadAndTell(device, size, device + 0x100));
        machine.load(payloads.assemble(...loads, powerOff));
        const vcpu = machine.start(0, { readValue: READ_VALUE });
        for (const size of SIZES) {
          const value = BigInt.asUintN(size * 8, READ_VALUE);
          assert.deepEqual(await vcpu.exit(), { kind: 'read', address: device, size, value });
          assert.deepEqual(await vcpu.exit(), write(0x100, 8, value));
        }
      }),
    },
    {
      name: 'registers are what was set, and stay what the guest left in them',
      run: withMachine(async (machine) => {
        machine.load(payloads.assemble(tellDevice, spin));
        const { untouched, programCounter } = payloads;
        const value = 0xffff_ffff_ffff_fff5n;
        const vcpu = machine.start(0, { registers: { ...setup.registers, [untouched]: value } });
        assert.deepEqual(await vcpu.exit(), told);
        vcpu.control.requestStop();
        const { registers } = await vcpu.stop();
        assert.equal(registers[untouched], value);
        assert.equal(
          registers[programCounter],
          BigInt(setup.codeAddress + payloads.assemble(tellDevice).length),
        );
      }),
    },
    {
      name: 'a spinning vCPU stops when asked, and goes on',
      run: withMachine(async (machine) => {
        machine.load(payloads.assemble(tellDevice, spin));
        const vcpu = machine.start(0, { runs: 2 });
        await vcpu.exit();
        vcpu.control.requestStop();
        assert.equal((await vcpu.stop()).reason, 'stopped');
        vcpu.control.requestStop();
        assert.equal((await vcpu.stop()).reason, 'stopped');
      }),
    },
    {
      name: 'an idle vCPU stops when asked',
      run: withMachine(async (machine) => {
        machine.load(payloads.assemble(tellDevice, idle));
        const vcpu = machine.start(0);
        await vcpu.exit();
        vcpu.control.requestStop();
        assert.equal((await vcpu.stop()).reason, 'stopped');
      }),
    },
    {
      name: 'a vCPU that is asked before it runs stops at once',
      run: withMachine(async (machine) => {
        machine.load(payloads.assemble(spin));
        const vcpu = machine.start(0);
        vcpu.control.requestStop();
        const stop = await vcpu.stop();
        assert.equal(stop.reason, 'stopped');
        assert.equal(stop.registers[payloads.programCounter], BigInt(setup.codeAddress));
      }),
    },
    {
      name: 'an MSI wakes the vCPU it is sent to',
      run: withMachine(async (machine) => {
        const expected = payloads.message(machine);
        if (expected === undefined) return takesNoMessages(machine);
        const { message, enable, told: value } = expected;
        machine.load(payloads.assemble(enable, tellDevice, waitAndTell(machine), powerOff));
        const vcpu = machine.start(0);
        await vcpu.exit();
        const { addressLow, addressHigh, data, deviceId } = message;
        machine.vm.interrupts.msi.send(addressLow, addressHigh, data, deviceId);
        assert.deepEqual(await vcpu.exit(), interrupted(value));
      }),
    },
    {
      name: 'a wired interrupt arrives as the guest has routed it, at each rising edge',
      run: withMachine(async (machine) => {
        const [source] = payloads.sources;
        const { enable, told: value } = payloads.line(machine, source);
        machine.load(
          payloads.assemble(enable, tellDevice, waitAndTell(machine), waitAndTell(machine), powerOff),
        );
        const vcpu = machine.start(0);
        await vcpu.exit();
        const line = machine.vm.interrupts.line(source);
        for (let edge = 0; edge < 2; edge++) {
          line.set(true);
          assert.deepEqual(await vcpu.exit(), interrupted(value));
          line.set(false);
        }
      }),
    },
    {
      name: 'a store to an I/O event signals it and does not leave the vCPU',
      run: withMachine(async (machine) => {
        using event = EventFd.create();
        const registration = { space: 'mmio', address: device, length: 4, match: 1, event } as const;
        machine.vm.registerIoEvent(registration);
        assert.throws(() => machine.vm.registerIoEvent(registration), { code: 'INVALID_ARGUMENT' });
        machine.load(
          payloads.assemble(store(device, 1, 4), store(device, 1, 2), store(device, 2, 4), powerOff),
        );
        const vcpu = machine.start(0);
        assert.deepEqual(await vcpu.exit(), write(0, 2, 1n));
        assert.deepEqual(await vcpu.exit(), write(0, 4, 2n));
        assert.equal(event.tryRead(), 1);
        machine.vm.unregisterIoEvent(registration);
        assert.throws(() => machine.vm.unregisterIoEvent(registration), { code: 'INVALID_ARGUMENT' });
      }),
    },
    {
      name: 'a store of any size and value signals an I/O event without length and value',
      run: withMachine(async (machine) => {
        using event = EventFd.create();
        machine.vm.registerIoEvent({ space: 'mmio', address: device, length: 0, event });
        machine.load(
          payloads.assemble(
            store(device, 1, 4),
            store(device, 7, 2),
            store(device, 0, 1),
            store(device + 4, 7, 4),
            idle,
          ),
        );
        assert.deepEqual(await machine.start(0).exit(), write(4, 4, 7n));
        assert.equal(event.tryRead(), 3);
      }),
    },
    {
      name: 'an interrupt event sends its MSI',
      run: withMachine(async (machine) => {
        using event = EventFd.create();
        const expected = payloads.message(machine);
        if (expected === undefined) return takesNoMessages(machine);
        const { message, enable, told: value } = expected;
        using _registration = machine.vm.registerInterruptEvent(event, { kind: 'msi', ...message });
        machine.load(payloads.assemble(enable, tellDevice, waitAndTell(machine), powerOff));
        const vcpu = machine.start(0);
        await vcpu.exit();
        event.signal();
        assert.deepEqual(await vcpu.exit(), interrupted(value));
      }),
    },
    {
      name: MSI_EVENTS_CASE,
      run: withMachine(async (machine) => {
        const expected = payloads.message(machine);
        // Not every hypervisor does that by itself.
        if (expected === undefined || machine.vm.interrupts.msiEvents === undefined) return;
        const { message, enable, told: value } = expected;
        const waits = Array.from({ length: MSI_EVENTS }, () => waitAndTell(machine));
        machine.load(payloads.assemble(enable, tellDevice, ...waits, powerOff));
        const vcpu = machine.start(0);
        await vcpu.exit();
        await checkMsiEvents(machine.vm, message, async () => {
          assert.deepEqual(await vcpu.exit(), interrupted(value));
        });
      }),
    },
    {
      name: 'an interrupt event pulses its line',
      run: withMachine(async (machine) => {
        using event = EventFd.create();
        const [, source] = payloads.sources;
        const { enable, told: value } = payloads.line(machine, source);
        using _registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source });
        const waits = Array.from({ length: 3 }, () => waitAndTell(machine));
        machine.load(payloads.assemble(enable, tellDevice, ...waits, powerOff));
        const vcpu = machine.start(0);
        await vcpu.exit();
        for (let pulse = 0; pulse < 3; pulse++) {
          event.signal();
          assert.deepEqual(await vcpu.exit(), interrupted(value));
        }
      }),
    },
    {
      name: 'an interrupt event that was undone does nothing',
      run: withMachine(async (machine) => {
        using event = EventFd.create();
        const [source, other] = payloads.sources;
        const undone = payloads.line(machine, source);
        const { enable, told: value } = payloads.line(machine, other);
        const registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source });
        registration[Symbol.dispose]();
        registration[Symbol.dispose]();
        machine.load(payloads.assemble(undone.enable, enable, tellDevice, waitAndTell(machine), powerOff));
        const vcpu = machine.start(0);
        await vcpu.exit();
        event.signal();
        assert.equal(event.tryRead(), 1);
        machine.vm.interrupts.line(other).set(true);
        assert.deepEqual(await vcpu.exit(), interrupted(value));
      }),
    },
    {
      name: 'other vCPUs wait until the guest starts them',
      run: withMachine(async (machine) => {
        const secondary = setup.codeAddress + 0x1000;
        machine.load(payloads.assemble(payloads.startSecond(machine, secondary, 42), idle));
        machine.load(payloads.assemble(payloads.tellArgument(device + 8), powerOff), secondary);
        machine.start(0);
        const second = machine.start(1);
        assert.deepEqual(await second.exit(), write(8, 8, 42n));
        assert.equal((await second.stop()).reason, 'shutdown');
      }, 2),
    },
    {
      name: 'a vCPU that was never started stops when asked',
      run: withMachine(async (machine) => {
        machine.load(payloads.assemble(tellDevice, spin));
        await machine.start(0).exit();
        const second = machine.start(1);
        second.control.requestStop();
        assert.equal((await second.stop()).reason, 'stopped');
      }, 2),
    },
    {
      name: 'memory is there until it is removed',
      requires: 'memory-regions',
      run: withMachine(async (machine) => {
        const { file, region } = onePage(0x1234_5678);
        using _file = file;
        const { freeAddress } = payloads;
        const slot = machine.vm.addMemoryRegion(region);
        assert.throws(() => machine.vm.addMemoryRegion(region), { code: 'INVALID_ARGUMENT' });
        const [source] = payloads.sources;
        const line = payloads.line(machine, source);
        machine.load(
          payloads.assemble(
            payloads.loadAndTell(freeAddress, 4, device),
            store(freeAddress, 5, 4),
            line.enable,
            tellDevice,
            waitAndTell(machine),
            payloads.loadAndTell(freeAddress, 4, device),
            powerOff,
          ),
        );
        const vcpu = machine.start(0);
        assert.deepEqual(await vcpu.exit(), write(0, 8, 0x1234_5678n));
        assert.deepEqual(await vcpu.exit(), told);
        machine.vm.removeMemoryRegion(slot);
        assert.throws(() => machine.vm.removeMemoryRegion(slot), { code: 'INVALID_ARGUMENT' });
        machine.vm.interrupts.line(source).set(true);
        assert.deepEqual(await vcpu.exit(), interrupted(line.told));
        assert.deepEqual(await vcpu.exit(), { kind: 'read', address: freeAddress, size: 4, value: 0n });
        assert.equal(new Uint32Array(mapShared(file.descriptor.number, 0, PAGE).buffer)[0], 5);
      }),
    },
    {
      name: 'memory beside RAM is there from the start, and read-only memory is not written',
      run: async (hypervisor) => {
        const { freeAddress } = payloads;
        const { file, region } = onePage(0x1234_5678);
        using _file = file;
        const second = { ...region, guestAddress: freeAddress + 2 * PAGE, readOnly: true };
        const options = { ...setup.options, regions: [region, second] };
        await using machine = await ConformanceMachine.create(hypervisor, { ...setup, options });
        machine.load(
          payloads.assemble(
            payloads.loadAndTell(freeAddress, 4, device),
            store(freeAddress, 5, 4),
            payloads.loadAndTell(freeAddress + 2 * PAGE, 4, device),
            // Its page is known by now.
            store(freeAddress + 2 * PAGE, 6, 4),
            payloads.loadAndTell(freeAddress, 4, device),
            payloads.loadAndTell(freeAddress + PAGE, 4, device),
            powerOff,
          ),
        );
        const vcpu = machine.start(0);
        assert.deepEqual(await vcpu.exit(), write(0, 8, 0x1234_5678n));
        assert.deepEqual(await vcpu.exit(), write(0, 8, 5n));
        assert.deepEqual(await vcpu.exit(), {
          kind: 'write',
          address: freeAddress + 2 * PAGE,
          size: 4,
          value: 6n,
        });
        assert.deepEqual(await vcpu.exit(), write(0, 8, 5n));
        assert.deepEqual(await vcpu.exit(), {
          kind: 'read',
          address: freeAddress + PAGE,
          size: 4,
          value: 0n,
        });
        assert.equal(new Uint32Array(mapShared(file.descriptor.number, 0, PAGE).buffer)[0], 5);
      },
    },
    {
      name: 'read-only memory is read without an exit, and a store to it is one',
      requires: 'read-only-memory',
      run: withMachine(async (machine) => {
        const { file, region } = onePage(0x1234_5678);
        using _file = file;
        const { freeAddress } = payloads;
        machine.vm.addMemoryRegion({ ...region, readOnly: true });
        const load = payloads.loadAndTell(freeAddress, 4, device);
        machine.load(payloads.assemble(load, store(freeAddress, 5, 4), tellDevice, idle));
        const vcpu = machine.start(0);
        assert.deepEqual(await vcpu.exit(), write(0, 8, 0x1234_5678n));
        assert.deepEqual(await vcpu.exit(), { kind: 'write', address: freeAddress, size: 4, value: 5n });
        assert.deepEqual(await vcpu.exit(), told);
      }),
    },
    {
      name: 'read-only memory that a thread hides is left to the handler until it is shown again',
      requires: 'read-only-memory',
      run: withMachine(async (machine) => {
        const { file, region } = onePage(0x1234_5678);
        using _file = file;
        const { freeAddress } = payloads;
        const slot = machine.vm.addMemoryRegion({ ...region, readOnly: true });
        const flash = attachRegion(machine.vm.regionDescriptor(slot));
        flash.hide();
        const line = payloads.line(machine, payloads.sources[0]);
        const load = payloads.loadAndTell(freeAddress, 4, device);
        machine.load(
          payloads.assemble(load, line.enable, tellDevice, waitAndTell(machine), load, tellDevice, idle),
        );
        const vcpu = machine.start(0);
        assert.deepEqual(await vcpu.exit(), { kind: 'read', address: freeAddress, size: 4, value: 0n });
        assert.deepEqual(await vcpu.exit(), write(0, 8, 0n));
        assert.deepEqual(await vcpu.exit(), told);
        flash.show();
        machine.vm.interrupts.line(payloads.sources[0]).set(true);
        assert.deepEqual(await vcpu.exit(), interrupted(line.told));
        assert.deepEqual(await vcpu.exit(), write(0, 8, 0x1234_5678n));
        assert.deepEqual(await vcpu.exit(), told);
        assert.throws(() => machine.vm.regionDescriptor(slot + 1), isInvalid);
      }),
    },
    {
      name: 'the dirty log has the pages that were written since it was taken',
      requires: 'dirty-log',
      run: withMachine(async (machine) => {
        const log = machine.vm.dirtyLog;
        assert.ok(log);
        assert.throws(() => log.take(), { code: 'INVALID_STATE' });
        log.start();
        const [ram] = setup.options.ram;
        assert.ok(ram);
        const pages = [0x10_0000, 0x10_3000].map((offset) => ram.guestAddress + offset);
        const stores = pages.map((address) => store(address, 1, 4));
        machine.load(payloads.assemble(...stores, tellDevice, spin));
        await machine.start(0).exit();
        const written = () =>
          log.take().flatMap(({ guestAddress, pages: count, bitmap }) =>
            Array.from({ length: count }, (_, page) => page)
              .filter((page) => ((bitmap[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0)
              .map((page) => guestAddress + page * PAGE),
          );
        assert.deepEqual(written(), pages);
        assert.deepEqual(written(), []);
        log.stop();
        assert.throws(() => log.take(), { code: 'INVALID_STATE' });
      }),
    },
    {
      name: 'what is out of range is refused by name',
      run: async (hypervisor) => {
        const vcpuCount = hypervisor.maximumVcpus + 1;
        await assert.rejects(hypervisor.createVm({ ...setup.options, vcpuCount }), isInvalid);
        await using machine = await ConformanceMachine.create(hypervisor, setup);
        const { vm } = machine;
        assert.throws(() => vm.createVcpu(1), isInvalid);
        using event = EventFd.create();
        for (const source of payloads.missingSources) {
          assert.throws(() => vm.interrupts.line(source), isInvalid);
          assert.throws(() => vm.registerInterruptEvent(event, { kind: 'line', source }), isInvalid);
        }
        assert.throws(() => vm.registerIoEvent({ space: 'mmio', address: -1, length: 1, event }), isInvalid);
      },
    },
  ];
}
