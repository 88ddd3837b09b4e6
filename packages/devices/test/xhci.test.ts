import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LoopbackDevice } from './support/loopback-device.ts';
import { RAM } from './support/machine-memory.ts';
import { CHAIN, IDT, IOC, ISP, RAM_SIZE, type, writeTrb, XhciDriver } from './support/xhci-driver.ts';

/** Completion codes (xHCI 1.2, table 6-90), and types of TRBs (table 6-91). */
const SUCCESS = 1;
const TRB_ERROR = 5;
const STALL = 6;
const NO_SLOTS = 9;
const SLOT_NOT_ENABLED = 11;
const ENDPOINT_NOT_ENABLED = 12;
const SHORT_PACKET = 13;
const PARAMETER_ERROR = 17;
const CONTEXT_STATE_ERROR = 19;
const RING_FULL = 21;
const RING_STOPPED = 24;
const STOPPED = 26;
const TRANSFER_EVENT = 32;
const PORT_EVENT = 34;
const NORMAL = 1;
const EVENT_DATA = 7;

/** Device context indexes of the loopback device's endpoints, and their types (table 6-9). */
const OUT = 2;
const IN = 3;
const BULK_OUT = 2;
const BULK_IN = 6;

/** With a device at a port, and events so far taken. @param number 1 to 8 for USB 2.0, 9 to 16 for USB 3.0 */
function withLoopback(number = 1) {
  const device = new LoopbackDevice(number > 8 ? 'super' : 'high');
  const plugged = { kind: 'keyboard', speed: device.speed, reports: new SharedArrayBuffer(0) } as const;
  const driver = new XhciDriver({ [number]: device }, [{ ...plugged, leds: plugged.reports }]).start();
  driver.take();
  return { driver, device };
}

/** The same with both bulk endpoints configured. */
function withEndpoints(number?: number) {
  const { driver, device } = withLoopback(number);
  const addressed = driver.addressDevice(number ?? 1);
  const out = driver.configure(addressed, OUT, BULK_OUT);
  const input = driver.configure(addressed, IN, BULK_IN);
  expect([addressed.completion, out.completion, input.completion]).toEqual([SUCCESS, SUCCESS, SUCCESS]);
  return { driver, device, addressed, slot: addressed.slot, out: out.ring, input: input.ring };
}

describe('registers', () => {
  test("are where crosvm's are, with its slots and ports", () => {
    using driver = new XhciDriver();
    expect(driver.read(0, 1)).toBe(0x20);
    expect(driver.read(2, 2)).toBe(0x0110);
    expect(driver.read(4)).toBe(0x1000_0110); // 16 ports, 1 interrupter, 16 slots.
    expect([driver.read(0x14), driver.read(0x18)]).toEqual([0x2000, 0x3000]);
    expect(driver.read(0x10)).toBe(0x3000_0101); // Capabilities from 4 * 0x3000 on; 64-bit addresses.
    const capabilities = [0, 4, 8, 0xc].map((at) => driver.read(0xc000 + at));
    expect(capabilities).toEqual([0x0200_0802, 0x2042_5355, 0x0801, 0]); // "USB " 2.0, ports 1 to 8.
    const last = [0, 4, 8, 0xc].map((at) => driver.read(0xc020 + at));
    expect(last).toEqual([0x0300_0002, 0x2042_5355, 0x0809, 0]); // "USB " 3.0, ports 9 to 16.
  });

  test('are halted at first, run, halt again, and are as at first after a reset', () => {
    using driver = new XhciDriver();
    const initial = () => [driver.command, driver.status, driver.read(0x58), driver.interrupter(4)];
    const before = initial();
    expect(before).toEqual([0, 1, 0, 4000]);
    driver.start();
    expect([driver.command, driver.status & 1]).toEqual([5, 0]);
    driver.ring(0);
    expect(driver.read(0x38)).toBe(8); // CRCR shows only whether commands run.
    driver.command = 4;
    expect([driver.status & 1, driver.read(0x38)]).toEqual([1, 0]);
    driver.command = 2;
    expect(initial()).toEqual(before);
    expect(driver.read(0x28)).toBe(1); // Pages of 4 KiB.
  });

  test('take words, and pairs of them, but no parts', () => {
    using driver = new XhciDriver();
    driver.write(0x58, 0xff, 1);
    driver.write(0x58, 0xffff, 2);
    expect(driver.read(0x58)).toBe(0);
    driver.write(0x50, 0x1234_5678, 8);
    expect([driver.read(0x50), driver.read(0x52, 2)]).toEqual([0x1234_5640, 0x1234]);
  });
});

describe('the command ring', () => {
  test('answers No Op, and what there is no command for', () => {
    using driver = new XhciDriver().start();
    expect(driver.run(23).completion).toBe(SUCCESS);
    // Around the ring, and around again.
    for (let i = 0; i < 40; i++) expect(driver.run(23).completion).toBe(SUCCESS);
    expect(driver.run(63).completion).toBe(TRB_ERROR);
  });

  test('has sixteen slots, which can be given back', () => {
    using driver = new XhciDriver().start();
    const slots = Array.from({ length: 16 }, () => driver.run(9));
    expect(slots.map(({ slot }) => slot)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    expect(driver.run(9)).toEqual({ completion: NO_SLOTS, slot: 0 });
    expect(driver.run(10, { slot: 7 }).completion).toBe(SUCCESS);
    expect(driver.run(10, { slot: 7 }).completion).toBe(SLOT_NOT_ENABLED);
    expect(driver.run(9)).toEqual({ completion: SUCCESS, slot: 7 });
  });

  test('stops when it is told to, and goes on where it stopped', () => {
    using driver = new XhciDriver().start();
    driver.run(23);
    const { next } = driver.commands;
    driver.write(0x38, 2);
    expect(driver.take()).toMatchObject([{ type: 33, completion: RING_STOPPED, parameter: next }]);
    expect(driver.read(0x38)).toBe(0);
    expect(driver.run(23).completion).toBe(SUCCESS);
  });
});

describe('a port', () => {
  test('of USB 2.0 tells what is plugged in, and enables it by a reset', () => {
    const { driver } = withLoopback(1);
    using _driver = driver;
    // Connected, polling, powered, high speed, connect status change.
    expect(driver.port(1)).toBe(0x2_0ee1);
    driver.setPort(1, 1 << 17);
    expect(driver.port(1)).toBe(0x0ee1);
    driver.setPort(1, 1 << 4);
    expect(driver.port(1)).toBe(0x20_0e03); // Enabled, U0, port reset change.
    expect(driver.take()).toMatchObject([{ type: PORT_EVENT, completion: SUCCESS, parameter: 1 << 24 }]);
    driver.setPort(1, 1 << 4);
    expect(driver.take()).toEqual([]); // Nothing new until the change is cleared.
    driver.setPort(1, (1 << 21) | 2);
    expect(driver.port(1)).toBe(0x0ee1); // Disabled.
    expect(driver.port(2)).toBe(0x02a0); // RxDetect, powered.
  });

  test('of USB 3.0 is enabled by itself, and suspends and wakes', () => {
    const { driver, device } = withLoopback(9);
    using _driver = driver;
    expect(driver.port(9)).toBe(0x2_1203);
    driver.setPort(9, (1 << 17) | (1 << 16) | (3 << 5));
    expect(driver.port(9)).toBe(0x1263); // U3.
    driver.setPort(9, 1 << 16);
    expect(driver.port(9)).toBe(0x40_1203); // U0, port link state change.
    expect(driver.take()).toMatchObject([{ type: PORT_EVENT, parameter: 9 << 24 }]);
    driver.setPort(9, (0x7f << 17) | (1 << 31));
    expect(driver.port(9)).toBe(0x28_1203); // Warm and port reset changes.
    expect(device.resets).toBe(1);
    driver.setPort(9, (0x7f << 17) | 2);
    expect(driver.port(9) & 0x1e3).toBe(0x81); // Disabled.
  });

  test('tells what was there before the controller ran', () => {
    const device = new LoopbackDevice();
    const reports = new SharedArrayBuffer(0);
    using driver = new XhciDriver({ 1: device }, [
      { kind: 'keyboard', speed: 'high', reports, leds: reports },
    ]);
    expect(driver.status & 0x10).toBe(0x10);
    driver.start();
    expect(driver.take()).toMatchObject([{ type: PORT_EVENT, parameter: 1 << 24 }]);
  });
});

describe('slots and endpoints', () => {
  test('are addressed and configured, and show it in their contexts', () => {
    const { driver, addressed, slot } = withEndpoints();
    using _driver = driver;
    const { context } = addressed;
    const slotState = () => driver.memory.readUint32(context + 12);
    expect(slotState()).toBe(((3 << 27) | slot) >>> 0);
    expect([1, OUT, IN, 4].map((index) => driver.endpointState(addressed, index))).toEqual([1, 1, 1, 0]);
    expect(driver.run(12, { slot, flags: 1 << 9 }).completion).toBe(SUCCESS); // Deconfigure.
    expect(slotState()).toBe(((2 << 27) | slot) >>> 0);
    expect([1, OUT, IN].map((index) => driver.endpointState(addressed, index))).toEqual([1, 0, 0]);
    expect(driver.run(17, { slot }).completion).toBe(SUCCESS);
    expect(slotState()).toBe((1 << 27) >>> 0);
    expect(driver.run(17, { slot }).completion).toBe(CONTEXT_STATE_ERROR);
    expect(driver.run(11, { slot, parameter: addressed.input }).completion).toBe(PARAMETER_ERROR);
  });

  test('refuse what the specification has no place for', () => {
    const { driver } = withLoopback();
    using _driver = driver;
    const addressed = driver.addressDevice(1);
    const { slot, input } = addressed;
    expect(driver.run(13, { slot: 9, parameter: input }).completion).toBe(SLOT_NOT_ENABLED);
    expect(driver.run(15, { slot, endpoint: 5 }).completion).toBe(ENDPOINT_NOT_ENABLED);
    expect(driver.run(14, { slot, endpoint: 1 }).completion).toBe(CONTEXT_STATE_ERROR); // It is not halted.
    expect(driver.run(16, { slot, endpoint: 1, parameter: RAM }).completion).toBe(CONTEXT_STATE_ERROR);
    expect(driver.configure(addressed, OUT, BULK_IN).completion).toBe(PARAMETER_ERROR);
    expect(driver.configure(addressed, OUT, 1).completion).toBe(PARAMETER_ERROR); // Isochronous.
    const second = driver.addressDevice(2);
    expect(second.completion).toBe(4); // There is nothing at that port.
  });

  test('evaluate contexts: the packet size that was learned', () => {
    const { driver } = withLoopback();
    using _driver = driver;
    const { slot, input, context, fill } = driver.addressDevice(1, 8);
    fill();
    driver.memory.writeUint32(input + 4, 0b10);
    driver.memory.writeUint32(input + 0x44, 64 << 16);
    expect(driver.run(13, { slot, parameter: input }).completion).toBe(SUCCESS);
    expect(driver.memory.readUint16(context + 0x26)).toBe(64);
  });

  test('know the bandwidth of ports by speed', () => {
    const { driver } = withLoopback(9);
    using _driver = driver;
    const context = driver.allocate(32);
    const commandType = type(21) | (4 << 16);
    driver.commands.put(context, 0, commandType);
    driver.ring(0);
    expect(driver.take()).toMatchObject([{ completion: SUCCESS }]);
    expect([...driver.bytes(context, 17)].flatMap((free, port) => (free ? [port, free] : []))).toEqual([
      9, 90,
    ]);
  });
});

describe('transfers', () => {
  test('of control have their setup, data and status', () => {
    const { driver, device } = withLoopback();
    using _driver = driver;
    const { slot, control } = driver.addressDevice(1);
    device.data = Uint8Array.of(1, 2, 3, 4, 5);
    const { data, status, buffer } = driver.putControl(control, [0x80, 6, 0x02, 0x01, 4, 3], 8);
    driver.ring(slot, 1);
    expect(device.setups).toEqual([{ requestType: 0x80, request: 6, value: 0x102, index: 0x304, length: 8 }]);
    expect([...driver.bytes(buffer, 6)]).toEqual([1, 2, 3, 4, 5, 0]);
    expect(driver.take()).toMatchObject([
      { type: TRANSFER_EVENT, parameter: data, completion: SHORT_PACKET, length: 3, slot, endpoint: 1 },
      { type: TRANSFER_EVENT, parameter: status, completion: SUCCESS, length: 0 },
    ]);
    const sent = Uint8Array.of(9, 8, 7);
    const out = driver.putControl(control, [0x21, 9, 0, 2, 0, 0], 3, sent);
    driver.ring(slot, 1);
    expect(device.data).toEqual(sent);
    expect(driver.take()).toMatchObject([{ parameter: out.status, completion: SUCCESS }]);
  });

  test('that a device stalls halt the endpoint until it is reset', () => {
    const { driver, device } = withLoopback();
    using _driver = driver;
    const addressed = driver.addressDevice(1);
    const { slot, control } = addressed;
    device.stalled.add(0);
    const { status } = driver.putControl(control, [0x00, 9, 7, 0, 0, 0], 0);
    driver.ring(slot, 1);
    expect(driver.take()).toMatchObject([{ parameter: status, completion: STALL }]);
    expect(driver.endpointState(addressed, 1)).toBe(2);
    device.stalled.clear();
    driver.ring(slot, 1);
    expect(driver.take()).toEqual([]);
    expect(driver.run(14, { slot, endpoint: 1 }).completion).toBe(SUCCESS);
    expect(driver.endpointState(addressed, 1)).toBe(3);
    const parameter = control.dequeue;
    expect(driver.run(16, { slot, endpoint: 1, parameter }).completion).toBe(SUCCESS);
    const again = driver.putControl(control, [0x00, 9, 1, 0, 0, 0], 0);
    driver.ring(slot, 1);
    expect(driver.take()).toMatchObject([{ parameter: again.status, completion: SUCCESS }]);
  });

  test('of bulk gather chained TRBs, through links, and scatter what comes back', () => {
    const { driver, device, slot, out, input } = withEndpoints();
    using _driver = driver;
    const content = Uint8Array.from({ length: 900 }, (_, i) => i * 7);
    for (let round = 0; round < 8; round++) {
      const pieces = [100, 1, 500, 299];
      let done = 0;
      let last = 0;
      for (const [index, length] of pieces.entries()) {
        const buffer = driver.allocate(length);
        driver.memory.copyIn(buffer, content.subarray(done, done + length));
        last = out.put(buffer, length, type(NORMAL) | (index === pieces.length - 1 ? IOC : CHAIN));
        done += length;
      }
      driver.ring(slot, OUT);
      expect(driver.take()).toMatchObject([
        { parameter: last, completion: SUCCESS, length: 0, endpoint: OUT },
      ]);
      expect(device.data).toEqual(content);
    }
    const [first, second] = [driver.allocate(512), driver.allocate(512)];
    input.put(first, 512, type(NORMAL) | CHAIN | ISP);
    const end = input.put(second, 512, type(NORMAL) | IOC | ISP);
    driver.ring(slot, IN);
    expect(driver.take()).toMatchObject([{ parameter: end, completion: SHORT_PACKET, length: 124 }]);
    expect(driver.bytes(first, 512)).toEqual(content.slice(0, 512));
    expect(driver.bytes(second, 388)).toEqual(content.slice(512));
  });

  test('that are short are told of where they end, and at the last TRB', () => {
    const { driver, device, slot, input } = withEndpoints();
    using _driver = driver;
    device.data = new Uint8Array(10);
    const short = input.put(driver.allocate(64), 64, type(NORMAL) | CHAIN | ISP);
    const last = input.put(driver.allocate(64), 64, type(NORMAL) | IOC);
    driver.ring(slot, IN);
    expect(driver.take()).toMatchObject([
      { parameter: short, completion: SHORT_PACKET, length: 54 },
      { parameter: last, completion: SHORT_PACKET, length: 64 },
    ]);
  });

  test('can have their data in the TRB, and events with data of the driver', () => {
    const { driver, device, slot, out } = withEndpoints();
    using _driver = driver;
    out.put(0x0403_0201, 4, type(NORMAL) | IDT | CHAIN);
    out.put(0x1234_5678_9abc, 0, type(EVENT_DATA) | IOC);
    driver.ring(slot, OUT);
    expect([...device.data]).toEqual([1, 2, 3, 4]);
    const [event] = driver.take();
    expect(event).toMatchObject({ parameter: 0x1234_5678_9abc, length: 4, completion: SUCCESS });
    expect((event?.control ?? 0) & 4).toBe(4);
  });

  test('end later than they begin, one after the other, and may be stopped meanwhile', () => {
    const { driver, device, addressed, slot, input } = withEndpoints();
    using _driver = driver;
    device.slow.add(0x81);
    device.data = Uint8Array.of(5, 6, 7);
    const buffers = [driver.allocate(3), driver.allocate(3)];
    const trbs = buffers.map((buffer) => input.put(buffer, 3, type(NORMAL) | IOC));
    driver.ring(slot, IN);
    expect(driver.take()).toEqual([]);
    device.finish(0x81);
    expect(driver.take()).toMatchObject([{ parameter: trbs[0], completion: SUCCESS }]);
    const abandoned = device.pending.get(0x81);
    driver.commands.put(0, 0, type(15) | (slot << 24) | (IN << 16));
    driver.ring(0);
    expect(driver.take()).toMatchObject([
      { type: TRANSFER_EVENT, parameter: trbs[1], completion: STOPPED, length: 3 },
      { type: 33, completion: SUCCESS },
    ]);
    expect(device.cancelled).toEqual([0x81]);
    expect(driver.endpointState(addressed, IN)).toBe(3);
    expect(driver.memory.readUint53(addressed.context + 0x20 * IN + 8)).toBe((trbs[1] ?? 0) + 1);
    // Who has given it up finds nothing written to its memory.
    expect(abandoned?.write(Uint8Array.of(1, 1, 1))).toBe(0);
    abandoned?.complete('success');
    expect(driver.take()).toEqual([]);
    expect([...driver.bytes(buffers[1] ?? 0, 3)]).toEqual([0, 0, 0]);
    device.slow.clear();
    driver.ring(slot, IN);
    expect(driver.take()).toMatchObject([{ parameter: trbs[1], completion: SUCCESS }]);
  });

  test('wait for the rest of what a driver has begun to write', () => {
    const { driver, device, slot, out } = withEndpoints();
    using _driver = driver;
    const buffer = driver.allocate(2);
    out.put(buffer, 1, type(NORMAL) | CHAIN);
    driver.ring(slot, OUT);
    expect([device.data.length, driver.take()]).toEqual([0, []]);
    out.put(buffer + 1, 1, type(NORMAL) | IOC);
    driver.ring(slot, OUT);
    expect([device.data.length, driver.take().length]).toEqual([2, 1]);
  });

  test('that are none put the endpoint into its error state', () => {
    const { driver, addressed, slot, out } = withEndpoints();
    using _driver = driver;
    const bad = out.put(0, 0, type(4) | IOC);
    driver.ring(slot, OUT);
    expect(driver.take()).toMatchObject([{ parameter: bad, completion: TRB_ERROR }]);
    expect(driver.endpointState(addressed, OUT)).toBe(4);
    const parameter = out.dequeue;
    expect(driver.run(16, { slot, endpoint: OUT, parameter }).completion).toBe(SUCCESS);
    const noOp = out.put(0, 0, type(8) | IOC);
    driver.ring(slot, OUT);
    expect(driver.take()).toMatchObject([{ parameter: noOp, completion: SUCCESS }]);
  });
});

describe('events', () => {
  test('interrupt once, and again when the handler did not come to their end', () => {
    using driver = new XhciDriver().start();
    const command = () => {
      driver.commands.put(0, 0, type(23));
      driver.ring(0);
    };
    command();
    command();
    expect([driver.line.level, driver.status & 8, driver.interrupter(0)]).toEqual([true, 8, 3]);
    driver.write(0x24, 8);
    driver.write(0x3020, 3); // Clears Interrupt Pending.
    expect([driver.line.level, driver.status & 8, driver.interrupter(0)]).toEqual([false, 0, 2]);
    command();
    expect(driver.line.level).toBe(false); // The handler is busy,
    expect(driver.events(2)).toHaveLength(2);
    driver.handled(); // and missed the third.
    expect(driver.line.level).toBe(true);
    expect(driver.take()).toHaveLength(1);
    expect(driver.line.level).toBe(false);
    driver.command = 1; // Without interrupts.
    command();
    expect([driver.line.level, driver.interrupter(0)]).toEqual([false, 3]);
    driver.command = 5;
    expect(driver.line.level).toBe(true);
  });

  test('wait for room in a ring that is full, and none is lost', () => {
    using driver = new XhciDriver().start(16);
    const trbs = Array.from({ length: 15 }, () => driver.commands.put(0, 0, type(23)));
    driver.ring(0);
    const found = driver.events();
    expect(found.slice(0, -1).map(({ completion }) => completion)).toEqual(found.slice(1).map(() => SUCCESS));
    expect(found.at(-1)).toMatchObject({ type: 37, completion: RING_FULL });
    driver.handled();
    const all = [...found, ...driver.take()].filter((event) => event.type === 33);
    expect(all.map(({ parameter }) => parameter)).toEqual(trbs);
  });
});

describe('hostile drivers', () => {
  test.each([
    ['commands', (driver: XhciDriver) => driver.write(0x38, 0xffff_0000)],
    ['contexts', (driver: XhciDriver) => driver.write(0x50, 0xffff_0000)],
  ])('a pointer to %s that is not in RAM halts the controller with a host system error', (what, spoil) => {
    const { driver } = withLoopback();
    using _driver = driver;
    spoil(driver);
    if (what === 'commands') {
      driver.command = 4;
      spoil(driver);
      driver.command = 5;
      driver.ring(0);
    } else {
      expect(() => driver.addressDevice(1)).toThrow('no completion');
    }
    expect(driver.status & 5).toBe(5);
    expect(driver.command & 1).toBe(0);
    expect(driver.faults).toHaveLength(1);
    driver.command = 2;
    expect(driver.status & 5).toBe(1);
  });

  test('links that only lead to links halt the controller', () => {
    using driver = new XhciDriver().start();
    const at = driver.commands.next;
    writeTrb(driver.memory, at, at, 0, type(6) | 1);
    driver.ring(0);
    expect(driver.status & 5).toBe(5);
    expect(driver.faults[0]).toContain('link');
  });

  test('a ring without an end keeps nobody else from working', async () => {
    const { driver, device, slot, out, input } = withEndpoints();
    using _driver = driver;
    const at = out.next;
    writeTrb(driver.memory, at, RAM, 4, type(NORMAL) | 1);
    writeTrb(driver.memory, at + 16, at, 0, type(6) | 1);
    driver.ring(slot, OUT);
    device.data = new Uint8Array(4);
    input.put(driver.allocate(4), 4, type(NORMAL) | IOC);
    driver.ring(slot, IN);
    const seen = async (): Promise<number> => {
      const found = driver
        .take()
        .filter(({ endpoint, type: kind }) => kind === TRANSFER_EVENT && endpoint === IN);
      if (found.length > 0) return found.length;
      await new Promise((resolve) => setImmediate(resolve));
      return seen();
    };
    expect(await seen()).toBe(1);
    expect(driver.run(15, { slot, endpoint: OUT }).completion).toBe(SUCCESS);
  });

  test('a transfer without an end is none', () => {
    const { driver, slot, out, addressed } = withEndpoints();
    using _driver = driver;
    const at = out.next;
    writeTrb(driver.memory, at, RAM, 4, type(NORMAL) | CHAIN | 1);
    writeTrb(driver.memory, at + 16, at, 0, type(6) | CHAIN | 1);
    driver.ring(slot, OUT);
    expect(driver.take()).toMatchObject([{ completion: TRB_ERROR }]);
    expect(driver.endpointState(addressed, OUT)).toBe(4);
  });

  test('whatever is in memory and registers, nothing throws, hangs or leaves RAM, and a reset helps', () => {
    const word = fc.oneof(
      fc.nat(0xffff_ffff),
      fc.nat(RAM_SIZE / 16 - 1).map((index) => RAM + 16 * index),
      fc.constantFrom(...Array.from({ length: 24 }, (_, kind) => type(kind) | 1)),
      fc.nat(24).map((kind) => type(kind) | CHAIN | IOC | ISP | 1 | (1 << 24) | (IN << 16)),
    );
    const step = fc.oneof(
      fc.record({ where: fc.nat(0x1ff), value: word, ring: fc.constant(-1) }),
      fc.record({
        where: fc.oneof(
          fc.constantFrom(0x20, 0x24, 0x38, 0x3c, 0x50, 0x54, 0x420, 0x3020, 0x3028, 0x3030, 0x3038, 0x303c),
          fc.nat(0xffff),
        ),
        value: word,
        ring: fc.constant(-2),
      }),
      fc.record({ where: fc.nat(3), value: fc.nat(17), ring: fc.nat(31) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { driver, out, addressed } = withEndpoints();
        using _driver = driver;
        const places = [out.base, driver.commands.base, addressed.input, addressed.context];
        for (const { where, value, ring } of steps) {
          if (ring === -2) driver.write(where & ~3, value);
          else if (ring === -1) driver.memory.writeUint32((places[where & 3] ?? RAM) + (where & ~3), value);
          else driver.ring(value, ring);
          driver.read(where & ~3);
        }
        driver.command = 2;
        expect([driver.command, driver.status & 5]).toEqual([0, 1]);
        driver.start();
        expect(driver.status & 5).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
