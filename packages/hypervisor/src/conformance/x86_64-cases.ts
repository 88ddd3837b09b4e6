import assert from 'node:assert/strict';
import { EventFd, MemFd, mapShared } from '@tsvmm/base';
import { attachRegion } from '../attach.ts';
import { HypervisorError } from '../errors.ts';
import type { MemoryRegion } from '../vm.ts';
import type { ConformanceCase } from './case.ts';
import type { LoggedExit } from './exit-log.ts';
import { checkMsiEvents, MSI_EVENTS_CASE } from './msi-events.ts';
import {
  hlt,
  idle,
  inAl,
  inAx,
  jumpIfZero,
  load8,
  load16,
  load32,
  load64,
  mov16,
  mov32,
  mov64,
  movAl,
  operandSize,
  outAl,
  outAx,
  repOutsb,
  spinHere,
  sti,
  store8,
  store16,
  store32,
  store64,
  testEax,
  ud2,
  X86,
} from './x86_64-assembler.ts';
import {
  CODE,
  createMachine,
  DEVICE,
  enableLocalApic,
  enablePics,
  LOCAL_APIC,
  MODE_16,
  MODE_32,
  MODE_64,
  onInterrupt,
  outByte,
  poke,
  routePin,
  tellDevice,
  withMachine,
} from './x86_64-machine.ts';

const { ax, bx, cx, dx, si } = X86;
const PORT = 0x3f8;
const ROM = 0xe000_0000;
const PAGE = 4096;
const READ_VALUE = 0xfedc_ba98_7654_3210n;

const code = (...parts: readonly (readonly number[])[]) => Uint8Array.from(parts.flat());

function write(offset: number, size: number, value: number | bigint): LoggedExit {
  return { kind: 'write', address: DEVICE + offset, size, value: BigInt(value) };
}

/** What an interrupt handler of `onInterrupt` tells. */
const interrupted = (vector: number) => write(8, 4, vector);

/** Memory of one page for a region, with a value in its first word. */
function onePage(value: number): { readonly file: MemFd; readonly region: MemoryRegion } {
  const file = MemFd.create({ name: 'conformance', size: PAGE });
  new Uint32Array(mapShared(file.descriptor.number, 0, PAGE).buffer)[0] = value;
  const descriptor = file.descriptor.number;
  return {
    file,
    region: { guestAddress: ROM, size: PAGE, descriptor, descriptorOffset: 0, readOnly: false },
  };
}

/** What every hypervisor that runs x86_64 guests does. Run each case by the test runner of your choice. */
export const x86Cases: readonly ConformanceCase[] = [
  {
    name: 'out leaves the vCPU with port, size and data',
    run: withMachine(MODE_16, async (machine) => {
      machine.load(
        code(mov16(dx, PORT), operandSize, mov32(ax, 0x8765_4321), outAl, outAx, operandSize, outAx, hlt),
      );
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), { kind: 'out', address: PORT, size: 1, value: 0x21n });
      assert.deepEqual(await vcpu.exit(), { kind: 'out', address: PORT, size: 2, value: 0x4321n });
      assert.deepEqual(await vcpu.exit(), { kind: 'out', address: PORT, size: 4, value: 0x8765_4321n });
    }),
  },
  {
    name: 'in gives what the handler answers',
    run: withMachine(MODE_16, async (machine) => {
      const access = [inAl, inAx, [...operandSize, ...inAx]];
      machine.load(code(mov16(dx, PORT), ...access.flatMap((part) => [part, operandSize, outAx]), hlt));
      const vcpu = machine.start(0, { readValue: READ_VALUE, registers: { ...MODE_16.registers, rax: 0n } });
      for (const [size, value] of [
        [1, 0x10n],
        [2, 0x3210n],
        [4, 0x7654_3210n],
      ] as const) {
        assert.deepEqual(await vcpu.exit(), { kind: 'in', address: PORT, size, value });
        assert.deepEqual(await vcpu.exit(), { kind: 'out', address: PORT, size: 4, value });
      }
    }),
  },
  {
    name: 'a string instruction leaves the vCPU once for each element',
    run: withMachine(MODE_16, async (machine) => {
      const text = new TextEncoder().encode('tsvmm');
      machine.load(text, 0x2000);
      machine.load(code(mov16(dx, PORT), mov16(si, 0x2000), mov16(cx, text.length), repOutsb, outAx, hlt));
      const vcpu = machine.start(0);
      for (const byte of text) {
        assert.deepEqual(await vcpu.exit(), { kind: 'out', address: PORT, size: 1, value: BigInt(byte) });
      }
      assert.equal((await vcpu.exit()).kind, 'out');
    }),
  },
  {
    name: 'stores to no memory leave the vCPU with address, size and data',
    run: withMachine(MODE_64, async (machine) => {
      machine.load(
        code(mov32(bx, DEVICE), mov64(ax, -2), store8(bx), store16(bx), store32(bx), store64(bx), ud2),
      );
      const vcpu = machine.start(0);
      for (const size of [1, 2, 4, 8]) {
        assert.deepEqual(await vcpu.exit(), write(0, size, BigInt.asUintN(size * 8, -2n)));
      }
      assert.equal((await vcpu.stop()).reason, 'shutdown');
    }),
  },
  {
    name: 'loads from no memory give what the handler answers',
    run: withMachine(MODE_64, async (machine) => {
      const loads = [load8(bx), load16(bx), load32(bx), load64(bx)];
      machine.load(code(mov32(bx, DEVICE), ...loads.flatMap((load) => [load, store64(bx)]), ud2));
      const vcpu = machine.start(0, { readValue: READ_VALUE });
      const answers = [
        [1, 0x10n],
        [2, 0x3210n],
        [4, 0x7654_3210n],
        [8, READ_VALUE],
      ] as const;
      for (const [size, value] of answers) {
        assert.deepEqual(await vcpu.exit(), { kind: 'read', address: DEVICE, size, value });
        // A load of 16 bits leaves what was above them, which is 0.
        assert.deepEqual(await vcpu.exit(), write(0, 8, value));
      }
    }),
  },
  {
    name: 'a store that crosses a page arrives whole',
    run: withMachine(MODE_64, async (machine) => {
      machine.load(code(mov32(bx, DEVICE + 0xffd), mov32(ax, 0x0403_0201), store32(bx), ud2));
      const vcpu = machine.start(0);
      const bytes = new Map<number, number>();
      while (bytes.size < 4) {
        const exit = await vcpu.exit();
        assert.ok(exit.kind === 'write');
        for (let byte = 0; byte < exit.size; byte++) {
          bytes.set(exit.address + byte, Number((exit.value >> BigInt(8 * byte)) & 0xffn));
        }
      }
      const expected = [1, 2, 3, 4].map((value, index) => [DEVICE + 0xffd + index, value]);
      assert.deepEqual([...bytes], expected);
    }),
  },
  {
    name: 'registers are set before the first instruction and read after the last',
    run: withMachine(MODE_64, async (machine) => {
      machine.load(code([0x48, 0x89, 0xc8 | 3], ud2)); // mov rbx, rcx
      const registers = { ...MODE_64.registers, rcx: 0xffff_ffff_ffff_fff5n };
      const stop = await machine.start(0, { registers }).stop();
      assert.equal(stop.reason, 'shutdown');
    }),
  },
  {
    name: 'registers are what the guest left in them',
    run: withMachine(MODE_64, async (machine) => {
      machine.load(code([0x48, 0x89, 0xc8 | 3], tellDevice.slice(5), spinHere)); // mov rbx, rcx; then the store
      const registers = { ...MODE_64.registers, rcx: BigInt(DEVICE), r15: 0xffff_ffff_ffff_fff5n };
      const vcpu = machine.start(0, { registers });
      assert.deepEqual(await vcpu.exit(), write(0, 4, 1));
      vcpu.control.requestStop();
      const stop = await vcpu.stop();
      assert.equal(stop.registers.rbx, BigInt(DEVICE));
      assert.equal(stop.registers.r15, 0xffff_ffff_ffff_fff5n);
      assert.equal(stop.registers.cr3, MODE_64.registers.cr3);
      assert.equal(stop.registers.rip, BigInt(CODE + 3 + tellDevice.length - 5));
    }),
  },
  {
    name: 'registers that make no state are refused',
    run: withMachine(MODE_32, async (machine) => {
      machine.load(code(spinHere));
      // Paging without protection.
      const vcpu = machine.start(0, { registers: { ...MODE_32.registers, cr0: 0x8000_0010n } });
      await assert.rejects(vcpu.stop(), /registers/);
    }),
  },
  {
    name: 'a spinning vCPU stops when asked, and goes on',
    run: withMachine(MODE_32, async (machine) => {
      machine.load(code(tellDevice, spinHere));
      const vcpu = machine.start(0, { runs: 2 });
      await vcpu.exit();
      vcpu.control.requestStop();
      const first = await vcpu.stop();
      assert.equal(first.reason, 'stopped');
      assert.equal(first.registers.rip, BigInt(CODE + tellDevice.length));
      vcpu.control.requestStop();
      assert.equal((await vcpu.stop()).reason, 'stopped');
    }),
  },
  {
    name: 'a halted vCPU stops when asked',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      machine.load(code(tellDevice, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      vcpu.control.requestStop();
      assert.equal((await vcpu.stop()).reason, 'stopped');
    }),
  },
  {
    name: 'a vCPU that is asked before it runs stops at once',
    run: withMachine(MODE_32, async (machine) => {
      machine.load(code(spinHere));
      const vcpu = machine.start(0);
      vcpu.control.requestStop();
      const stop = await vcpu.stop();
      assert.equal(stop.reason, 'stopped');
      assert.equal(stop.registers.rip, BigInt(CODE));
    }),
  },
  {
    name: 'a triple fault shuts the machine down',
    run: withMachine(MODE_64, async (machine) => {
      machine.load(code(ud2));
      const stop = await machine.start(0).stop();
      assert.deepEqual([stop.reason, stop.detail], ['shutdown', 'triple fault']);
    }),
  },
  {
    name: 'an MSI wakes the vCPU it is sent to',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x31);
      machine.load(code(enableLocalApic, tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.msi.send(LOCAL_APIC, 0, 0x31);
      assert.deepEqual(await vcpu.exit(), interrupted(0x31));
    }),
  },
  {
    name: 'a wired interrupt arrives as the guest has routed it',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x32);
      machine.load(code(enableLocalApic, routePin(5, 0x32), tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      const line = machine.vm.interrupts.line(5);
      line.set(true);
      assert.deepEqual(await vcpu.exit(), interrupted(0x32));
      line.set(false);
      line.set(true);
      assert.deepEqual(await vcpu.exit(), interrupted(0x32));
    }),
  },
  {
    name: 'a level-triggered line that stays up interrupts again',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x33);
      machine.load(code(enableLocalApic, routePin(6, 0x33, true), tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      const line = machine.vm.interrupts.line(6);
      line.set(true);
      assert.deepEqual(await vcpu.exit(), interrupted(0x33));
      assert.deepEqual(await vcpu.exit(), interrupted(0x33));
      line.set(false);
    }),
  },
  {
    name: "the 8259s interrupt the first vCPU with their own vectors, and again after the interrupt's end",
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x24, outByte(0x20, 0x20));
      onInterrupt(machine, 0x2a, [...outByte(0xa0, 0x20), ...outByte(0x20, 0x20)]);
      machine.load(code(enableLocalApic, enablePics, tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      for (const [source, vector] of [
        [4, 0x24],
        [10, 0x2a],
        [4, 0x24],
        [10, 0x2a],
      ] as const) {
        const line = machine.vm.interrupts.line(source);
        line.set(true);
        assert.deepEqual(await vcpu.exit(), interrupted(vector));
        line.set(false);
      }
    }),
  },
  {
    name: 'what the 8259s have for a guest that takes no interrupts waits until it does',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x24);
      const go = 0x2000;
      const waitForGo = [...mov32(bx, go), ...load32(bx), ...testEax, ...jumpIfZero(-6)];
      machine.load(code(enableLocalApic, enablePics, tellDevice, waitForGo, poke(DEVICE + 4, 2), sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      machine.vm.interrupts.line(4).set(true);
      machine.load(Uint8Array.of(1), go);
      assert.deepEqual(await vcpu.exit(), write(4, 4, 2));
      assert.deepEqual(await vcpu.exit(), interrupted(0x24));
    }),
  },
  {
    name: 'a store to an I/O event signals it and does not leave the vCPU',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      const registration = { space: 'mmio', address: DEVICE, length: 4, match: 1, event } as const;
      machine.vm.registerIoEvent(registration);
      assert.throws(() => machine.vm.registerIoEvent(registration), { code: 'INVALID_ARGUMENT' });
      machine.load(code(tellDevice, store16(bx), poke(DEVICE, 2), idle));
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), write(0, 2, 1));
      assert.deepEqual(await vcpu.exit(), write(0, 4, 2));
      assert.equal(event.tryRead(), 1);
      machine.vm.unregisterIoEvent(registration);
      assert.throws(() => machine.vm.unregisterIoEvent(registration), { code: 'INVALID_ARGUMENT' });
    }),
  },
  {
    name: 'a store of any size and value signals an I/O event without length and value',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      machine.vm.registerIoEvent({ space: 'mmio', address: DEVICE, length: 0, event });
      machine.load(code(tellDevice, store16(bx), store8(bx), poke(DEVICE + 4, 7), idle));
      assert.deepEqual(await machine.start(0).exit(), write(4, 4, 7));
      assert.equal(event.tryRead(), 3);
    }),
  },
  {
    name: 'an out to an I/O event signals it and does not leave the vCPU',
    run: withMachine(MODE_16, async (machine) => {
      using event = EventFd.create();
      machine.vm.registerIoEvent({ space: 'pio', address: PORT, length: 1, match: 0x5a, event });
      machine.load(code(mov16(dx, PORT), movAl(0x5a), outAl, outAl, movAl(1), outAl, hlt));
      const exit = await machine.start(0).exit();
      assert.deepEqual(exit, { kind: 'out', address: PORT, size: 1, value: 1n });
      assert.equal(event.tryRead(), 2);
    }),
  },
  {
    name: 'an interrupt event sends its MSI',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      using other = EventFd.create();
      const target = { kind: 'msi', addressLow: LOCAL_APIC, addressHigh: 0 } as const;
      using _first = machine.vm.registerInterruptEvent(event, { ...target, data: 0x34 });
      using _second = machine.vm.registerInterruptEvent(other, { ...target, data: 0x35 });
      onInterrupt(machine, 0x34);
      onInterrupt(machine, 0x35);
      machine.load(code(enableLocalApic, tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      event.signal();
      assert.deepEqual(await vcpu.exit(), interrupted(0x34));
      other.signal();
      assert.deepEqual(await vcpu.exit(), interrupted(0x35));
    }),
  },
  {
    name: MSI_EVENTS_CASE,
    run: withMachine(MODE_32, async (machine) => {
      onInterrupt(machine, 0x37);
      machine.load(code(enableLocalApic, tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      await checkMsiEvents(machine.vm, { addressLow: LOCAL_APIC, addressHigh: 0, data: 0x37 }, async () => {
        assert.deepEqual(await vcpu.exit(), interrupted(0x37));
      });
    }),
  },
  {
    name: 'an interrupt event pulses its line',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      using _registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source: 7 });
      onInterrupt(machine, 0x36);
      machine.load(code(enableLocalApic, routePin(7, 0x36), tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      for (let pulse = 0; pulse < 3; pulse++) {
        event.signal();
        assert.deepEqual(await vcpu.exit(), interrupted(0x36));
      }
    }),
  },
  {
    name: 'an interrupt event whose line is resampled tells when the guest has ended the interrupt',
    about: 'interrupts',
    requires: 'interrupt-resampling',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      using resample = EventFd.create();
      const ended = Promise.withResolvers<number>();
      using _watcher = resample.onReadable(ended.resolve);
      using _registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source: 9, resample });
      onInterrupt(machine, 0x37);
      machine.load(code(enableLocalApic, routePin(9, 0x37, true), tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      event.signal();
      assert.deepEqual(await vcpu.exit(), interrupted(0x37));
      assert.equal(await ended.promise, 1);
    }),
  },
  {
    name: 'an interrupt event that was undone does nothing',
    about: 'interrupts',
    run: withMachine(MODE_32, async (machine) => {
      using event = EventFd.create();
      const registration = machine.vm.registerInterruptEvent(event, { kind: 'line', source: 7 });
      registration[Symbol.dispose]();
      registration[Symbol.dispose]();
      onInterrupt(machine, 0x38);
      onInterrupt(machine, 0x39);
      machine.load(code(enableLocalApic, routePin(7, 0x38), tellDevice, sti, idle));
      const vcpu = machine.start(0);
      await vcpu.exit();
      event.signal();
      assert.equal(event.tryRead(), 1);
      machine.vm.interrupts.msi.send(LOCAL_APIC, 0, 0x39);
      assert.deepEqual(await vcpu.exit(), interrupted(0x39));
    }),
  },
  {
    name: 'other vCPUs wait until the guest starts them',
    about: 'interrupts',
    run: withMachine(
      MODE_32,
      async (machine) => {
        const start = 0x7000;
        machine.load(code(mov16(dx, PORT), movAl(0x5a), outAl, hlt), start);
        const toSecond = poke(LOCAL_APIC + 0x310, 1 << 24);
        const startUp = poke(LOCAL_APIC + 0x300, 0x4600 | (start >>> 12));
        machine.load(
          code(enableLocalApic, toSecond, poke(LOCAL_APIC + 0x300, 0x4500), toSecond, startUp, idle),
        );
        machine.start(0);
        const second = machine.start(1);
        assert.deepEqual(await second.exit(), { kind: 'out', address: PORT, size: 1, value: 0x5an });
      },
      2,
    ),
  },
  {
    name: 'a vCPU that was never started stops when asked',
    run: withMachine(
      MODE_32,
      async (machine) => {
        machine.load(code(tellDevice, spinHere));
        await machine.start(0).exit();
        const second = machine.start(1);
        second.control.requestStop();
        assert.equal((await second.stop()).reason, 'stopped');
      },
      2,
    ),
  },
  {
    name: 'memory is there until it is removed',
    requires: 'memory-regions',
    run: withMachine(MODE_32, async (machine) => {
      const { file, region } = onePage(0x1234_5678);
      using _file = file;
      const slot = machine.vm.addMemoryRegion(region);
      assert.throws(() => machine.vm.addMemoryRegion(region), { code: 'INVALID_ARGUMENT' });
      const load = [...mov32(bx, ROM), ...load32(bx)];
      onInterrupt(machine, 0x3a, load);
      machine.load(
        code(enableLocalApic, load, mov32(bx, DEVICE), store32(bx), poke(ROM, 5), tellDevice, sti, idle),
      );
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), write(0, 4, 0x1234_5678));
      assert.deepEqual(await vcpu.exit(), write(0, 4, 1));
      machine.vm.removeMemoryRegion(slot);
      assert.throws(() => machine.vm.removeMemoryRegion(slot), { code: 'INVALID_ARGUMENT' });
      machine.vm.interrupts.msi.send(LOCAL_APIC, 0, 0x3a);
      assert.deepEqual(await vcpu.exit(), { kind: 'read', address: ROM, size: 4, value: 0n });
      assert.equal(new Uint32Array(mapShared(file.descriptor.number, 0, PAGE).buffer)[0], 5);
    }),
  },
  {
    name: 'read-only memory is read without an exit, and a store to it is one',
    requires: 'read-only-memory',
    run: withMachine(MODE_32, async (machine) => {
      const { file, region } = onePage(0x1234_5678);
      using _file = file;
      machine.vm.addMemoryRegion({ ...region, readOnly: true });
      machine.load(
        code(mov32(bx, ROM), load32(bx), mov32(bx, DEVICE), store32(bx), poke(ROM, 5), tellDevice, idle),
      );
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), write(0, 4, 0x1234_5678));
      assert.deepEqual(await vcpu.exit(), { kind: 'write', address: ROM, size: 4, value: 5n });
      assert.deepEqual(await vcpu.exit(), write(0, 4, 1));
    }),
  },
  {
    name: 'read-only memory that a thread hides is left to the handler until it is shown again',
    requires: 'read-only-memory',
    run: withMachine(MODE_32, async (machine) => {
      const { file, region } = onePage(0x1234_5678);
      using _file = file;
      const slot = machine.vm.addMemoryRegion({ ...region, readOnly: true });
      const flash = attachRegion(machine.vm.regionDescriptor(slot));
      flash.hide();
      const loadAndTell = [...mov32(bx, ROM), ...load32(bx), ...mov32(bx, DEVICE), ...store32(bx)];
      onInterrupt(machine, 0x3a, loadAndTell);
      machine.load(code(enableLocalApic, loadAndTell, tellDevice, sti, idle));
      const vcpu = machine.start(0);
      assert.deepEqual(await vcpu.exit(), { kind: 'read', address: ROM, size: 4, value: 0n });
      assert.deepEqual(await vcpu.exit(), write(0, 4, 0));
      assert.deepEqual(await vcpu.exit(), write(0, 4, 1));
      flash.show();
      machine.vm.interrupts.msi.send(LOCAL_APIC, 0, 0x3a);
      assert.deepEqual(await vcpu.exit(), write(0, 4, 0x1234_5678));
      assert.throws(() => machine.vm.regionDescriptor(slot + 1), { code: 'INVALID_ARGUMENT' });
    }),
  },
  {
    name: 'the dirty log has the pages that were written since it was taken',
    requires: 'dirty-log',
    run: withMachine(MODE_32, async (machine) => {
      const log = machine.vm.dirtyLog;
      assert.ok(log);
      assert.throws(() => log.take(), { code: 'INVALID_STATE' });
      log.start();
      // No stack: the page it is in would be written too.
      machine.load(code(poke(0x10_0000, 1), poke(0x10_3000, 1), tellDevice, spinHere));
      const vcpu = machine.start(0);
      await vcpu.exit();
      const written = () =>
        log.take().flatMap(({ guestAddress, pages, bitmap }) =>
          Array.from({ length: pages }, (_, page) => page)
            .filter((page) => ((bitmap[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0)
            .map((page) => guestAddress + page * PAGE),
        );
      // KVM also counts what it maps writable while the guest only reads it, such as the page of the code.
      const mapped = new Set(written());
      assert.ok(mapped.has(0x10_0000) && mapped.has(0x10_3000));
      assert.ok(!mapped.has(0x10_1000) && !mapped.has(0x10_2000));
      assert.deepEqual(written(), []);
      log.stop();
      assert.throws(() => log.take(), { code: 'INVALID_STATE' });
    }),
  },
  {
    name: 'what is out of range is refused by name',
    run: async (hypervisor) => {
      const invalid = (error: unknown) =>
        error instanceof HypervisorError && error.code === 'INVALID_ARGUMENT';
      const vcpuCount = hypervisor.maximumVcpus + 1;
      await assert.rejects(hypervisor.createVm({ ...MODE_16.options, vcpuCount }), invalid);
      const ram = [{ guestAddress: 0x123, size: PAGE }];
      await assert.rejects(hypervisor.createVm({ architecture: 'x86_64', ram, vcpuCount: 1 }), invalid);
      await using machine = await createMachine(hypervisor, MODE_16);
      const { vm } = machine;
      assert.throws(() => vm.createVcpu(1), invalid);
      assert.throws(() => vm.interrupts.line(-1), invalid);
      assert.throws(() => vm.interrupts.line(24), invalid);
      using event = EventFd.create();
      assert.throws(() => vm.registerInterruptEvent(event, { kind: 'line', source: 24 }), invalid);
      assert.throws(() => vm.registerIoEvent({ space: 'pio', address: 0x1_0000, length: 1, event }), invalid);
    },
  },
];
