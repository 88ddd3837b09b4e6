import { ByteRing } from '../../serial/byte-ring.ts';
import { bytes16, DescriptorType } from '../descriptors.ts';
import type { UsbDevice, UsbSetup, UsbTransfer } from '../device.ts';
import type { UsbDeviceDescriptor } from '../devices.ts';
import { RequestType, StandardRequests } from '../standard-requests.ts';

/** Bytes of a boot report (HID 1.11, appendix B.1): modifiers, one that is reserved, and six keys that are down. */
export const KEYBOARD_REPORT_LENGTH = 8;

const IDENTITY = {
  // Those that pid.codes keeps for devices that are only tested with.
  vendorId: 0x1209,
  productId: 0x0001,
  manufacturer: 'tsvmm',
  product: 'Keyboard',
  serialNumber: '1',
};

/** What a report's bits mean (HID 1.11, appendix B.1). */
const REPORT_DESCRIPTOR = Uint8Array.of(
  ...[0x05, 0x01, 0x09, 0x06, 0xa1, 0x01], // Generic Desktop, Keyboard, Application:
  ...[0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01], // modifier keys, 224 to 231, down or not,
  ...[0x75, 0x01, 0x95, 0x08, 0x81, 0x02], // a bit each;
  ...[0x95, 0x01, 0x75, 0x08, 0x81, 0x01], // a byte that is reserved;
  ...[0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02], // towards it five LEDs,
  ...[0x95, 0x01, 0x75, 0x03, 0x91, 0x01], // and what fills up their byte;
  ...[0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00], // six keys.
  0xc0,
);

const HID_CLASS = 3;
const BOOT_INTERFACE = 1;
const KEYBOARD_PROTOCOL = 1;
const HID_DESCRIPTOR = 0x21;
const HID_REPORT_DESCRIPTOR = 0x22;
const HID_1_11 = 0x0111;
const ENDPOINT_IN = 0x81;
const INTERRUPT = 3;
/** Frames of a millisecond between two looks at the endpoint. */
const INTERVAL = 10;

const INTERFACE = Uint8Array.of(
  ...[9, DescriptorType.interface, 0, 0, 1, HID_CLASS, BOOT_INTERFACE, KEYBOARD_PROTOCOL, 0],
);
const HID = Uint8Array.of(
  ...[9, HID_DESCRIPTOR, ...bytes16(HID_1_11), 0, 1, HID_REPORT_DESCRIPTOR],
  ...bytes16(REPORT_DESCRIPTOR.length),
);
const ENDPOINT = Uint8Array.of(
  ...[7, DescriptorType.endpoint, ENDPOINT_IN, INTERRUPT, ...bytes16(KEYBOARD_REPORT_LENGTH), INTERVAL],
);

/** Requests of the class (HID 1.11, section 7.2). */
const Request = {
  getReport: 1,
  getIdle: 2,
  getProtocol: 3,
  setReport: 9,
  setIdle: 10,
  setProtocol: 11,
} as const;
const GET_DESCRIPTOR = 6;
const NOTHING = new Uint8Array(0);
const REPORT_PROTOCOL = 1;

/** A keyboard by the boot protocol, which firmware understands, too. Keys come as reports from a ring, 8 bytes each. */
export class UsbKeyboard implements UsbDevice {
  readonly speed = 'full';
  readonly #reports: ByteRing;
  readonly #leds: ByteRing;
  readonly #standard = new StandardRequests(IDENTITY, [INTERFACE, HID, ENDPOINT]);
  /** The last one that the host got. */
  readonly #report = new Uint8Array(KEYBOARD_REPORT_LENGTH);
  /** The next one, as far as it has come. */
  readonly #incoming = new Uint8Array(KEYBOARD_REPORT_LENGTH);
  #gathered = 0;
  #protocol = REPORT_PROTOCOL;
  #idle = 0;
  /** The host's question for a report, which waits until there is one. */
  #pending: UsbTransfer | undefined;
  #waitsForReports = false;

  /**
   * @param reports where reports come from
   * @param leds where a byte goes when the guest switches LEDs
   */
  constructor(reports: ByteRing, leds: ByteRing) {
    this.#reports = reports;
    this.#leds = leds;
  }

  /** Plain data to open one from, on the thread that speaks for it. */
  static describe(reports: ByteRing, leds: ByteRing): UsbDeviceDescriptor {
    return { kind: 'keyboard', speed: 'full', reports: reports.state, leds: leds.state };
  }

  static open({ reports, leds }: UsbDeviceDescriptor): UsbKeyboard {
    return new UsbKeyboard(new ByteRing(reports), new ByteRing(leds));
  }

  reset(): void {
    this.#pending = undefined;
    this.#protocol = REPORT_PROTOCOL;
    this.#idle = 0;
    this.#standard.reset();
  }

  control(setup: UsbSetup, transfer: UsbTransfer): void {
    const answer = this.#answer(setup, transfer);
    if (!answer) transfer.complete('stall', 0);
    else if ((setup.requestType & RequestType.in) === 0) transfer.complete('success');
    else transfer.complete('success', transfer.write(answer.subarray(0, setup.length)));
  }

  transfer(endpoint: number, transfer: UsbTransfer): void {
    if (endpoint !== ENDPOINT_IN) {
      transfer.complete('stall', 0);
      return;
    }
    this.#pending = transfer;
    this.#sendReport();
  }

  cancel(endpoint: number): void {
    if (endpoint === ENDPOINT_IN) this.#pending = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pending = undefined;
  }

  #answer(setup: UsbSetup, transfer: UsbTransfer): Uint8Array | undefined {
    const { requestType, request, value } = setup;
    const type = requestType & RequestType.typeMask;
    if (type === RequestType.class) return this.#answerClass(setup, transfer);
    if (type !== 0) return undefined;
    if (request === GET_DESCRIPTOR && (requestType & RequestType.interface) !== 0) {
      if (value >>> 8 === HID_REPORT_DESCRIPTOR) return REPORT_DESCRIPTOR;
      return value >>> 8 === HID_DESCRIPTOR ? HID : undefined;
    }
    return this.#standard.answer(setup);
  }

  #answerClass({ request, value }: UsbSetup, transfer: UsbTransfer): Uint8Array | undefined {
    switch (request) {
      case Request.getReport:
        return this.#report;
      case Request.getIdle:
        return Uint8Array.of(this.#idle);
      case Request.getProtocol:
        return Uint8Array.of(this.#protocol);
      case Request.setIdle:
        // Reports are sent when something changes, however often the host wants to hear that nothing does.
        this.#idle = value >>> 8;
        return NOTHING;
      case Request.setProtocol:
        this.#protocol = value & 1;
        return NOTHING;
      case Request.setReport: {
        const leds = new Uint8Array(1);
        if (transfer.read(leds) === 1) this.#leds.write(leds);
        return NOTHING;
      }
      default:
        return undefined;
    }
  }

  #sendReport(): void {
    const transfer = this.#pending;
    if (!transfer) return;
    // What comes in pieces is put together here: whoever waits for a ring wants it empty.
    while (this.#gathered < KEYBOARD_REPORT_LENGTH && this.#reports.available > 0) {
      this.#incoming[this.#gathered++] = this.#reports.shift();
    }
    if (this.#gathered < KEYBOARD_REPORT_LENGTH) {
      this.#awaitReports();
      return;
    }
    this.#gathered = 0;
    this.#report.set(this.#incoming);
    this.#pending = undefined;
    transfer.complete('success', transfer.write(this.#report));
  }

  #awaitReports(): void {
    if (this.#waitsForReports || this.#reports.closed) return;
    this.#waitsForReports = true;
    void this.#reports.dataAvailable().then(() => {
      this.#waitsForReports = false;
      this.#sendReport();
    });
  }
}
