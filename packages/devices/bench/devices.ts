// What an access, a wake-up and a block request cost. Each figure stands beside a peer measured in the same run.
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { preadv } from '@tsvmm/base';
import {
  Bus,
  ByteRing,
  createBusAccess,
  describeUart16550,
  Uart16550,
  UNCONNECTED_LINE,
  VirtioPciDevice,
} from '../src/index.ts';
import { type DriverRing, EVENT_IDX, type Guest, VERSION_1, VirtioDriver } from '../test/support/guest.ts';
import { startMachine } from '../test/support/machine.ts';

const print = (what: string, value: number, unit: string, note = '') =>
  console.log(`${what.padEnd(48)} ${value.toFixed(value < 10 ? 2 : 0).padStart(8)} ${unit} ${note}`);

/** Nanoseconds a call, of the best of five runs. */
function time(count: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) run();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
  }
  return best;
}

function registers(): void {
  const output = ByteRing.create();
  const uart = new Uart16550(describeUart16550({ output }), UNCONNECTED_LINE);
  const bus = new Bus();
  for (let i = 0; i < 8; i++) bus.insert(0x1000 * i, 8, uart);
  const access = createBusAccess();
  access.size = 1;
  print(
    'read of a UART register through the bus',
    time(1e6, () => bus.read(0x3005, access)),
    'ns',
  );
  print(
    'write of a byte to THR',
    time(1e6, () => {
      access.low = 65;
      bus.write(0x3000, access);
      output.consume(1);
    }),
    'ns',
  );
}

/** The busy-polling driver of a disk: what the device can do when the guest costs nothing. */
class PollingDriver {
  readonly driver: VirtioDriver;
  readonly queue: DriverRing;
  readonly #view: DataView;
  readonly #header: number;
  readonly #status: number;
  readonly #data: number;

  constructor(guest: Guest, largest: number) {
    this.driver = new VirtioDriver(guest, 1);
    this.driver.negotiate([VERSION_1, EVENT_IDX]);
    this.queue = this.driver.setUpQueue(0, 256);
    this.driver.status = 15;
    this.#header = guest.allocate(16 * 64);
    this.#status = guest.allocate(64);
    this.#data = guest.allocate(largest);
    this.#view = new DataView(guest.memory.buffer, guest.memory.hostOffset(this.#header, 16 * 64), 16 * 64);
  }

  /** Reads `depth` times `length` bytes from random places below `sectors`, and waits for all of them. */
  read(depth: number, length: number, sectors: number): void {
    const { queue, driver } = this;
    const before = queue.place;
    for (let i = 0; i < depth; i++) {
      const sector = Math.floor(Math.random() * (sectors - length / 512));
      this.#view.setUint32(16 * i + 8, sector, true);
      queue.add([
        { address: this.#header + 16 * i, length: 16 },
        { address: this.#data, length, write: true },
        { address: this.#status + i, length: 1, write: true },
      ]);
    }
    if (queue.needsKick(before)) driver.kick(0);
    for (let taken = 0; taken < depth; ) {
      if (queue.take()) taken++;
      else Atomics.pause();
    }
  }
}

async function block(directory: string): Promise<void> {
  const size = 256 * 2 ** 20;
  const path = join(directory, 'image');
  writeFileSync(path, Buffer.alloc(size, 1));
  await using machine = await startMachine([await VirtioPciDevice.block({ path, readOnly: true })]);
  const polling = new PollingDriver(machine.guest, 2 ** 20);
  const fd = openSync(path, 'r');
  const bytes = new Uint8Array(2 ** 20);
  const pair = new Float64Array(2);
  for (const [depth, length] of [
    [1, 4096],
    [32, 4096],
    [8, 2 ** 17],
    [4, 2 ** 20],
  ] as const) {
    const rounds = Math.ceil(20_000 / depth / Math.max(1, length / 16_384));
    const device = time(rounds, () => polling.read(depth, length, size / 512)) / depth;
    pair[1] = length;
    const direct = time(rounds * depth, () => {
      preadv(fd, 512 * Math.floor((Math.random() * (size - length)) / 512), bytes, pair, 1);
    });
    const note = `${(1e9 / device / 1000).toFixed(0)} thousand a second, ${((length / device) * 1000).toFixed(0)} MB/s; preadv alone takes ${(direct / 1000).toFixed(2)} µs, ratio ${(device / direct).toFixed(2)}`;
    print(`read of ${length} bytes, ${depth} at a time`, device / 1000, 'µs', note);
  }
}

/** From a notification to the MSI that says it has been served, the driver asleep in between. */
async function wakes(): Promise<void> {
  await using machine = await startMachine([VirtioPciDevice.rng()]);
  const { guest } = machine;
  const driver = new VirtioDriver(guest, 1);
  driver.enableMsix();
  driver.negotiate([VERSION_1, EVENT_IDX]);
  const queue = driver.setUpQueue(0, 16, 5);
  driver.status = 15;
  const address = guest.allocate(8);
  const samples: number[] = [];
  for (let i = 0; i < 5000; i++) {
    const seen = guest.interrupts.message(5);
    const start = process.hrtime.bigint();
    queue.add([{ address, length: 8, write: true }]);
    driver.kick(0);
    while (guest.interrupts.message(5) === seen) Atomics.pause();
    samples.push(Number(process.hrtime.bigint() - start) / 1000);
    queue.take();
    // Lets the I/O thread fall asleep.
    await new Promise(setImmediate);
  }
  samples.sort((a, b) => a - b);
  print('notification to MSI, median', samples[2500] ?? 0, 'µs');
  print('notification to MSI, 99th percentile', samples[4950] ?? 0, 'µs');
}

const directory = mkdtempSync(join(tmpdir(), 'devices-bench-'));
try {
  registers();
  await wakes();
  await block(directory);
} finally {
  rmSync(directory, { recursive: true });
}
