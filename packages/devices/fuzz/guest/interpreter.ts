import { type AccessSize, hasFeature, VirtioFeature } from '../../src/index.ts';
import { type Guest, WINDOW } from '../../test/support/guest.ts';
import { RAM } from '../../test/support/machine-memory.ts';
import { BUFFERS, BUFFERS_END, QUEUE_SIZE, QUEUES, queueArea, RAM_SIZE } from './layout.ts';
import { DEVICE } from './machine.ts';
import type { DeviceProfile, GuestRequest, HostSide, Piece } from './profile.ts';
import { Op, type Step } from './program.ts';

/** Structures in the BAR, and registers of configuration space. */
const COMMON = 0;
const NOTIFY = 0x3000;
const MSIX_TABLE = 0x6000;
const COMMAND = 4;
const BAR0 = 0x10;
const BAR_LENGTH = 0x8000;
const WITNESS_BAR = WINDOW + BAR_LENGTH;
const PCI_CFG = { bar: 4, offset: 8, length: 12, data: 16 } as const;

const WIDTHS = [1, 2, 4, 8] as const;

/** Fields of the common configuration with their widths, and some places that are none. */
const FIELDS = [
  [0x00, 4],
  [0x04, 4],
  [0x08, 4],
  [0x0c, 4],
  [0x10, 2],
  [0x12, 2],
  [0x14, 1],
  [0x15, 1],
  [0x16, 2],
  [0x18, 2],
  [0x1a, 2],
  [0x1c, 2],
  [0x1e, 2],
  [0x20, 8],
  [0x28, 8],
  [0x30, 8],
  [0x20, 4],
  [0x2c, 4],
  [0x36, 2],
  [0x3a, 2],
  [0x38, 4],
  [0x3c, 8],
] as const;

const Flag = { next: 1, write: 2, indirect: 4, avail: 0x80, used: 0x8000 } as const;

/** What is wrong with a request: bits of the step's last field. */
const Wrong = {
  kindMask: 7,
  pieceShift: 3,
  pieceMask: 7,
  indirect: 1 << 8,
  noKick: 1 << 9,
  noPublish: 1 << 10,
} as const;

/** How far a driver has got with a queue. */
interface DriverPosition {
  size: number;
  /** Of the available ring, or of a packed ring. */
  next: number;
  wrap: boolean;
  /** The next free descriptor. */
  free: number;
}

/** Does to a device what a program says, as the guest would. */
export class Interpreter {
  readonly #guest: Guest;
  readonly #profile: DeviceProfile;
  readonly #host: HostSide;
  readonly #queues: DriverPosition[];
  readonly #capabilities: { readonly pciCfg: number; readonly msix: number };
  #isPacked = false;
  /** Where the next buffer goes. */
  #free = BUFFERS;

  constructor(guest: Guest, profile: DeviceProfile, host: HostSide) {
    this.#guest = guest;
    this.#profile = profile;
    this.#host = host;
    this.#queues = Array.from({ length: QUEUES }, freshPosition);
    const capabilities = guest.capabilities(DEVICE);
    const last = (id: number) => capabilities.findLast((capability) => capability.id === id)?.offset ?? 0;
    this.#capabilities = { pciCfg: last(0x09), msix: last(0x11) };
  }

  /** Does a step that needs nothing of the host. */
  execute(step: Step): void {
    const { a, b, c, d, e, f } = step;
    const width = WIDTHS[a & 3] ?? 4;
    switch (step.op) {
      case Op.turn:
        break;
      case Op.writePci:
        this.#guest.write(0x3000_0000 + (DEVICE << 15) + clip(b, 0x1000, width), width, c, f);
        break;
      case Op.readPci:
        this.#guest.read(0x3000_0000 + (DEVICE << 15) + clip(b, 0x1000, width), width);
        break;
      case Op.writeBar:
        this.#writeBar(b, width, c, f);
        break;
      case Op.readBar:
        this.#readBar(b, width);
        break;
      case Op.writeCommon: {
        const [offset, fieldWidth] = FIELDS[b % FIELDS.length] ?? FIELDS[0];
        if ((a & 1) !== 0) this.#writeBar(COMMON + 0x16, 2, e);
        this.#writeBar(COMMON + offset, fieldWidth, c, f);
        break;
      }
      case Op.negotiate:
        this.#negotiate((a & 1) !== 0, d);
        break;
      case Op.setUpQueue:
        this.#setUpQueue(a % QUEUES, b, d);
        break;
      case Op.driverOk:
        this.#setStatus(15);
        break;
      case Op.reset:
        this.#setStatus(0);
        this.#queues.fill(freshPosition()).forEach((_, index, all) => {
          all[index] = freshPosition();
        });
        break;
      case Op.resetQueue:
        this.#writeBar(COMMON + 0x16, 2, a % QUEUES);
        this.#writeBar(COMMON + 0x3a, 2, 1);
        this.#queues[a % QUEUES] = freshPosition();
        break;
      case Op.descriptor:
        this.#writeDescriptor(queueArea(a).descriptors + 16 * (b % QUEUE_SIZE), step);
        break;
      case Op.tableEntry:
        this.#writeDescriptor(queueArea(a).table + 16 * (b % QUEUE_SIZE), step);
        break;
      case Op.publish:
        this.#publish(a % QUEUES, b, c, e);
        break;
      case Op.kick:
        this.#kick(a, b);
        break;
      case Op.request: {
        const { requests } = this.#profile;
        const make = requests[b % requests.length];
        if (make) this.#send(make(c, d, e), step);
        break;
      }
      case Op.poke:
        this.#poke(d, width, c, f);
        break;
      case Op.host:
        this.#profile.disturb?.(this.#host, a, c);
        break;
      case Op.suppress:
        this.#suppress(a % QUEUES, b, c);
        break;
      case Op.msix:
        this.#programVector(step);
        break;
      case Op.moveBar:
        this.#guest.setConfig(DEVICE, BAR0, c);
        this.#guest.setConfig(DEVICE, COMMAND, b, 2);
        break;
      case Op.window:
        this.#useWindow(step);
    }
  }

  #writeBar(offset: number, width: AccessSize, low: number, high = 0): void {
    const address = this.#barAddress + offset;
    if (!isWitness(address)) this.#guest.write(address, width, low, high);
  }

  #readBar(offset: number, width: AccessSize): number {
    const address = this.#barAddress + offset;
    return isWitness(address) ? 0 : this.#guest.read(address, width);
  }

  get #barAddress(): number {
    return (this.#guest.config(DEVICE, BAR0) & ~0xf) >>> 0;
  }

  #setStatus(value: number): void {
    this.#writeBar(COMMON + 0x14, 1, value);
  }

  #negotiate(isRaw: boolean, wanted: bigint): void {
    this.#setStatus(1);
    this.#setStatus(3);
    let accepted = 0n;
    for (const word of [0, 1]) {
      this.#writeBar(COMMON, 4, word);
      const offered = isRaw ? 0xffff_ffff : this.#readBar(COMMON + 4, 4);
      const value = Number((wanted >> BigInt(32 * word)) & 0xffff_ffffn) & offered;
      accepted |= BigInt(value >>> 0) << BigInt(32 * word);
      this.#writeBar(COMMON + 8, 4, word);
      this.#writeBar(COMMON + 12, 4, value);
    }
    this.#setStatus(11);
    const features = { low: Number(accepted & 0xffff_ffffn), high: Number(accepted >> 32n) };
    this.#isPacked = hasFeature(features, VirtioFeature.ringPacked);
  }

  #setUpQueue(queue: number, size: number, moved: bigint): void {
    const area = queueArea(queue);
    this.#writeBar(COMMON + 0x16, 2, queue);
    this.#writeBar(COMMON + 0x18, 2, size);
    for (const [index, address] of [area.descriptors, area.driver, area.device].entries()) {
      const offset = Number(BigInt.asIntN(16, moved >> BigInt(16 * index)));
      this.#writeBar(COMMON + 0x20 + 8 * index, 8, address + offset, 0);
    }
    this.#writeBar(COMMON + 0x1a, 2, queue + 1);
    this.#writeBar(COMMON + 0x1c, 2, 1);
    this.#queues[queue] = { ...freshPosition(), size: Math.min(Math.max(size, 1), QUEUE_SIZE) };
  }

  /** Of a split ring the flags come before the next, of a packed one they follow the id. */
  #writeDescriptor(at: number, { c, d, e, f }: Pick<Step, 'c' | 'd' | 'e' | 'f'>): void {
    const { memory } = this.#guest;
    memory.writeUint64(at, Number(d & 0xffff_ffffn), Number(d >> 32n));
    memory.writeUint32(at + 8, c);
    memory.writeUint16(at + 12, this.#isPacked ? f : e);
    memory.writeUint16(at + 14, this.#isPacked ? e : f);
  }

  #publish(queue: number, descriptor: number, count: number, flags: number): void {
    const { memory } = this.#guest;
    const position = this.#position(queue);
    const area = queueArea(queue);
    if (this.#isPacked) {
      const at = area.descriptors + 16 * (descriptor % position.size) + 14;
      memory.storeUint16(
        at,
        (memory.loadUint16(at) ^ flags ^ (position.wrap ? Flag.avail : Flag.used)) & 0xffff,
      );
      return;
    }
    memory.writeUint16(area.driver + 4 + 2 * (position.next % position.size), descriptor);
    position.next = (position.next + count) & 0xffff;
    memory.storeUint16(area.driver + 2, position.next);
  }

  #kick(queue: number, value: number): void {
    this.#writeBar(NOTIFY + 4 * queue, 2, value);
  }

  /** Puts a request into memory, and if the step says so something wrong with it, and sends it. */
  #send({ queue, pieces }: GuestRequest, { d, e, f }: Step): void {
    const position = this.#position(queue);
    const kind = f & Wrong.kindMask;
    const which = (f >>> Wrong.pieceShift) & Wrong.pieceMask;
    const kept = kind === 1 ? pieces.slice(0, -1) : kind === 2 ? [...pieces, ...pieces] : pieces;
    const isIndirect = (f & Wrong.indirect) !== 0;
    const first = this.#isPacked ? position.next : position.free;
    const entries = kept.map((piece, index) => {
      const entry = this.#place(piece);
      const isLast = index + 1 === kept.length;
      let flags = entry.flags | (isLast ? 0 : Flag.next);
      let next = isIndirect ? index + 1 : (first + index + 1) % position.size;
      if (index !== which) return { ...entry, e: flags, f: next };
      if (kind === 3) flags ^= Flag.write;
      if (kind === 4) return { d: entry.d, c: e, e: flags, f: next };
      if (kind === 5) return { d, c: entry.c, e: flags, f: next };
      if (kind === 6) {
        flags |= Flag.next;
        next = first;
      }
      if (kind === 7) flags |= Flag.indirect;
      return { ...entry, e: flags, f: next };
    });
    this.#writeChain(queue, entries, isIndirect, (f & Wrong.noPublish) === 0);
    if ((f & Wrong.noKick) === 0) this.#kick(queue, queue);
  }

  #writeChain(
    queue: number,
    entries: readonly Pick<Step, 'c' | 'd' | 'e' | 'f'>[],
    isIndirect: boolean,
    isPublished: boolean,
  ): void {
    const position = this.#position(queue);
    const area = queueArea(queue);
    let list = entries;
    if (isIndirect) {
      const shown = entries.slice(0, QUEUE_SIZE);
      for (const [index, entry] of shown.entries()) this.#writeDescriptor(area.table + 16 * index, entry);
      list = [{ d: BigInt(area.table), c: 16 * shown.length, e: Flag.indirect, f: 0 }];
    }
    if (this.#isPacked) {
      this.#writePacked(position, area.descriptors, list, isPublished);
      return;
    }
    const head = position.free;
    for (const [index, entry] of list.entries()) {
      this.#writeDescriptor(area.descriptors + 16 * ((head + index) % position.size), entry);
    }
    position.free = (head + list.length) % position.size;
    if (isPublished) this.#publish(queue, head, 1, 0);
  }

  #writePacked(
    position: DriverPosition,
    ring: number,
    list: readonly Pick<Step, 'c' | 'd' | 'e' | 'f'>[],
    isPublished: boolean,
  ): void {
    const { next: first, wrap } = position;
    let firstFlags = 0;
    for (const [index, entry] of list.entries()) {
      const flags = entry.e | (position.wrap ? Flag.avail : Flag.used);
      if (index === 0) firstFlags = flags;
      // What is there is not available yet.
      const shown = index === 0 ? entry.e | (wrap ? Flag.used : Flag.avail) : flags;
      this.#writeDescriptor(ring + 16 * position.next, { ...entry, e: shown, f: first });
      position.next++;
      if (position.next === position.size) {
        position.next = 0;
        position.wrap = !position.wrap;
      }
    }
    if (isPublished) this.#guest.memory.storeUint16(ring + 16 * first + 14, firstFlags & 0xffff);
  }

  #place(piece: Piece): { d: bigint; c: number; flags: number } {
    const length = 'read' in piece ? piece.read.length : piece.write;
    if (this.#free + length > BUFFERS_END) this.#free = BUFFERS;
    const address = this.#free;
    this.#free = BUFFERS + ((address + length - BUFFERS + 15) & ~15);
    if ('read' in piece) this.#guest.memory.bytes(address, length).set(piece.read);
    return { d: BigInt(address), c: length, flags: 'read' in piece ? 0 : Flag.write };
  }

  #poke(address: bigint, width: number, low: number, high: number): void {
    const offset = Number(address % BigInt(RAM_SIZE - 8));
    const { memory } = this.#guest;
    const at = RAM + offset;
    if (width === 1) memory.writeUint8(at, low);
    else if (width === 2) memory.writeUint16(at, low);
    else if (width === 4) memory.writeUint32(at, low);
    else memory.writeUint64(at, low, high);
  }

  #suppress(queue: number, word: number, flags: number): void {
    const { memory } = this.#guest;
    const { driver } = queueArea(queue);
    const { size } = this.#position(queue);
    memory.storeUint16(driver, this.#isPacked ? word : flags & 0xffff);
    memory.storeUint16(
      this.#isPacked ? driver + 2 : driver + 4 + 2 * size,
      this.#isPacked ? flags & 0xffff : word,
    );
  }

  #programVector({ a, b, c, d, e }: Step): void {
    const entry = MSIX_TABLE + 16 * a;
    this.#writeBar(entry, 8, Number(d & 0xffff_ffffn), Number(d >> 32n));
    this.#writeBar(entry + 8, 8, c, e);
    this.#guest.setConfig(DEVICE, this.#capabilities.msix + 2, b, 2);
  }

  #useWindow({ a, b, c, e, f }: Step): void {
    const { pciCfg } = this.#capabilities;
    const width = WIDTHS[(a >> 1) & 3] ?? 4;
    this.#guest.setConfig(DEVICE, pciCfg + PCI_CFG.bar, b, 1);
    this.#guest.setConfig(DEVICE, pciCfg + PCI_CFG.offset, c);
    this.#guest.setConfig(DEVICE, pciCfg + PCI_CFG.length, e);
    if ((a & 1) !== 0) this.#guest.setConfig(DEVICE, pciCfg + PCI_CFG.data, f, width);
    else this.#guest.config(DEVICE, pciCfg + PCI_CFG.data, width);
  }

  #position(queue: number): DriverPosition {
    return this.#queues[queue] ?? freshPosition();
  }
}

function freshPosition(): DriverPosition {
  return { size: QUEUE_SIZE, next: 0, wrap: true, free: 0 };
}

/** An offset at which an access of `width` bytes is inside. */
function clip(offset: number, length: number, width: number): number {
  return Math.min(offset % length, length - width);
}

/** Whether an access may reach the device beside the one that is driven, which is another driver's to touch. */
function isWitness(address: number): boolean {
  return address + 8 > WITNESS_BAR && address < WITNESS_BAR + BAR_LENGTH;
}

/** Puts the BAR where it was when the machine started, and lets the function answer there. */
export function restorePci(guest: Guest): void {
  guest.setConfig(DEVICE, BAR0, WINDOW);
  guest.setConfig(DEVICE, COMMAND, 6, 2);
  for (const { offset, id } of guest.capabilities(DEVICE)) {
    if (id === 0x11) guest.setConfig(DEVICE, offset + 2, 0, 2);
  }
}
