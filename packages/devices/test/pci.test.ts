import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ByteRing,
  createBusAccess,
  DeviceError,
  formatPciAddress,
  PciConfigurationSpaceBuilder,
  PciTopology,
  parsePciAddress,
  VirtioPciDevice,
} from '../src/index.ts';
import { ECAM, Guest, VirtioDriver, WINDOW, WINDOW_LENGTH } from './support/guest.ts';
import { buildMachine } from './support/machine.ts';
import { MSI_ADDRESS } from './support/machine-memory.ts';

const machine = () => {
  const built = buildMachine([VirtioPciDevice.console(ByteRing.create()), VirtioPciDevice.rng()]);
  return { ...built, [Symbol.dispose]: () => built.topology[Symbol.dispose]() };
};

/** One line of `lspci -n` for each function, as a guest that walks bus 0 finds it. */
function lspci(guest: Guest): string[] {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  const lines = [];
  for (let device = 0; device < 32; device++) {
    const id = guest.config(device, 0);
    if (id === 0xffff_ffff) continue;
    const revision = guest.config(device, 8, 1);
    lines.push(
      `${hex(0, 2)}:${hex(device, 2)}.0 ${hex(guest.config(device, 0x0a, 2), 4)}: ` +
        `${hex(id & 0xffff, 4)}:${hex(id >>> 16, 4)}${revision ? ` (rev ${hex(revision, 2)})` : ''}`,
    );
  }
  return lines;
}

test('a walk of the bus finds what lspci -n shows of the same machine under crosvm', () => {
  using built = machine();
  expect(lspci(built.guest)).toEqual([
    '00:00.0 0600: 8086:1237',
    '00:01.0 0780: 1af4:1043 (rev 01)',
    '00:02.0 0880: 1af4:1044 (rev 01)',
  ]);
  expect(built.guest.config(1, 0x2c)).toBe(0x1043_1af4);
  expect(built.guest.config(1, 0x0e, 1)).toBe(0); // Type 0, single function.
  expect(built.guest.config(1, 0x100)).toBe(0); // No extended capabilities.
  expect(built.guest.capabilities(1).map(({ id }) => id)).toEqual([9, 9, 9, 9, 9, 0x11, 0x01]);
});

test('virtio structures are where crosvm has them', () => {
  using built = machine();
  const driver = new VirtioDriver(built.guest, 1);
  const bar = WINDOW;
  expect(driver).toMatchObject({
    common: bar,
    isr: bar + 0x1000,
    deviceConfig: bar + 0x2000,
    notify: bar + 0x3000,
    notifyMultiplier: 4,
    msixTable: bar + 0x6000,
    pba: bar + 0x7000,
  });
  expect(built.guest.config(1, driver.msix + 2, 2) & 0x7ff).toBe(2); // Three vectors.
});

test('ports 0xCF8 and 0xCFC show the same registers as memory does', () => {
  using built = machine();
  const { guest } = built;
  const port = (device: number, register: number) => {
    guest.write(0xcf8, 4, 0x8000_0000 | (device << 11) | register);
    expect(guest.read(0xcf8, 4)).toBe((0x8000_0000 | (device << 11) | register) >>> 0);
    return guest.read(0xcfc, 4);
  };
  for (let register = 0; register < 256; register += 4)
    expect(port(1, register)).toBe(guest.config(1, register));
  expect(port(7, 0)).toBe(0xffff_ffff);
  guest.write(0xcf8, 4, 0x8000_0800);
  expect(guest.read(0xcfe, 2)).toBe(0x1043);
  guest.write(0xcf8, 4, 0);
  expect(guest.read(0xcfc, 4)).toBe(0xffff_ffff);
  guest.write(0xcf9, 1, 0x02);
  expect(guest.resets).toBe(0);
  guest.write(0xcf9, 1, 0x06);
  expect(guest.resets).toBe(1);
});

test('a BAR tells its size, moves for all CPUs, and answers only while memory space is enabled', () => {
  using built = machine();
  const { guest, bus, memory, shared } = built;
  const other = new Guest(bus, memory, shared);
  guest.setConfig(1, 0x10, 0xffff_ffff);
  expect(guest.decodingChanges).toBe(1);
  guest.setConfig(1, 0x10, 0xffff_ffff);
  expect(guest.decodingChanges).toBe(1);
  expect(guest.config(1, 0x10)).toBe(0xffff_8000);
  expect(guest.config(1, 0x14)).toBe(0);
  const moved = WINDOW + 0x20_0000;
  guest.setConfig(1, 0x10, moved);
  expect(other.read(moved + 0x12, 2)).toBe(0xffff);
  guest.setConfig(1, 4, 2, 2);
  expect(other.read(moved + 0x12, 2)).toBe(2); // num_queues
  guest.setConfig(1, 0x10, WINDOW);
  expect(other.read(moved + 0x12, 2)).toBe(0xffff);
  expect(other.read(WINDOW + 0x12, 2)).toBe(2);
  expect(built.topology.doorbells().map(({ address }) => address)).toEqual([
    WINDOW + 0x3000,
    WINDOW + 0x3004,
  ]);
});

test('a 64-bit BAR takes two registers and is sized in both', () => {
  for (const [size, low, high] of [
    [2 ** 33, 0x0000_000c, 0xffff_fffe],
    [2 ** 32, 0x0000_000c, 0xffff_ffff],
    [2 ** 20, 0xfff0_000c, 0xffff_ffff],
  ] as const) {
    const identity = { vendorId: 1, deviceId: 2, baseClass: 3, subclass: 0 };
    const builder = new PciConfigurationSpaceBuilder(identity);
    builder.addBar({ index: 2, size, is64Bit: true, prefetchable: true });
    expect(() => builder.addBar({ index: 3, size: 4096 })).toThrow(DeviceError);
    const space = builder.build();
    space.writeWord(0x18, 0xffff_ffff, -1);
    space.writeWord(0x1c, 0xffff_ffff, -1);
    expect([space.readWord(0x18), space.readWord(0x1c)]).toEqual([low, high]);
    expect([space.barSize(2), space.barSize(3), space.isBar64Bit(2)]).toEqual([size, 0, true]);
    space.setBarAddress(2, 5 * 2 ** 33);
    expect(space.barAddress(2)).toBe(5 * 2 ** 33);
  }
});

test('only what the specification lets a guest change can be changed', () => {
  using built = machine();
  const { guest } = built;
  const before = Array.from({ length: 64 }, (_, i) => guest.config(1, 4 * i));
  const pm = guest.capabilities(1).find(({ id }) => id === 1)?.offset ?? 0;
  const pciCfg = new VirtioDriver(guest, 1).pciCfg;
  for (let register = 0; register < 256; register += 4) guest.setConfig(1, register, 0xffff_ffff);
  const changed = before.flatMap((value, i) => ((guest.config(1, 4 * i) ^ value) >>> 0 ? [4 * i] : []));
  const msix = guest.capabilities(1).find(({ id }) => id === 0x11)?.offset ?? 0;
  expect(changed).toEqual([
    0x04,
    0x0c,
    0x10,
    0x3c,
    pciCfg + 4,
    pciCfg + 8,
    pciCfg + 12,
    pciCfg + 16,
    msix,
    pm + 4,
  ]);
  expect(guest.config(1, 4, 2)).toBe(0x0406);
});

test('the power state takes D0 and D3hot, and no other', () => {
  using built = machine();
  const { guest } = built;
  const pm = (guest.capabilities(1).find(({ id }) => id === 1)?.offset ?? 0) + 4;
  for (const [written, read] of [
    [3, 3],
    [1, 3],
    [2, 3],
    [0, 0],
    [2, 0],
  ] as const) {
    guest.setConfig(1, pm, written, 2);
    expect(guest.config(1, pm, 2) & 3).toBe(read);
  }
});

test('MSI-X table entries start masked and hold what is written', () => {
  using built = machine();
  const driver = new VirtioDriver(built.guest, 2);
  const { guest } = built;
  expect(guest.read(driver.msixTable + 12, 4)).toBe(1);
  guest.write(driver.msixTable, 4, MSI_ADDRESS | 3);
  guest.write(driver.msixTable + 12, 4, 0xffff_fffe);
  expect([0, 4, 8, 12].map((at) => guest.read(driver.msixTable + at, 4))).toEqual([MSI_ADDRESS, 0, 0, 0]);
  guest.write(driver.pba, 4, 0xffff_ffff);
  expect(guest.read(driver.pba, 4)).toBe(0);
});

test('addresses are given in order of creation, and a taken one is refused', () => {
  using topology = new PciTopology({ intxSources: [10, 11] });
  const stub = { vendorId: 0x1234, deviceId: 1, baseClass: 0xff, subclass: 0 };
  expect(formatPciAddress(topology.addStub(stub, parsePciAddress('00:02.0')))).toBe('00:02.0');
  const added = [1, 2, 3].map(() => formatPciAddress(topology.add(VirtioPciDevice.rng())));
  expect(added).toEqual(['00:01.0', '00:03.0', '00:04.0']);
  expect(topology.interruptRoutes.map(({ pin, source }) => [pin, source])).toEqual([
    [1, 10],
    [1, 10],
    [1, 11],
  ]);
  expect(() => topology.addStub(stub, parsePciAddress('0000:00:04.0'))).toThrow(DeviceError);
  expect(() => topology.addStub(stub, { bus: 1, device: 0, function: 0 })).toThrow(DeviceError);
  expect(() => parsePciAddress('00:20.0')).toThrow(expect.objectContaining({ code: 'BAD_PCI_FUNCTION' }));
  for (let device = 5; device < 32; device++) topology.addStub(stub);
  expect(() => topology.addStub(stub)).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }));
  expect(() => topology.assignBars({ start: WINDOW, size: 0x17fff })).toThrow(
    expect.objectContaining({ code: 'OUT_OF_SPACE' }),
  );
});

test('nothing a guest does to configuration space or BARs throws or blocks', () => {
  const access = createBusAccess();
  const step = fc.record({
    where: fc.oneof(
      fc.nat(3 * 32768 - 1).map((offset) => ECAM + offset),
      fc.nat(0xff).map((offset) => ECAM + 0x8000 + offset),
      fc.nat(0xffff).map((offset) => WINDOW + offset),
      fc.nat(7).map((offset) => 0xcf8 + offset),
    ),
    size: fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>,
    value: fc.option(fc.nat(0xffff_ffff)),
  });
  using built = machine();
  const { guest } = built;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      for (const { where, size, value } of steps) {
        // No back end runs here, so DRIVER_OK would leave the device waiting for one.
        if (where >= WINDOW && where < WINDOW + WINDOW_LENGTH && value !== null && (value & 4) !== 0)
          continue;
        access.size = size;
        access.low = access.high = value ?? 0;
        if (value === null) guest.bus.read(where, access);
        else guest.bus.write(where, access);
        expect(access.low).toBe(access.low >>> 0);
      }
    }),
  );
});
