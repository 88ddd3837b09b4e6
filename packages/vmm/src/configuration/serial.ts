import { type ConsoleSize, DEBUGCON_PORT, type PciAddress } from '@tsvmm/devices';
import { checkOneOf, checkPath, checkWord, quote } from './checks.ts';
import { ConfigurationError, type ConfigurationErrorCode } from './error.ts';

const SERIAL_TYPES = ['file', 'stdout', 'sink', 'syslog', 'unix', 'unix-stream'] as const;
const SERIAL_HARDWARE = ['serial', 'virtio-console', 'debugcon'] as const;

/** How many PC-style serial ports every machine has: COM1 to COM4. */
export const SERIAL_PORTS = 4;
/** Most consoles of each kind. */
const MAX_NUM = { serial: SERIAL_PORTS, 'virtio-console': 16, debugcon: 1 } as const;

/** Longest virtqueue (virtio 1.3, section 2.7). */
const MAX_QUEUE_SIZE = 32_768;

/** Where the output of a console goes. */
export type SerialType = (typeof SERIAL_TYPES)[number];

/** The device that the guest sees: a 16550A UART, a virtio-console, or the port for the debug messages of a PC's firmware. */
export type SerialHardware = (typeof SERIAL_HARDWARE)[number];

/** One console of the guest and what it is connected to on the host. */
export interface SerialConfiguration {
  /** Where output goes; default `sink`, which discards it. */
  readonly type?: SerialType;
  /** The guest's device; default `serial`. */
  readonly hardware?: SerialHardware;
  /**
   * Which one of its kind, from 1: `serial` 1 to 4 are COM1 to COM4 (ttyS0 to ttyS3), and there is one `debugcon`; default 1.
   */
  readonly num?: number;
  /** The file (created, or appended to) or the socket to connect to, for the types `file`, `unix` and `unix-stream`. */
  readonly path?: string;
  /** A file, FIFO or terminal device whose bytes are the console's input. */
  readonly input?: string;
  /** With type `unix-stream`: what the socket sends is the console's input; default false. */
  readonly inputUnixStream?: boolean;
  /** Take input from the process's standard input; at most one console may; default false. */
  readonly stdin?: boolean;
  /** I/O port of a `debugcon`; default 0x402. */
  readonly debugconPort?: number;
  /**
   * For `virtio-console`: makes it a port of that name, of the one device that all named ones share. The guest finds it in
   * `/sys/class/virtio-ports`; it is a terminal (hvc) with `console`, else `/dev/vportNpM`.
   */
  readonly name?: string;
  /** For a `virtio-console` without a name: its place on PCI bus 0; default the first that is free. */
  readonly pciAddress?: PciAddress;
  /** For a `virtio-console` without a name: size of the terminal at it. With standard input, the machine's user can change it. */
  readonly size?: ConsoleSize;
  /** For `serial`: writes the host's time in front of each line of its output; default false. */
  readonly outTimestamp?: boolean;
  /**
   * For a `virtio-console` without a name: most entries of its queues for input and for output, powers of two from 2 to 32768;
   * default 256.
   */
  readonly maxQueueSizes?: readonly number[];
  /** Make it a console of the kernel (`console=`); default false. */
  readonly console?: boolean;
  /** Make it the early console (`earlycon=`); only for `serial`, at most one; default false. */
  readonly earlycon?: boolean;
}

/** A console with nothing left open. */
export interface ResolvedSerial {
  readonly type: SerialType;
  readonly hardware: SerialHardware;
  readonly num: number;
  readonly path: string | undefined;
  readonly input: string | undefined;
  readonly inputUnixStream: boolean;
  readonly stdin: boolean;
  readonly debugconPort: number;
  readonly name: string | undefined;
  readonly pciAddress: PciAddress | undefined;
  readonly size: ConsoleSize | undefined;
  readonly outTimestamp: boolean;
  readonly maxQueueSizes: readonly [number, number] | undefined;
  readonly console: boolean;
  readonly earlycon: boolean;
}

/**
 * Checks what a configuration says of consoles, and adds the serial ports that are missing.
 *
 * @param hasConsole the machine has a console beside these
 * @throws ConfigurationError
 */
export function resolveSerials(
  given: readonly SerialConfiguration[],
  hasConsole: boolean,
): readonly ResolvedSerial[] {
  const serials = given.map(resolveSerial);
  checkOneOf('serials', serials, (port) => port.stdin, 'only one console can read standard input');
  checkOneOf('serials', serials, (port) => port.earlycon, 'only one console can be the early console');
  const byPort = new Map<string, ResolvedSerial>();
  const names = new Set<string>();
  for (const [index, serial] of serials.entries()) {
    const key = `${serial.hardware} ${serial.num}`;
    if (byPort.has(key)) {
      throw new ConfigurationError(
        'DUPLICATE',
        'serials',
        `there are two consoles with hardware ${serial.hardware} and num ${serial.num}; give one of them another num`,
        { index },
      );
    }
    byPort.set(key, serial);
    if (serial.name === undefined) continue;
    if (names.has(serial.name)) {
      throw new ConfigurationError(
        'DUPLICATE',
        'serials',
        `there are two consoles with the name ${serial.name}; give one of them another`,
        { index },
      );
    }
    names.add(serial.name);
  }
  if (!hasConsole && !serials.some((serial) => serial.console) && !byPort.has('serial 1')) {
    // Without a console the guest would be mute; COM1 speaks unless the caller gave it something else to do.
    const stdin = !serials.some((serial) => serial.stdin);
    byPort.set('serial 1', { ...sink(1), type: 'stdout', console: true, stdin });
  }
  for (let num = 1; num <= SERIAL_PORTS; num++) {
    const key = `serial ${num}`;
    if (!byPort.has(key)) byPort.set(key, sink(num));
  }
  return [...byPort.values()].sort((a, b) => compareNames(a.hardware, b.hardware) || a.num - b.num);
}

/** Not localeCompare, for which Node loads ICU's collation: a tenth of what is done until the kernel starts. */
function compareNames(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

function sink(num: number): ResolvedSerial {
  return {
    type: 'sink',
    hardware: 'serial',
    num,
    path: undefined,
    input: undefined,
    inputUnixStream: false,
    stdin: false,
    debugconPort: DEBUGCON_PORT,
    name: undefined,
    pciAddress: undefined,
    size: undefined,
    outTimestamp: false,
    maxQueueSizes: undefined,
    console: false,
    earlycon: false,
  };
}

function resolveSerial(serial: SerialConfiguration, index: number): ResolvedSerial {
  const fail = (code: ConfigurationErrorCode, message: string): never => {
    throw new ConfigurationError(code, 'serials', message, { index });
  };
  const resolved: ResolvedSerial = {
    type: checkWord('serials', serial.type ?? 'sink', SERIAL_TYPES, "a console's type", index),
    hardware: checkWord(
      'serials',
      serial.hardware ?? 'serial',
      SERIAL_HARDWARE,
      "a console's hardware",
      index,
    ),
    num: serial.num ?? 1,
    path:
      serial.path === undefined
        ? undefined
        : checkPath('serials', serial.path, "a console's output needs the path of a file", index),
    input:
      serial.input === undefined
        ? undefined
        : checkPath('serials', serial.input, "a console's input needs the path of a file", index),
    inputUnixStream: serial.inputUnixStream ?? false,
    stdin: serial.stdin ?? false,
    debugconPort: serial.debugconPort ?? DEBUGCON_PORT,
    name: serial.name,
    pciAddress: serial.pciAddress,
    size: serial.size,
    outTimestamp: serial.outTimestamp ?? false,
    maxQueueSizes: serial.maxQueueSizes && checkQueueSizes(serial.maxQueueSizes, fail),
    console: serial.console ?? false,
    earlycon: serial.earlycon ?? false,
  };
  const { type, hardware, num, path } = resolved;
  const maxNum = MAX_NUM[hardware];
  if (!Number.isSafeInteger(num) || num < 1 || num > maxNum) {
    fail('OUT_OF_RANGE', `num of a ${hardware} is from 1 to ${maxNum}; ${num} is not possible`);
  }
  const takesPath = type === 'file' || type === 'unix' || type === 'unix-stream';
  if (takesPath && path === undefined) fail('CONFLICT', `type ${type} needs a path`);
  if (!takesPath && path !== undefined) {
    fail('CONFLICT', `type ${type} has no use for the path ${quote(path)}; remove it, or use type file`);
  }
  if (resolved.earlycon && hardware !== 'serial') {
    fail('CONFLICT', `only hardware serial can be the early console; ${hardware} comes up too late for it`);
  }
  checkPort(resolved, fail);
  if (hardware === 'debugcon') checkDebugcon(resolved, fail);
  if (resolved.inputUnixStream && type !== 'unix-stream') {
    fail('CONFLICT', `input from a stream socket needs type unix-stream, not ${type}`);
  }
  const inputs = [resolved.stdin, resolved.input !== undefined, resolved.inputUnixStream];
  if (inputs.filter(Boolean).length > 1) {
    fail(
      'CONFLICT',
      'a console has one input: choose one of standard input, the input file and the stream socket',
    );
  }
  return resolved;
}

/** @throws ConfigurationError OUT_OF_RANGE */
export function checkConsoleSize({ columns, rows }: ConsoleSize): void {
  for (const count of [columns, rows]) {
    if (Number.isInteger(count) && count >= 1 && count <= 0xffff) continue;
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'serials',
      `a terminal has from 1 to 65535 columns and rows, not ${count}`,
    );
  }
}

function checkPort(
  { hardware, name, pciAddress, size, maxQueueSizes, outTimestamp }: ResolvedSerial,
  fail: (code: ConfigurationErrorCode, message: string) => never,
): void {
  const isPlain = name === undefined && pciAddress === undefined && size === undefined;
  if (hardware !== 'virtio-console' && !isPlain) {
    fail('CONFLICT', `only a virtio-console has a name, a PCI address or a size, not a ${hardware}`);
  }
  if (hardware !== 'virtio-console' && maxQueueSizes !== undefined) {
    fail('CONFLICT', `only a virtio-console has queues, not a ${hardware}`);
  }
  if (hardware !== 'serial' && outTimestamp) {
    fail('CONFLICT', `only hardware serial writes the time in front of lines, not a ${hardware}`);
  }
  if (size !== undefined) checkConsoleSize(size);
  if (name === undefined) return;
  if (pciAddress !== undefined || size !== undefined || maxQueueSizes !== undefined) {
    fail(
      'CONFLICT',
      'consoles with names are ports of one device, which has no address, size or queues of their choice',
    );
  }
  // It becomes the name of a file where the guest has udev.
  if (!/^[\w.:+-]{1,255}$/.test(name)) {
    fail('INVALID_VALUE', `the name ${quote(name)} is not 1 to 255 letters, digits, and any of . _ : + -`);
  }
}

/** The queues for input and for output. */
function checkQueueSizes(
  sizes: readonly number[],
  fail: (code: ConfigurationErrorCode, message: string) => never,
): readonly [number, number] {
  const [receive = 0, transmit = 0] = sizes;
  if (sizes.length !== 2) {
    return fail(
      'OUT_OF_RANGE',
      `a virtio-console has a queue for input and one for output, not ${sizes.length}`,
    );
  }
  for (const size of sizes) {
    if (Number.isInteger(Math.log2(size)) && size >= 2 && size <= MAX_QUEUE_SIZE) continue;
    fail('OUT_OF_RANGE', `the size of a queue is a power of two from 2 to ${MAX_QUEUE_SIZE}, not ${size}`);
  }
  return [receive, transmit];
}

function checkDebugcon(
  { debugconPort, console, stdin, input, inputUnixStream }: ResolvedSerial,
  fail: (code: ConfigurationErrorCode, message: string) => never,
): void {
  if (!Number.isInteger(debugconPort) || debugconPort < 0 || debugconPort > 0xffff) {
    fail('OUT_OF_RANGE', `a debugcon is at an I/O port from 0 to 65535, not ${debugconPort}`);
  }
  if (console || stdin || inputUnixStream || input !== undefined) {
    fail('CONFLICT', 'a debugcon only has output, and no kernel makes it its console');
  }
}
