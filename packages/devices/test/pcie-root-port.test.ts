import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  attachPcieSlot,
  describeBus,
  PcieRootPortDevice,
  PciTopology,
  PvpanicDevice,
  VirtioPciDevice,
} from '../src/index.ts';
import { ECAM, Guest, WINDOW, WINDOW_LENGTH } from './support/guest.ts';
import { attachInterrupts, createSharedMachine, MSI_ADDRESS } from './support/machine-memory.ts';

/** Where the port is: the first device on bus 0; INTA of that leads here. */
const PORT = 1;
const INTA = 1;
const CARD_ECAM = ECAM + (1 << 20);
const MESSAGE = 5;

/** PCI Express Base 5.0, table 7-4 and sections 7.5.3.9 to 7.5.3.11: offsets in the capability, and bits. */
const SLOT_CAPABILITIES = 0x14;
const SLOT_CONTROL = 0x18;
const SLOT_STATUS = 0x1a;
const CONTROL = { attentionButton: 1 << 0, presence: 1 << 3, command: 1 << 4, interrupt: 1 << 5 } as const;
const ALL_EVENTS = CONTROL.attentionButton | CONTROL.presence | CONTROL.command | CONTROL.interrupt;
const POWER_INDICATOR = { on: 1 << 8, blinking: 2 << 8, off: 3 << 8 } as const;
const STATUS = {
  attentionButton: 1 << 0,
  presenceChanged: 1 << 3,
  command: 1 << 4,
  present: 1 << 6,
} as const;

/** A machine with a root port at 00:01.0, what is put behind it, and a guest's kernel that knows where everything is. */
function buildMachine(behind: readonly (VirtioPciDevice | PvpanicDevice)[] = []) {
  const { memory, shared } = createSharedMachine();
  const topology = new PciTopology({ intxSources: [1, 2, 3, 4] });
  const bus = topology.addBridge(new PcieRootPortDevice(7));
  for (const [index, device] of behind.entries()) topology.add(device, { bus, device: 0, function: index });
  topology.assignBars({ start: WINDOW, size: WINDOW_LENGTH });
  const root = topology.descriptor();
  const ecam = { kind: 'pci-config', mechanism: 'ecam', root } as const;
  const descriptor = describeBus([
    { start: ECAM, length: 256 << 20, device: ecam },
    { start: WINDOW, length: WINDOW_LENGTH, device: { kind: 'pci-window', root } },
    { start: 0xcf8, length: 8, device: { kind: 'pci-config', mechanism: 'port-io', root } },
  ]);
  const guest = new Guest(descriptor, memory, shared);
  const [port] = root.functions.filter((fn) => fn.kind === 'pcie-root-port');
  if (!port) throw new Error('the port is not there');
  const slot = attachPcieSlot(port, { interrupts: attachInterrupts(shared) });
  const capability = guest.capabilities(PORT).find(({ id }) => id === 0x10)?.offset ?? 0;
  return {
    guest,
    slot,
    topology,
    capability,
    control: (value: number) => guest.setConfig(PORT, capability + SLOT_CONTROL, value, 2),
    status: () => guest.config(PORT, capability + SLOT_STATUS, 2),
    clear: (value: number) => guest.setConfig(PORT, capability + SLOT_STATUS, value, 2),
    [Symbol.dispose]: () => {
      topology[Symbol.dispose]();
      memory[Symbol.dispose]();
    },
  };
}

test('shows the header and capabilities of a root port with a slot', () => {
  using built = buildMachine();
  const { guest, capability } = built;
  expect(guest.config(PORT, 0)).toBe(0x3420_8086);
  expect(guest.config(PORT, 0x0a, 2)).toBe(0x0604);
  expect(guest.config(PORT, 0x0e, 1)).toBe(1); // Type 1, single function.
  expect(guest.config(PORT, 0x18)).toBe(0x0001_0100); // Primary 0, secondary and subordinate 1.
  expect(guest.config(PORT, 0x1c, 2)).toBe(0); // No window for I/O,
  guest.setConfig(PORT, 0x1c, 0xf0f0, 2);
  expect(guest.config(PORT, 0x1c, 2)).toBe(0); // which is what a kernel finds out so.
  expect(guest.capabilities(PORT).map(({ id }) => id)).toEqual([0x05, 0x10, 0x01]);
  expect(guest.config(PORT, capability + 2, 2)).toBe(0x0142); // Version 2, root port, slot implemented.
  expect(guest.config(PORT, capability + 0x0c)).toBe(0x11); // One lane, 2.5 GT/s,
  expect(guest.config(PORT, capability + 0x12, 2)).toBe(0x11); // and that is how it runs.
  // Attention button, both indicators, surprise removal, hot-plug; slot 7.
  expect(guest.config(PORT, capability + SLOT_CAPABILITIES)).toBe(0x79 | (7 << 19));
  expect(guest.config(PORT, capability + SLOT_CONTROL, 2)).toBe(0x03c0);
  expect(built.status()).toBe(0);
});

test('lets a driver change what the specification says, and nothing else', () => {
  using built = buildMachine();
  const { guest, capability } = built;
  const before = Array.from({ length: 64 }, (_, i) => guest.config(PORT, 4 * i));
  const [msi, , pm] = guest.capabilities(PORT).map(({ offset }) => offset);
  if (msi === undefined || pm === undefined) throw new Error('three capabilities were found before');
  for (let register = 0; register < 256; register += 4) {
    // MSI is not enabled, since it would lead nowhere.
    guest.setConfig(PORT, register, register === msi ? 0xfffe_ffff : 0xffff_ffff);
  }
  const changed = new Map(
    before.flatMap((value, i) => {
      const difference = (guest.config(PORT, 4 * i) ^ value) >>> 0;
      return difference ? [[4 * i, guest.config(PORT, 4 * i)]] : [];
    }),
  );
  expect(changed).toEqual(
    new Map([
      [0x04, 0x0018_0406], // The interrupt that the last command is, forbidden.
      [0x0c, 0x0001_00ff],
      [0x18, 0x00ff_ffff],
      [0x20, 0xfff0_fff0],
      [0x24, 0xfff1_fff1],
      [0x28, 0xffff_ffff],
      [0x2c, 0xffff_ffff],
      [0x3c, 0x0043_01ff],
      [msi + 4, 0xffff_fffc],
      [msi + 8, 0xffff_ffff],
      [msi + 12, 0x0000_ffff],
      [capability + 0x08, 0x0000_7fff],
      [capability + 0x10, 0x0011_00d3],
      [capability + SLOT_CONTROL, 0x0010_13ff], // Command Completed.
      [capability + 0x1c, 0x0000_000f],
      [pm + 4, 0x0000_010b],
    ]),
  );
});

test('routes configuration accesses by the bus numbers that the guest gave', () => {
  using built = buildMachine([new PvpanicDevice()]);
  const { guest } = built;
  const port = (bus: number, device: number) => {
    guest.write(0xcf8, 4, 0x8000_0000 | (bus << 16) | (device << 11));
    return guest.read(0xcfc, 4);
  };
  expect([port(1, 0), port(1, 1), port(2, 0)]).toEqual([0x0011_1b36, 0xffff_ffff, 0xffff_ffff]);
  expect(guest.read(CARD_ECAM, 4)).toBe(0x0011_1b36);
  guest.setConfig(PORT, 0x18, 0x0042_4200);
  expect([port(1, 0), port(0x42, 0)]).toEqual([0xffff_ffff, 0x0011_1b36]);
  guest.setConfig(PORT, 0x18, 0);
  expect([port(0, 1), port(0, 0), port(0x42, 0)]).toEqual([0x3420_8086, 0x1237_8086, 0xffff_ffff]);
});

test('forwards only addresses in its windows, and only while it may', () => {
  using built = buildMachine([new PvpanicDevice()]);
  const { guest } = built;
  const bar = guest.read(CARD_ECAM + 0x10, 4);
  const window = guest.config(PORT, 0x20);
  expect(bar).toBe((window & 0xfff0) << 16);
  expect(((window & 0xfff0_0000) >>> 0) - bar).toBe(8 << 20); // The last MiB of those for the card and 8 for others.
  const events = () => guest.read(bar, 1);
  expect(events()).toBe(0xff);
  guest.write(CARD_ECAM + 4, 2, 2);
  expect(events()).toBe(0xff);
  guest.setConfig(PORT, 4, 2, 2);
  expect(events()).toBe(3);
  guest.setConfig(PORT, 0x20, 0x0000_fff0);
  expect(events()).toBe(0xff);
  guest.setConfig(PORT, 0x24, window);
  expect(events()).toBe(3);
  guest.setConfig(PORT, 0x28, 1);
  guest.setConfig(PORT, 0x2c, 1);
  expect(events()).toBe(0xff);
});

test('a driver takes a card into use that is put in, and notices that it is gone', () => {
  using built = buildMachine([new PvpanicDevice()]);
  const { guest, slot, control, status, clear } = built;
  slot.removeCard();
  clear(0xffff);
  expect(guest.read(CARD_ECAM, 4)).toBe(0xffff_ffff);
  // What a driver does first: MSI, then all events, which is a command like any write of Slot Control.
  const [msi] = guest.capabilities(PORT);
  if (!msi) throw new Error('there is an MSI capability');
  guest.setConfig(PORT, msi.offset + 4, MSI_ADDRESS);
  guest.setConfig(PORT, msi.offset + 12, MESSAGE, 2);
  guest.setConfig(PORT, msi.offset + 2, 1, 2);
  const messages = () => guest.interrupts.message(MESSAGE);
  control(ALL_EVENTS | POWER_INDICATOR.off);
  expect([status(), messages()]).toEqual([STATUS.command, 1]);
  clear(STATUS.command);
  expect(status()).toBe(0);

  slot.insertCard();
  expect([status(), messages()]).toEqual([STATUS.presenceChanged | STATUS.present, 2]);
  expect(guest.interrupts.requesterId).toBe(PORT << 3);
  // No other message until the driver has seen to this one.
  slot.pressAttentionButton();
  expect(messages()).toBe(2);
  clear(STATUS.presenceChanged | STATUS.attentionButton);
  expect(status()).toBe(STATUS.present);
  control(ALL_EVENTS | POWER_INDICATOR.blinking);
  clear(STATUS.command);
  expect(guest.read(CARD_ECAM, 4)).toBe(0x0011_1b36);
  control(ALL_EVENTS | POWER_INDICATOR.on);
  expect([status(), messages()]).toEqual([STATUS.present | STATUS.command, 4]);
  clear(STATUS.command);

  slot.pressAttentionButton();
  expect([status(), messages()]).toEqual([STATUS.present | STATUS.attentionButton, 5]);
  clear(STATUS.attentionButton);
  slot.removeCard();
  slot.removeCard();
  expect([status(), messages()]).toEqual([STATUS.presenceChanged, 6]);
  expect(guest.read(CARD_ECAM, 4)).toBe(0xffff_ffff);
});

test('without MSI its interrupt is INTx, as long as an event that counts is not cleared', () => {
  using built = buildMachine();
  const { guest, slot, control, clear } = built;
  const line = () => guest.interrupts.line(INTA);
  slot.pressAttentionButton();
  expect(line()).toBe(false);
  control(CONTROL.attentionButton | CONTROL.interrupt);
  expect([line(), guest.config(PORT, 6, 2) & 8]).toEqual([true, 8]);
  guest.setConfig(PORT, 4, 1 << 10, 2);
  expect([line(), guest.config(PORT, 6, 2) & 8]).toEqual([false, 8]);
  guest.setConfig(PORT, 4, 0, 2);
  expect(line()).toBe(true);
  clear(STATUS.command);
  expect(line()).toBe(true);
  clear(STATUS.attentionButton);
  expect([line(), guest.config(PORT, 6, 2) & 8]).toEqual([false, 0]);
});

test('what is behind it interrupts by the pins of the port, shifted by device number', () => {
  using topology = new PciTopology({ intxSources: [10, 11, 12, 13] });
  const bus = topology.addBridge(new PcieRootPortDevice(), { bus: 0, device: 3, function: 0 });
  expect(bus).toBe(1);
  topology.add(VirtioPciDevice.rng(), { bus, device: 0, function: 0 });
  topology.add(VirtioPciDevice.rng(), { bus, device: 0, function: 1 });
  const routes = topology.interruptRoutes.map(({ address, pin, source }) => [address.device, pin, source]);
  expect(routes).toEqual([
    [3, 1, 12],
    [3, 2, 13],
    [3, 3, 10],
    [3, 4, 11],
  ]);
  expect(topology.virtioDevices.map(({ intx }) => intx?.source)).toEqual([12, 13]);
  expect(topology.lastBus).toBe(1);
  expect(() => topology.add(VirtioPciDevice.rng(), { bus, device: 1, function: 0 })).toThrow('free address');
  expect(() => topology.add(VirtioPciDevice.rng(), { bus: 2, device: 0, function: 0 })).toThrow(
    'free address',
  );
});

test('ports behind ports have their buses within those of the ports above', () => {
  using topology = new PciTopology();
  const [first, second] = [new PcieRootPortDevice(), new PcieRootPortDevice()];
  const bus = topology.addBridge(first);
  expect(topology.addBridge(second, { bus, device: 0, function: 0 })).toBe(2);
  expect([first.header.secondaryBus, first.header.subordinateBus]).toEqual([1, 2]);
  expect([second.header.secondaryBus, second.header.subordinateBus]).toEqual([2, 2]);
  topology.add(new PvpanicDevice(), { bus: 2, device: 0, function: 0 });
  topology.assignBars({ start: WINDOW, size: WINDOW_LENGTH });
  expect(topology.descriptor().functions[1]).toMatchObject({
    kind: 'pcie-root-port',
    functions: [{ kind: 'pcie-root-port', functions: [{ kind: 'pvpanic' }] }],
  });
});

test('nothing that a guest writes to the port throws, and events stay events', () => {
  using built = buildMachine([new PvpanicDevice()]);
  const { guest, status, clear } = built;
  const step = fc.record({
    offset: fc.nat(0xff),
    size: fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>,
    value: fc.nat(0xffff_ffff),
    target: fc.constantFrom(ECAM + (PORT << 15), CARD_ECAM),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      // Where messages go to is the guest's affair; here there is only one place.
      const msi = guest.capabilities(PORT)[0]?.offset ?? 0;
      for (const { offset, size, value, target } of steps) {
        if (offset + size > msi && offset < msi + 14) continue;
        guest.write(target + offset, size, value);
        guest.read(WINDOW + (value & 0xff_ffff), size);
      }
      clear(0xffff);
      expect(status()).toBe(STATUS.present);
    }),
  );
});
