import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, KEYBOARD_REPORT_LENGTH, UsbKeyboard } from '../src/index.ts';
import { IOC, type, XhciDriver } from './support/xhci-driver.ts';

const SUCCESS = 1;
const STALL = 6;
const SHORT_PACKET = 13;
const INTERRUPT_IN = 7;
/** Device context index of endpoint 1, towards the host. */
const IN = 3;

/** A keyboard at port 1, with an address. */
function plugIn() {
  const [reports, leds] = [ByteRing.create(64), ByteRing.create(16)];
  const keyboard = new UsbKeyboard(reports, leds);
  const driver = new XhciDriver({ 1: keyboard }, [UsbKeyboard.describe(reports, leds)]).start();
  driver.take();
  const addressed = driver.addressDevice(1);
  /** A control transfer; the last event says how it ended. */
  const control = (setup: readonly number[], length: number, data?: Uint8Array) => {
    const { buffer } = driver.putControl(addressed.control, setup, length, data);
    driver.ring(addressed.slot, 1);
    const events = driver.take();
    const short = events.find(({ completion }) => completion === SHORT_PACKET);
    return {
      completion: events.at(-1)?.completion,
      bytes: [...driver.bytes(buffer, length - (short?.length ?? 0))],
    };
  };
  return { driver, reports, leds, addressed, control };
}

test('describes itself as USB 2.0, chapter 9, and HID 1.11 have it', () => {
  const { driver, control } = plugIn();
  using _driver = driver;
  expect(driver.port(1) & (0xf << 10)).toBe(1 << 10); // Full speed.
  const descriptor = (number: number, index: number, length: number) =>
    control([0x80, 6, index, number, 0, 0], length).bytes;
  expect(descriptor(1, 0, 8)).toEqual([18, 1, 0, 2, 0, 0, 0, 64]);
  const device = descriptor(1, 0, 64);
  expect([device.length, device.at(-1)]).toEqual([18, 1]);
  const configuration = descriptor(2, 0, 255);
  expect(configuration).toHaveLength(9 + 9 + 9 + 7);
  expect(configuration.slice(2, 6)).toEqual([34, 0, 1, 1]);
  expect(configuration.slice(9, 18)).toEqual([9, 4, 0, 0, 1, 3, 1, 1, 0]); // HID, boot interface, keyboard.
  expect(configuration.slice(27)).toEqual([7, 5, 0x81, 3, 8, 0, 10]);
  expect(descriptor(3, 0, 255)).toEqual([4, 3, 0x09, 0x04]);
  const product = descriptor(3, 2, 255);
  expect(Buffer.from(product.slice(2)).toString('utf16le')).toBe('Keyboard');
  const report = control([0x81, 6, 0, 0x22, 0, 0], 255).bytes;
  expect(report).toHaveLength(configuration[25] ?? 0);
  expect(report.slice(0, 4)).toEqual([0x05, 0x01, 0x09, 0x06]);
  expect(control([0x80, 6, 0, 6, 0, 0], 10).completion).toBe(STALL); // No other speed.
});

test('is configured, sends reports when there are some, and takes LEDs', async () => {
  const { driver, reports, leds, addressed, control } = plugIn();
  using _driver = driver;
  expect(control([0x00, 9, 1, 0, 0, 0], 0).completion).toBe(SUCCESS);
  expect(control([0x80, 8, 0, 0, 0, 0], 1).bytes).toEqual([1]);
  expect(control([0x21, 10, 0, 0, 0, 0], 0).completion).toBe(SUCCESS);
  const { ring, completion } = driver.configure(addressed, IN, INTERRUPT_IN, KEYBOARD_REPORT_LENGTH);
  expect(completion).toBe(SUCCESS);
  const buffers = [driver.allocate(8), driver.allocate(8)];
  for (const buffer of buffers) ring.put(buffer, 8, type(1) | IOC);
  driver.ring(addressed.slot, IN);
  expect(driver.take()).toEqual([]);
  const pressed = Uint8Array.of(2, 0, 4, 0, 0, 0, 0, 0);
  // In pieces, as a stream may bring it.
  reports.write(pressed.subarray(0, 3));
  await new Promise((resolve) => setImmediate(resolve));
  reports.write(pressed.subarray(3));
  while (!driver.line.level) await new Promise((resolve) => setImmediate(resolve));
  expect(driver.take()).toMatchObject([{ completion: SUCCESS, length: 0, endpoint: IN }]);
  expect(driver.bytes(buffers[0] ?? 0, 8)).toEqual(pressed);
  expect(control([0xa1, 1, 0, 1, 0, 0], 8).bytes).toEqual([...pressed]);
  expect(control([0x21, 9, 0, 2, 0, 0], 1, Uint8Array.of(0b10)).completion).toBe(SUCCESS);
  expect(leds.shift()).toBe(0b10);
  reports.write(new Uint8Array(8));
  while (!driver.line.level) await new Promise((resolve) => setImmediate(resolve));
  expect(driver.take()).toHaveLength(1);
});

test('whatever it is asked for, it answers or stalls', () => {
  const { reports, leds } = plugIn();
  const keyboard = new UsbKeyboard(reports, leds);
  fc.assert(
    fc.property(fc.array(fc.nat(0xff), { minLength: 8, maxLength: 8 }), (bytes) => {
      const setup = new DataView(Uint8Array.from(bytes).buffer);
      const ended: string[] = [];
      keyboard.control(
        {
          requestType: setup.getUint8(0),
          request: setup.getUint8(1),
          value: setup.getUint16(2, true),
          index: setup.getUint16(4, true),
          length: setup.getUint16(6, true),
        },
        {
          length: setup.getUint16(6, true),
          read: (target) => target.length,
          write: (source) => {
            expect(source.length).toBeLessThanOrEqual(setup.getUint16(6, true));
            return source.length;
          },
          complete: (status) => ended.push(status),
        },
      );
      expect(ended).toHaveLength(1);
    }),
  );
});
