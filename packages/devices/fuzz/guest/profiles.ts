import { balloonModel, type DeviceCommand, inputEvents, inputModel } from '../../src/index.ts';
import { blockModel } from '../../src/virtio/block/model.ts';
import { consoleModel } from '../../src/virtio/console/console.ts';
import { multiportConsoleModel } from '../../src/virtio/console/multiport.ts';
import { rngModel } from '../../src/virtio/rng/rng.ts';
import { BUFFERS } from './layout.ts';
import { type DeviceProfile, expectThat, type HealthyDriver, type HostSide } from './profile.ts';

const BALLOON_PAGE = 4096;
const words = (...values: readonly number[]) => new Uint8Array(Uint32Array.from(values).buffer);
const zeroes = (length: number) => new Uint8Array(length);
/** A length that makes sense for a buffer. */
const size = (value: number, most = 4096) => (value % most) + 1;

/** Bytes of the disk that is driven. */
export const DISK_SIZE = 0x4_0000;
const SECTOR = 512;
const BlockRequest = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;
const BLOCK_FEATURES = [9, 13, 14];
export const DISK_ID = 'hostile';

function blockHeader(type: number, sector: bigint): Uint8Array {
  const header = new DataView(new ArrayBuffer(16));
  header.setUint32(0, type, true);
  header.setBigUint64(8, sector, true);
  return new Uint8Array(header.buffer);
}

function range(sector: bigint, sectors: number, flags: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setBigUint64(0, sector, true);
  bytes.setUint32(8, sectors, true);
  bytes.setUint32(12, flags, true);
  return new Uint8Array(bytes.buffer);
}

const block: DeviceProfile = {
  model: blockModel({ size: DISK_SIZE, queueCount: 4, id: DISK_ID, packedQueue: true }),
  features: BLOCK_FEATURES,
  outputs: 0,
  inputs: 0,
  requests: [
    (c, d, e) => ({
      queue: c % 4,
      pieces: [{ read: blockHeader(BlockRequest.in, d) }, { write: SECTOR * size(e, 8) }, { write: 1 }],
    }),
    (c, d, e) => ({
      queue: c % 4,
      pieces: [
        { read: blockHeader(BlockRequest.out, d) },
        { read: zeroes(SECTOR * size(e, 8)).fill(c) },
        { write: 1 },
      ],
    }),
    (c) => ({ queue: c % 4, pieces: [{ read: blockHeader(BlockRequest.flush, 0n) }, { write: 1 }] }),
    (c, _d, e) => ({
      queue: c % 4,
      pieces: [
        { read: blockHeader(BlockRequest.getId, 0n) },
        { write: e === 0 ? 20 : size(e, 64) },
        { write: 1 },
      ],
    }),
    (c, d, e) => ({
      queue: c % 4,
      pieces: [
        { read: blockHeader(c & 4 ? BlockRequest.discard : BlockRequest.writeZeroes, 0n) },
        { read: Buffer.concat(Array.from({ length: size(c >>> 4, 4) }, () => range(d, e, (c >>> 3) & 1))) },
        { write: 1 },
      ],
    }),
    // Header, data and status wherever the driver cuts them.
    (c, d, e) => ({
      queue: c % 4,
      pieces: [
        { read: blockHeader(BlockRequest.in, d).subarray(0, 3) },
        { read: blockHeader(BlockRequest.in, d).subarray(3) },
        ...Array.from({ length: size(e, 16) }, () => ({ write: SECTOR / 4 })),
        { write: 1 },
      ],
    }),
  ],
  disturb: (host, which, value) => {
    void host.command({ kind: 'resize-disk', size: (which & 1) === 0 ? DISK_SIZE : SECTOR * (value % 4096) });
  },
  async check(driver) {
    await driver.host.command({ kind: 'resize-disk', size: DISK_SIZE });
    const request = async (type: number, data: Uint8Array | number) => {
      const status = driver.room(1);
      const buffer = typeof data === 'number' ? driver.room(data) : driver.place(data);
      const header = driver.place(blockHeader(type, 3n));
      await driver.request(0, [header, buffer, status]);
      expectThat(driver.bytes(status)[0] === 0, `a disk answers request ${type} with an error`);
      return driver.bytes(buffer);
    };
    const pattern = Uint8Array.from({ length: 2 * SECTOR }, (_, index) => index * 7);
    await request(BlockRequest.out, pattern);
    const read = await request(BlockRequest.in, pattern.length);
    expectThat(Buffer.compare(read, pattern) === 0, 'a disk does not keep what is written');
    const id = Buffer.from(await request(BlockRequest.getId, 20)).toString();
    expectThat(id.startsWith(DISK_ID), `a disk is called ${id}`);
  },
};

function drain({ outputs }: HostSide): Buffer {
  const taken: Buffer[] = [];
  for (const output of outputs) {
    for (let bytes = output.peek(); bytes.length > 0; bytes = output.peek()) {
      taken.push(Buffer.from(bytes));
      output.consume(bytes.length);
    }
  }
  return Buffer.concat(taken);
}

/** Input comes, or output is taken. */
function disturbStreams(host: HostSide, which: number, value: number): void {
  const input = host.inputs[which % Math.max(1, host.inputs.length)];
  if ((which & 0x10) === 0 && input) input.write(zeroes(size(value, 64)).fill(value));
  else drain(host);
}

async function checkTransmit(driver: HealthyDriver, queue: number): Promise<void> {
  let taken = '';
  const text = `to queue ${queue}`;
  drain(driver.host);
  await driver.request(queue, [driver.place(Buffer.from(text))]);
  await driver.until('a console sends what it is given', () => {
    taken += drain(driver.host).toString();
    return taken.includes(text);
  });
}

async function checkReceive(driver: HealthyDriver, queue: number, input: number): Promise<void> {
  driver.host.inputs[input]?.write(Buffer.from('input'));
  const buffer = driver.room(4096);
  expectThat((await driver.request(queue, [buffer])) > 0, `queue ${queue} of a console receives nothing`);
}

const console: DeviceProfile = {
  model: consoleModel({ size: { columns: 80, rows: 24 } }),
  features: [0],
  outputs: 1,
  inputs: 1,
  requests: [
    (c) => ({ queue: 0, pieces: [{ write: size(c) }] }),
    (c, _d, e) => ({ queue: 1, pieces: [{ read: zeroes(size(c)).fill(e) }] }),
    (c, _d, e) => ({ queue: 1, pieces: [{ read: zeroes(size(c)) }, { read: zeroes(size(e)) }] }),
  ],
  disturb(host, which, value) {
    if (which === 0xff) void host.command({ kind: 'resize-console', size: { columns: value, rows: which } });
    else disturbStreams(host, which, value);
  },
  async check(driver) {
    await checkTransmit(driver, 1);
    await checkReceive(driver, 0, 0);
  },
};

/** Of multiport consoles: their queues, and events of control messages. */
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const PortEvent = {
  deviceReady: 0,
  portAdd: 1,
  portReady: 3,
  consolePort: 4,
  portOpen: 6,
  portName: 7,
} as const;
export const PORTS = [
  { name: 'org.hostile.0', console: true },
  { name: 'org.hostile.1', console: false },
];

function control(id: number, event: number, value: number): Uint8Array {
  const message = new DataView(new ArrayBuffer(8));
  message.setUint32(0, id, true);
  message.setUint16(4, event, true);
  message.setUint16(6, value, true);
  return new Uint8Array(message.buffer);
}

const ports: DeviceProfile = {
  model: multiportConsoleModel(PORTS),
  features: [1],
  outputs: 2,
  inputs: 2,
  requests: [
    (c) => ({ queue: (c & 1) * 4, pieces: [{ write: size(c) }] }),
    (c, _d, e) => ({ queue: 1 + (c & 1) * 4, pieces: [{ read: zeroes(size(c)).fill(e) }] }),
    (c) => ({ queue: CONTROL_RECEIVE, pieces: [{ write: c === 0 ? 256 : size(c, 300) }] }),
    (c, d, e) => ({
      queue: CONTROL_TRANSMIT,
      pieces: [{ read: control(c, e % 10, Number(d & 0xffffn)) }],
    }),
  ],
  disturb: disturbStreams,
  async check(driver) {
    const tell = async (...message: Parameters<typeof control>) => {
      await driver.request(CONTROL_TRANSMIT, [driver.place(control(...message))]);
    };
    const hear = async () => {
      const buffer = driver.room(256);
      await driver.request(CONTROL_RECEIVE, [buffer]);
      const view = new DataView(driver.bytes(buffer).slice().buffer);
      return { id: view.getUint32(0, true), event: view.getUint16(4, true) };
    };
    await tell(0xffff_ffff, PortEvent.deviceReady, 1);
    for (const id of PORTS.keys()) {
      const { event, id: added } = await hear();
      expectThat(event === PortEvent.portAdd && added === id, `a console adds port ${added} by ${event}`);
    }
    await tell(1, PortEvent.portReady, 1);
    const name = await hear();
    expectThat(name.event === PortEvent.portName && name.id === 1, 'a port has no name');
    await tell(1, PortEvent.portOpen, 1);
    await checkTransmit(driver, 5);
    await checkReceive(driver, 4, 1);
  },
};

const rng: DeviceProfile = {
  model: rngModel(),
  features: [],
  outputs: 0,
  inputs: 0,
  requests: [
    (c) => ({ queue: 0, pieces: [{ write: size(c) }] }),
    (c) => ({ queue: 0, pieces: [{ read: zeroes(4) }, { write: size(c) }, { write: 1 }] }),
  ],
  async check(driver) {
    const buffer = driver.room(64);
    expectThat((await driver.request(0, [buffer])) === 64, 'a source of random numbers gives fewer');
    expectThat(
      driver.bytes(buffer).some((byte) => byte !== 0),
      'random numbers are zero',
    );
  },
};

const FIRST_PAGE = BUFFERS / BALLOON_PAGE;
const STATS_FEATURES = [1, 2, 5];

const balloon: DeviceProfile = {
  model: balloonModel({ pageReporting: true }),
  features: STATS_FEATURES,
  outputs: 0,
  inputs: 0,
  mayDiscard: true,
  requests: [
    (c, _d, e) => ({
      queue: c & 1,
      pieces: [{ read: words(...Array.from({ length: size(e, 40) }, (_, i) => FIRST_PAGE + (i % 8))) }],
    }),
    (c, d) => ({ queue: c & 1, pieces: [{ read: words(c, Number(d & 0xffff_ffffn)) }] }),
    (c, d) => {
      const statistic = new DataView(new ArrayBuffer(10));
      statistic.setUint16(0, c % 20, true);
      statistic.setBigUint64(2, d, true);
      return { queue: 2, pieces: [{ read: new Uint8Array(statistic.buffer) }] };
    },
    (c) => ({ queue: 3, pieces: [{ write: size(c, 0x8000) }] }),
  ],
  disturb(host, which, value) {
    const command: DeviceCommand =
      (which & 1) === 0
        ? { kind: 'balloon-stats' }
        : { kind: 'set-balloon', size: BALLOON_PAGE * (value % 64), wait: (which & 2) !== 0 };
    void host.command(command);
  },
  async check(driver) {
    const page = driver.place(zeroes(BALLOON_PAGE).fill(7));
    const list = driver.place(words(page.address / BALLOON_PAGE));
    await driver.request(0, [list]);
    expectThat(
      driver.bytes(page).every((byte) => byte === 0),
      'a page in the balloon stays as it was',
    );
    await driver.request(1, [list]);
  },
};

const event = (type: number, code: number, value: number) =>
  new Uint8Array(Uint32Array.of(type | (code << 16), value).buffer);

const input: DeviceProfile = {
  model: inputModel({ name: 'keyboard', serial: '0', ...inputEvents('keyboard') }),
  features: [],
  outputs: 1,
  inputs: 1,
  requests: [
    (c) => ({ queue: 0, pieces: [{ write: c === 0 ? 8 : size(c, 600) }] }),
    (c, d, e) => ({
      queue: 1,
      pieces: [
        { read: Buffer.concat(Array.from({ length: size(e, 70) }, () => event(c, e, Number(d & 0xffffn)))) },
      ],
    }),
  ],
  disturb(host, which, value) {
    if ((which & 0x20) === 0) disturbStreams(host, which, value);
    else host.inputs[0]?.write(event(1, value, 1));
  },
  async check(driver) {
    const buffer = driver.room(8);
    // What the storm left of an event is before this one.
    driver.host.inputs[0]?.write(zeroes(16));
    expectThat((await driver.request(0, [buffer])) === 8, 'an event does not come alone');
    drain(driver.host);
    await driver.request(1, [driver.place(event(0x11, 1, 1))]);
    let taken = 0;
    await driver.until('the LED arrives', () => {
      taken += drain(driver.host).length;
      return taken >= 8;
    });
  },
};

/** Devices by the names that the command line takes. */
export const PROFILES = { block, console, ports, rng, balloon, input } satisfies Record<
  string,
  DeviceProfile
>;
export type ProfileName = keyof typeof PROFILES;
