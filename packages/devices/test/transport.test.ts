import { UnixSocket } from '@tsvmm/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, type MsiEvents, VirtioPciDevice } from '../src/index.ts';
import { EVENT_IDX, Guest, INDIRECT_DESC, VERSION_1, VirtioDriver } from './support/guest.ts';
import { buildMachine, startMachine } from './support/machine.ts';
import { attachInterrupts, MSI_ADDRESS } from './support/machine-memory.ts';

const rng = () => startMachine([VirtioPciDevice.rng()]);

/** Asks the entropy device for `length` bytes and resolves with how many came. */
async function ask(driver: VirtioDriver, length: number, message = 5): Promise<number> {
  const { guest } = driver;
  const queue = driver.queues[0];
  if (!queue) throw new Error('no queue');
  const seen = guest.interrupts.message(message);
  queue.add([{ address: guest.allocate(length), length, write: true }]);
  driver.kick(0);
  await guest.interrupts.nextMessage(message, seen);
  return queue.take()?.length ?? 0;
}

function start(driver: VirtioDriver, message?: number): void {
  if (message !== undefined) driver.enableMsix();
  expect(driver.negotiate([VERSION_1, EVENT_IDX])).toBe(true);
  driver.setUpQueue(0, 16, message);
  driver.status = 15;
}

test('features can only be what is offered, with VERSION_1, and are fixed by FEATURES_OK', async () => {
  await using machine = await rng();
  const driver = new VirtioDriver(machine.guest, 1);
  expect(driver.features()).toBe((1n << 28n) | (1n << 29n) | (1n << 32n) | (1n << 40n));
  expect(driver.negotiate([EVENT_IDX])).toBe(false);
  expect(driver.status).toBe(3);
  expect(driver.negotiate([VERSION_1, 5])).toBe(false);
  expect(driver.negotiate([VERSION_1, INDIRECT_DESC])).toBe(true);
  machine.guest.write(driver.common + 8, 4, 0);
  machine.guest.write(driver.common + 12, 4, 0);
  expect(machine.guest.read(driver.common + 12, 4)).toBe(2 ** 28);
});

test('DRIVER_OK without FEATURES_OK starts nothing', async () => {
  await using machine = await rng();
  const driver = new VirtioDriver(machine.guest, 1);
  driver.status = 1 | 2 | 4;
  expect(driver.status).toBe(3);
});

test('queue registers are per queue, and a queue that does not exist has size 0', async () => {
  await using machine = await startMachine([VirtioPciDevice.console(ByteRing.create())]);
  const { guest } = machine;
  const { common } = new VirtioDriver(guest, 1);
  const select = (queue: number) => guest.write(common + 0x16, 2, queue);
  expect(guest.read(common + 0x12, 2)).toBe(2);
  select(1);
  expect(guest.read(common + 0x18, 2)).toBe(256);
  expect(guest.read(common + 0x1a, 2)).toBe(0xffff);
  guest.write(common + 0x18, 2, 64);
  guest.write(common + 0x1a, 2, 2);
  guest.write(common + 0x20, 4, 0x1234_5000);
  guest.write(common + 0x24, 4, 7);
  guest.write(common + 0x1a, 2, 3); // There are three vectors.
  expect(guest.read(common + 0x1a, 2)).toBe(0xffff);
  select(0);
  expect([guest.read(common + 0x18, 2), guest.read(common + 0x20, 4)]).toEqual([256, 0]);
  select(1);
  expect([guest.read(common + 0x18, 2), guest.read(common + 0x20, 4)]).toEqual([64, 0x1234_5000]);
  expect([guest.read(common + 0x24, 4), guest.read(common + 0x1e, 2)]).toEqual([7, 1]);
  guest.write(common + 0x1c, 2, 1);
  guest.write(common + 0x20, 4, 0); // Too late: the queue is enabled.
  expect(guest.read(common + 0x20, 4)).toBe(0x1234_5000);
  select(2);
  expect([guest.read(common + 0x18, 2), guest.read(common + 0x1c, 2)]).toEqual([0, 0]);
});

test('random numbers come by MSI-X, and come again after a reset', async () => {
  await using machine = await rng();
  const driver = new VirtioDriver(machine.guest, 1);
  start(driver, 5);
  expect(await ask(driver, 1000)).toBe(1000);
  expect(await ask(driver, 1000)).toBe(1000);
  await driver.reset();
  expect(machine.guest.read(driver.common + 0x18, 2)).toBe(256);
  start(driver, 5);
  expect(await ask(driver, 16)).toBe(16);
});

test('a driver that does not wait for its reset works all the same', async () => {
  await using machine = await rng();
  const driver = new VirtioDriver(machine.guest, 1);
  for (let round = 0; round < 20; round++) {
    driver.status = 0;
    start(driver, 5);
    if (round % 3 === 0) expect(await ask(driver, 8)).toBe(8);
  }
  expect(machine.broken).toEqual([]);
});

test('a masked vector stays pending until it is unmasked', async () => {
  await using machine = await rng();
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  start(driver, 5);
  const queue = driver.queues[0];
  driver.setVector(1, 5, true);
  queue?.add([{ address: guest.allocate(8), length: 8, write: true }]);
  driver.kick(0);
  while (guest.read(driver.pba, 4) === 0) await new Promise(setImmediate);
  expect(guest.read(driver.pba, 4)).toBe(2);
  expect(guest.interrupts.message(5)).toBe(0);
  driver.setVector(1, 6);
  expect(guest.interrupts.message(6)).toBe(1);
  expect(guest.read(driver.pba, 4)).toBe(0);

  // The same by the function's mask bit.
  guest.setConfig(1, driver.msix + 2, 0xc000, 2);
  queue?.take();
  queue?.add([{ address: guest.allocate(8), length: 8, write: true }]);
  driver.kick(0);
  while (guest.read(driver.pba, 4) === 0) await new Promise(setImmediate);
  guest.setConfig(1, driver.msix + 2, 0x8000, 2);
  expect(guest.interrupts.message(6)).toBe(2);
});

test('an eventfd of a back end in another process sends what its queue has for a message, while that may be sent', () => {
  const device = VirtioPciDevice.rng();
  const [ours, theirs] = UnixSocket.pair();
  using _theirs = theirs;
  device.moveBackend(ours.descriptor);
  const { memory, shared, topology, bus } = buildMachine([device]);
  using _memory = memory;
  using _topology = topology;
  const connected = new Map<number, readonly number[]>();
  const msiEvents: MsiEvents = {
    connect: (event, ...message) => connected.set(event, message).has(event),
    disconnect: (event) => void connected.delete(event),
  };
  const guest = new Guest(bus, memory, shared, { ...attachInterrupts(shared), msiEvents });
  const driver = new VirtioDriver(guest, 1);
  driver.negotiate([VERSION_1]);
  const sent = () => [...connected.values()];
  const control = (value: number) => guest.setConfig(driver.device, driver.msix + 2, value, 2);
  driver.setUpQueue(0, 8, 5);
  expect(sent()).toEqual([]);
  driver.enableMsix();
  const requesterId = 1 << 3;
  expect(sent()).toEqual([[MSI_ADDRESS, 0, 5, requesterId]]);
  expect([...connected.keys()]).toEqual(topology.virtioDevices[0]?.calls);
  // The vector, then the function is masked.
  driver.setVector(1, 6, true);
  expect(sent()).toEqual([]);
  driver.setVector(1, 6);
  expect(sent()).toEqual([[MSI_ADDRESS, 0, 6, requesterId]]);
  control(0xc000);
  expect(sent()).toEqual([]);
  control(0x8000);
  expect(sent()).toEqual([[MSI_ADDRESS, 0, 6, requesterId]]);
  // Another vector, none, and INTx.
  driver.setVector(0, 7);
  guest.write(driver.common + 0x1a, 2, 0);
  expect(sent()).toEqual([[MSI_ADDRESS, 0, 7, requesterId]]);
  guest.write(driver.common + 0x1a, 2, 0xffff);
  expect(sent()).toEqual([]);
  guest.write(driver.common + 0x1a, 2, 0);
  control(0);
  expect(sent()).toEqual([]);
});

test('a message says which function it comes from, from whatever thread', async () => {
  await using machine = await rng();
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  start(driver, 5);
  const deviceOne = 1 << 3;
  const add = () => driver.queues[0]?.add([{ address: guest.allocate(8), length: 8, write: true }]);
  add();
  driver.kick(0);
  await guest.interrupts.nextMessage(5, 0);
  expect(guest.interrupts.requesterId).toBe(deviceOne);

  const { interrupts } = guest;
  driver.setVector(1, 5, true);
  driver.queues[0]?.take();
  add();
  driver.kick(0);
  while (guest.read(driver.pba, 4) === 0) await new Promise(setImmediate);
  // Unmasking sends it from this thread.
  driver.setVector(1, 6);
  expect([interrupts.message(6), interrupts.requesterId]).toEqual([1, deviceOne]);
});

test('without MSI-X the INTx line follows the ISR register', async () => {
  await using machine = await rng();
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  start(driver);
  driver.queues[0]?.add([{ address: guest.allocate(8), length: 8, write: true }]);
  driver.kick(0);
  await guest.interrupts.lineIs(1, true);
  expect(guest.config(1, 6, 2) & 8).toBe(8);
  guest.setConfig(1, 4, 0x406, 2); // Interrupt disable.
  expect(guest.interrupts.line(1)).toBe(false);
  guest.setConfig(1, 4, 0x006, 2);
  expect(guest.interrupts.line(1)).toBe(true);
  expect(guest.read(driver.isr, 1)).toBe(1);
  expect(guest.read(driver.isr, 1)).toBe(0);
  expect(guest.interrupts.line(1)).toBe(false);
  expect(guest.config(1, 6, 2) & 8).toBe(0);
});

test('two functions share an INTx line that falls with the last of them', async () => {
  await using machine = await startMachine([VirtioPciDevice.rng(), VirtioPciDevice.rng()], [4]);
  const { guest } = machine;
  const drivers = [1, 2].map((device) => new VirtioDriver(guest, device));
  for (const driver of drivers) {
    start(driver);
    driver.queues[0]?.add([{ address: guest.allocate(8), length: 8, write: true }]);
    driver.kick(0);
  }
  // The drivers look for interrupts before they take: one that polls the used ring says that it needs none.
  for (const device of [1, 2]) while ((guest.config(device, 6, 2) & 8) === 0) await new Promise(setImmediate);
  const [first, second] = drivers.map((driver) => () => guest.read(driver.isr, 1));
  expect(first?.()).toBe(1);
  await guest.interrupts.lineIs(4, true);
  expect(second?.()).toBe(1);
  expect(guest.interrupts.line(4)).toBe(false);
});

test('firmware reaches the registers through VIRTIO_PCI_CAP_PCI_CFG', async () => {
  await using machine = await rng();
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  const { pciCfg } = driver;
  const at = (offset: number, length: number) => {
    guest.setConfig(1, pciCfg + 4, 0, 1);
    guest.setConfig(1, pciCfg + 8, offset);
    guest.setConfig(1, pciCfg + 12, length);
  };
  at(0x12, 2);
  expect(guest.config(1, pciCfg + 16, 2)).toBe(1);
  at(0x14, 1);
  guest.setConfig(1, pciCfg + 16, 3, 1);
  expect(driver.status).toBe(3);
  at(0x8000, 4);
  guest.setConfig(1, pciCfg + 16, 0xffff_ffff);
  at(0x14, 3);
  guest.setConfig(1, pciCfg + 16, 0);
  expect(driver.status).toBe(3);
});

test('whatever a driver writes to the registers, a reset makes the device work again', async () => {
  await using machine = await rng();
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  const step = fc.record({
    offset: fc.oneof(
      fc.nat(0x37),
      fc.constantFrom(0x14, 0x16, 0x1c),
      fc.constantFrom(0x3000, 0x6000, 0x600c, 0x7000),
    ),
    size: fc.constantFrom(1, 2, 4) as fc.Arbitrary<1 | 2 | 4>,
    value: fc.oneof(fc.nat(0xff), fc.nat(0xffff_ffff), fc.constantFrom(0, 11, 15)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      // Enough of a negotiation that DRIVER_OK often starts the back end with nonsense.
      driver.negotiate([VERSION_1]);
      for (const { offset, size, value } of steps) {
        guest.write(driver.common + offset, size, value);
        guest.read(driver.common + offset, size);
      }
      await driver.reset();
      start(driver, 5);
      expect(await ask(driver, 8)).toBe(8);
      await driver.reset();
    }),
    { numRuns: 60 },
  );
  expect(machine.broken.every(({ cause }) => cause === 'driver')).toBe(true);
});
