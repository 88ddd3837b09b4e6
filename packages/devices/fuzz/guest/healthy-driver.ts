import type { GuestMemory } from '@tsvmm/vm-memory';
import { EVENT_IDX, Guest, type GuestBuffer, VERSION_1, VirtioDriver } from '../../test/support/guest.ts';
import { RAM } from '../../test/support/machine-memory.ts';
import { restorePci } from './interpreter.ts';
import { QUEUES, RAM_SIZE } from './layout.ts';
import { DEVICE, type FuzzedMachine, Phase } from './machine.ts';
import { type DeviceProfile, expectThat, type HealthyDriver, type HostSide } from './profile.ts';

/** Entries of the queues of a proper driver. */
const QUEUE_SIZE = 16;

/** Resets the device that a program drove, whatever state it is in. Rejects when the reset does not end. */
export async function stopDevice(machine: FuzzedMachine, memory: GuestMemory): Promise<VirtioDriver> {
  machine.hurry();
  await untilIdle(machine);
  const guest = new Guest(machine.bus, memory, machine.shared, machine.interrupts);
  restorePci(guest);
  const driver = new VirtioDriver(guest, DEVICE);
  driver.status = 0;
  await until(machine, 'the reset ends', () => driver.status === 0);
  return driver;
}

/** Has a proper driver use a device that was reset. Rejects when it does not work. */
export async function checkDevice(
  machine: FuzzedMachine,
  driver: VirtioDriver,
  profile: DeviceProfile,
): Promise<void> {
  driver.guest.bytes(RAM, RAM_SIZE).fill(0);
  const accepted = driver.negotiate([VERSION_1, EVENT_IDX, ...profile.features]);
  expectThat(accepted, 'a device refuses the features that it offers');
  for (const queue of profile.model.queueSizes.keys()) {
    if (queue < QUEUES) driver.setUpQueue(queue, QUEUE_SIZE);
  }
  driver.status = 15;
  machine.serve();
  await profile.check(new ProperDriver(machine, driver));
}

/** A driver that waits for the end of its reset, which on this thread would not come while it waits. */
export async function untilIdle(machine: FuzzedMachine): Promise<void> {
  await until(machine, 'the reset ends', () => machine.phase() !== Phase.resetting);
}

async function until(machine: FuzzedMachine, what: string, condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn >= machine.patience)
      throw new Error(`in ${turn} turns of the event loop it was not so that ${what}`);
    await machine.turn();
  }
}

class ProperDriver implements HealthyDriver {
  readonly driver: VirtioDriver;
  readonly host: HostSide;
  readonly #machine: FuzzedMachine;
  readonly #guest: Guest;

  constructor(machine: FuzzedMachine, driver: VirtioDriver) {
    this.driver = driver;
    this.host = machine.host;
    this.#machine = machine;
    this.#guest = driver.guest;
  }

  place(bytes: Uint8Array): GuestBuffer {
    const buffer = { address: this.#guest.allocate(bytes.length), length: bytes.length };
    this.bytes(buffer).set(bytes);
    return buffer;
  }

  room(length: number): GuestBuffer {
    return { address: this.#guest.allocate(length), length, write: true };
  }

  bytes({ address, length }: GuestBuffer): Uint8Array {
    return this.#guest.bytes(address, length);
  }

  async request(index: number, buffers: readonly GuestBuffer[]): Promise<number> {
    const queue = this.driver.queues[index];
    if (!queue) throw new Error(`there is no queue ${index}`);
    queue.add(buffers);
    this.driver.kick(index);
    this.#machine.serve();
    let used = queue.take();
    await this.until(`queue ${index} gives a request back`, () => {
      used ??= queue.take();
      return used !== undefined;
    });
    return used?.length ?? 0;
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    await until(this.#machine, what, condition);
  }
}
