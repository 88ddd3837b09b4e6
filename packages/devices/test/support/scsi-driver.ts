// The guest's side of a SCSI adapter, written from the specifications.
import { expect } from 'vitest';
import { EVENT_IDX, type Guest, INDIRECT_DESC, VERSION_1, VirtioDriver } from './guest.ts';

const CONTROL = 0;
export const REQUEST = 2;
const RESPONSE_LENGTH = 12;

/** What became of a command. */
export interface ScsiResult {
  /** Of virtio. */
  readonly response: number;
  /** Of SCSI. */
  readonly status: number;
  readonly residual: number;
  /** Sense key, additional sense code and qualifier; undefined without sense data. */
  readonly sense: string | undefined;
  /** All of the sense data. */
  readonly senseBytes: Buffer;
  /** The room for data. */
  readonly data: Buffer;
}

export interface CommandOptions {
  readonly out?: Uint8Array;
  /** Bytes of room. */
  readonly room?: number;
  readonly lun?: readonly number[];
  readonly cdbSize?: number;
  readonly senseSize?: number;
}

/** The bytes of hexadecimal digits, with spaces where they help. */
export const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
/** A single-level LUN. */
export const lunOf = (target: number, lun = 0) => [1, target, 0x40 | (lun >> 8), lun & 0xff, 0, 0, 0, 0];

/** A SCSI driver, written from virtio 1.3, section 5.6, with queues 0 and 2. */
export class ScsiDriver {
  readonly driver: VirtioDriver;
  readonly guest: Guest;

  constructor(guest: Guest) {
    this.guest = guest;
    this.driver = new VirtioDriver(guest, 1);
    this.driver.enableMsix();
    this.start();
  }

  start(): void {
    const { driver } = this;
    expect(driver.negotiate([VERSION_1, EVENT_IDX, INDIRECT_DESC])).toBe(true);
    driver.setUpQueue(CONTROL, 64, 3);
    driver.setUpQueue(REQUEST, 64, 3);
    driver.status = 15;
  }

  /** Makes a command available. */
  submit(
    cdb: Uint8Array,
    { out, room = 0, lun = lunOf(0), cdbSize = 32, senseSize = 96 }: CommandOptions = {},
  ) {
    const header = Buffer.alloc(19 + cdbSize);
    header.set(lun);
    header.set(cdb, 19);
    return this.add(REQUEST, [header, ...(out ? [out] : [])], RESPONSE_LENGTH + senseSize, room);
  }

  async command(text: string, options: CommandOptions = {}): Promise<ScsiResult> {
    const pending = this.submit(hex(text), options);
    const [used] = await this.take(REQUEST, 1);
    const response = Buffer.from(pending.response());
    const senseLength = response.readUInt32LE(0);
    const sense = response.subarray(RESPONSE_LENGTH, RESPONSE_LENGTH + senseLength);
    const [key = 0, asc = 0, ascq = 0] = [sense[2], sense[12], sense[13]];
    expect(used?.length).toBeLessThanOrEqual(response.length + (options.room ?? 0));
    return {
      response: response[11] ?? 0xff,
      status: response[10] ?? 0xff,
      residual: response.readUInt32LE(4),
      sense: senseLength === 0 ? undefined : [key, asc, ascq].map((n) => n.toString(16)).join('/'),
      senseBytes: sense,
      data: Buffer.from(pending.data()),
    };
  }

  /** A task management function: its response. */
  async manage(subtype: number, { lun = lunOf(0), tag = 0 } = {}): Promise<number | undefined> {
    const header = Buffer.alloc(24);
    header.writeUInt32LE(subtype, 4);
    header.set(lun, 8);
    header.writeUInt32LE(tag, 16);
    return await this.control(header, 1);
  }

  async control(header: Uint8Array, length: number): Promise<number | undefined> {
    const pending = this.add(CONTROL, [header], length, 0);
    await this.take(CONTROL, 1);
    return pending.response()[length - 1];
  }

  /** Puts a request into a queue. */
  add(queueIndex: number, readable: readonly Uint8Array[], responseLength: number, room: number) {
    const { guest, driver } = this;
    const queue = driver.queues[queueIndex];
    if (!queue) throw new Error('no queue');
    const buffers = readable.map((bytes) => {
      const address = guest.allocate(bytes.length);
      guest.bytes(address, bytes.length).set(bytes);
      return { address, length: bytes.length };
    });
    const response = guest.allocate(responseLength);
    const data = guest.allocate(Math.max(room, 1));
    const places = [{ address: response, length: responseLength, write: true }];
    if (room > 0) places.push({ address: data, length: room, write: true });
    const before = queue.place;
    queue.add([...buffers, ...places]);
    if (queue.needsKick(before)) driver.kick(queueIndex);
    return {
      response: () => guest.bytes(response, responseLength),
      data: () => guest.bytes(data, room),
    };
  }

  /** Waits for requests to come back. */
  async take(queueIndex: number, count: number) {
    const queue = this.driver.queues[queueIndex];
    const taken = [];
    while (taken.length < count) {
      const seen = this.guest.interrupts.message(3);
      const used = queue?.take();
      if (used) taken.push(used);
      else await this.guest.interrupts.nextMessage(3, seen);
    }
    return taken;
  }
}
