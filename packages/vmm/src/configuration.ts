/**
 * What a virtual machine is made of, as plain data: it can be written as JSON, sent to a worker, compared and stored.
 *
 * `VirtualMachineConfiguration` is what callers write; everything but the kernel has a default.
 * `validateConfiguration` checks the rules that span several fields, fills in the defaults, and returns a
 * `ResolvedConfiguration` in which nothing is left open. It looks at no file: `checkConfigurationFiles` does.
 */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { type ConsoleSize, DEBUGCON_PORT, type PciAddress } from '@tsvmm/devices';
import { type BoardConfiguration, type ResolvedBoard, resolveBoard } from './board-configuration.ts';
import { ConfigurationError, type ConfigurationErrorCode } from './configuration-error.ts';
import { type InputConfiguration, type ResolvedInput, resolveInputs } from './input-configuration.ts';
import { checkSandbox, resolveSandbox, type SandboxConfiguration } from './sandbox-configuration.ts';
import {
  type ResolvedVhostUser,
  resolveVhostUser,
  type VhostUserConfiguration,
} from './vhost-user-configuration.ts';

const ARCHITECTURES = ['x86_64', 'aarch64', 'riscv64'] as const;
const SERIAL_TYPES = ['file', 'stdout', 'sink', 'syslog', 'unix', 'unix-stream'] as const;
const SERIAL_HARDWARE = ['serial', 'virtio-console', 'debugcon'] as const;
const ASYNC_EXECUTORS = ['auto', 'uring', 'epoll'] as const;
const HYPERVISORS = ['auto', 'soft', 'kvm'] as const;

/** Instruction sets a guest can be made of, by the name Linux uses for them. */
export type Architecture = (typeof ARCHITECTURES)[number];

/** Guest memory when none is asked for, in MiB. */
export const DEFAULT_MEMORY_MIB = 256;
/** The least memory, in MiB, in which a Linux kernel gets as far as saying what it lacks. */
export const MIN_MEMORY_MIB = 32;
/** Most memory, in MiB (4 TiB): guest-physical addresses and host offsets stay exact and mappable below it. */
export const MAX_MEMORY_MIB = 4 * 1024 * 1024;
/** Most CPUs: CPU numbers have to fit into an 8-bit APIC id, of which 255 is the broadcast. */
export const MAX_CPUS = 254;
/** Longest disk serial number in bytes (virtio 1.3, section 5.2.6.1, VIRTIO_BLK_T_GET_ID). */
export const MAX_BLOCK_ID_BYTES = 20;
/** How many PC-style serial ports every machine has: COM1 to COM4. */
export const SERIAL_PORTS = 4;
/** Longest kernel command line in bytes that is accepted before the board has added its own parameters. */
export const MAX_PARAMS_BYTES = 4096;

const MIB = 1024 * 1024;
const SECTOR_BYTES = 512;
const MAX_BLOCK_SIZE = 64 * 1024;
/** Most consoles of each kind. */
const MAX_NUM = { serial: SERIAL_PORTS, 'virtio-console': 16, debugcon: 1 } as const;

/** Guest memory. */
export interface MemoryConfiguration {
  /** Size in MiB; default `DEFAULT_MEMORY_MIB`. */
  readonly sizeMiB?: number;
  /** How much of it the guest has at first, in MiB: the balloon holds the rest. Default all of it. */
  readonly initialMiB?: number;
}

/** Virtual CPUs. */
export interface CpusConfiguration {
  /** How many; default 1. */
  readonly count?: number;
}

/** A virtio-blk disk. The first one is /dev/vda in the guest, the next /dev/vdb, and so on. */
export interface BlockConfiguration {
  /** Image file or block device on the host. */
  readonly path: string;
  /** Refuse the guest's writes; default false. */
  readonly readOnly?: boolean;
  /** Mount this disk as the root file system: adds `root=/dev/vdX ro|rw` to the kernel's parameters. At most one. */
  readonly root?: boolean;
  /** Give what the guest discards back to the host; default true. */
  readonly sparse?: boolean;
  /** Serial number that the guest can read, up to 20 bytes of UTF-8; it appears in /dev/disk/by-id. */
  readonly id?: string;
  /** Logical block size told to the guest, in bytes; a power of two of at least 512; default 512. */
  readonly blockSize?: number;
  /** Bypass the host's page cache; default false. */
  readonly direct?: boolean;
  /** Refuse an image that another program uses; default true. */
  readonly lock?: boolean;
  /** Offer packed virtqueues; default false. */
  readonly packedQueue?: boolean;
  /** What its I/O runs on; default `asyncExecutor` of the machine. */
  readonly asyncExecutor?: AsyncExecutor;
}

/** What disks' I/O runs on: Linux's io_uring, threads with epoll, or the first of these that the host has. */
export type AsyncExecutor = (typeof ASYNC_EXECUTORS)[number];

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
  /** Make it a console of the kernel (`console=`); default false. */
  readonly console?: boolean;
  /** Make it the early console (`earlycon=`); only for `serial`, at most one; default false. */
  readonly earlycon?: boolean;
}

/** A memory balloon. */
export interface BalloonConfiguration {
  /** Let the guest report free pages, whose memory the host takes until the guest uses them; default false. */
  readonly pageReporting?: boolean;
}

/** What executes the guest's instructions. */
export type HypervisorConfiguration =
  /** The host's hardware if it can run the guest's architecture, else software. */
  | { readonly kind: 'auto' }
  /** Software CPUs, which run everywhere. */
  | { readonly kind: 'soft' }
  /** Linux KVM, through `device` (default /dev/kvm). */
  | { readonly kind: 'kvm'; readonly device?: string };

/** A virtual machine, as plain data. */
export interface VirtualMachineConfiguration extends BoardConfiguration {
  /** Path of the kernel image; needed unless the machine starts from firmware ({@link BoardConfiguration.bios}). */
  readonly kernel?: string;
  /** Path of the initial RAM disk. */
  readonly initrd?: string;
  /** Kernel parameters, joined with spaces in this order. */
  readonly params?: readonly string[];
  readonly memory?: MemoryConfiguration;
  readonly cpus?: CpusConfiguration;
  readonly blocks?: readonly BlockConfiguration[];
  /** What disks' I/O runs on; default `auto`. */
  readonly asyncExecutor?: AsyncExecutor;
  /**
   * Consoles. If none has `console: true` and COM1 is not configured, COM1 becomes the console on standard output
   * and input; whichever of COM1 to COM4 are then missing discard what is written to them.
   */
  readonly serials?: readonly SerialConfiguration[];
  /** Devices whose back ends are other programs. */
  readonly vhostUser?: readonly VhostUserConfiguration[];
  /** Milliseconds to wait for a back end of `vhostUser` that is not there yet; default 0. */
  readonly vhostUserConnectTimeLimit?: number;
  /** Keyboards, mice and what else events come from. */
  readonly inputs?: readonly InputConfiguration[];
  /** Give the guest a source of random numbers (virtio-rng); default true. */
  readonly rng?: boolean;
  /** Have a memory balloon (virtio-balloon), with which the host takes memory from the guest; default true. */
  readonly balloon?: boolean | BalloonConfiguration;
  /** How the processes of virtio devices are confined; `false`: devices are served by a thread of this process. */
  readonly sandbox?: SandboxConfiguration | false;
  /** A name for people and tools. */
  readonly name?: string;
  /** Default `{ kind: 'auto' }`. */
  readonly hypervisor?: HypervisorConfiguration;
  /** Default: the one the kernel image is made for; with firmware, the host's. */
  readonly architecture?: Architecture;
}

/** A disk with nothing left open. */
export interface ResolvedBlock {
  readonly path: string;
  readonly readOnly: boolean;
  readonly root: boolean;
  readonly sparse: boolean;
  readonly id: string | undefined;
  readonly blockSize: number;
  readonly direct: boolean;
  readonly lock: boolean;
  readonly packedQueue: boolean;
  readonly asyncExecutor: AsyncExecutor;
  /** The guest's name of it: vda, vdb, … vdz, vdaa. */
  readonly guestName: string;
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
  readonly console: boolean;
  readonly earlycon: boolean;
}

/** A checked configuration with every default filled in. */
export interface ResolvedConfiguration extends ResolvedBoard {
  /** Undefined with firmware. */
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  /** The caller's parameters followed by `root=` of the root disk. The board adds `console=` and `earlycon=`. */
  readonly params: readonly string[];
  readonly memory: { readonly sizeMiB: number; readonly initialMiB: number };
  readonly cpus: { readonly count: number };
  readonly blocks: readonly ResolvedBlock[];
  /** COM1 to COM4 first, in order, then the virtio-consoles by number. */
  readonly serials: readonly ResolvedSerial[];
  readonly rng: boolean;
  readonly sandbox: SandboxConfiguration | false;
  readonly inputs: readonly ResolvedInput[];
  readonly vhostUser: readonly ResolvedVhostUser[];
  readonly vhostUserConnectTimeLimit: number;
  readonly balloon: Required<BalloonConfiguration> | undefined;
  readonly name: string | undefined;
  readonly hypervisor: HypervisorConfiguration;
  /** Undefined: the one the kernel image is made for. */
  readonly architecture: Architecture | undefined;
}

/** The fields of a configuration, for `ConfigurationError.option`. */
export type ConfigurationOption = keyof VirtualMachineConfiguration;

/** The guest's name of the virtio-blk disk at `index`: vda to vdz, then vdaa, vdab, and so on. */
export function blockDeviceName(index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCharCode(97 + (rest % 26)) + letters;
  }
  return `vd${letters}`;
}

/**
 * Checks a configuration and fills in its defaults, without looking at any file.
 *
 * @throws {ConfigurationError} naming the first field that is wrong
 */
export function validateConfiguration(configuration: VirtualMachineConfiguration): ResolvedConfiguration {
  const executor = checkWord(
    'asyncExecutor',
    configuration.asyncExecutor ?? 'auto',
    ASYNC_EXECUTORS,
    'the async executor',
  );
  const blocks = (configuration.blocks ?? []).map((block, index) => resolveBlock(block, index, executor));
  checkOneOf(
    'blocks',
    blocks,
    (block) => block.root,
    'only one disk can be the root: remove root from the others',
  );
  return {
    ...resolveBoard(configuration),
    kernel:
      configuration.kernel === undefined
        ? undefined
        : checkPath('kernel', configuration.kernel, 'the kernel'),
    initrd:
      configuration.initrd === undefined
        ? undefined
        : checkPath('initrd', configuration.initrd, 'the initrd'),
    params: resolveParams(configuration.params ?? [], blocks),
    memory: resolveMemory(configuration.memory ?? {}, configuration.balloon !== false),
    cpus: { count: resolveCpus(configuration.cpus?.count ?? 1) },
    blocks,
    serials: resolveSerials(
      configuration.serials ?? [],
      configuration.vhostUser?.some(({ type }) => type === 'console') ?? false,
    ),
    rng: configuration.rng ?? true,
    sandbox: resolveSandbox(configuration.sandbox ?? {}),
    inputs: resolveInputs(configuration),
    vhostUser: resolveVhostUser(configuration),
    vhostUserConnectTimeLimit: configuration.vhostUserConnectTimeLimit ?? 0,
    balloon: resolveBalloon(configuration.balloon ?? true),
    name: resolveName(configuration.name),
    hypervisor: resolveHypervisor(configuration.hypervisor ?? { kind: 'auto' }),
    architecture:
      configuration.architecture === undefined
        ? undefined
        : checkWord('architecture', configuration.architecture, ARCHITECTURES, 'the architecture'),
  };
}

/**
 * Looks at the files a configuration names, so that a mistake is told before anything is built.
 * What is opened later can still fail; this is only the better message.
 *
 * @throws {ConfigurationError} FILE_NOT_FOUND, FILE_UNUSABLE or DOES_NOT_FIT
 */
export async function checkConfigurationFiles(configuration: ResolvedConfiguration): Promise<void> {
  const memoryBytes = configuration.memory.sizeMiB * MIB;
  const { kernel, bios, acpiTables } = configuration;
  if (kernel !== undefined) await checkFile('kernel', kernel, 'the kernel', constants.O_RDONLY, 'file');
  if (bios !== undefined) await checkFile('bios', bios, 'the firmware', constants.O_RDONLY, 'file');
  for (const [index, table] of acpiTables.entries()) {
    await checkFile('acpiTables', table, 'the ACPI table', constants.O_RDONLY, 'file', index);
  }
  if (configuration.initrd !== undefined) {
    const size = await checkFile('initrd', configuration.initrd, 'the initrd', constants.O_RDONLY, 'file');
    if (size >= memoryBytes) {
      const needed = nextPowerOfTwo(Math.ceil((size * 2) / MIB));
      throw new ConfigurationError(
        'DOES_NOT_FIT',
        'initrd',
        `the initrd ${quote(configuration.initrd)} of ${toMiB(size)} MiB does not fit into ${configuration.memory.sizeMiB} MiB of memory; give the guest at least ${needed} MiB`,
      );
    }
  }
  await checkSandbox(configuration.sandbox);
  for (const [index, block] of configuration.blocks.entries()) {
    const flags = block.readOnly ? constants.O_RDONLY : constants.O_RDWR;
    await checkFile('blocks', block.path, 'the disk', flags, 'disk', index);
  }
}

function resolveBlock(block: BlockConfiguration, index: number, executor: AsyncExecutor): ResolvedBlock {
  const fail = (code: ConfigurationErrorCode, message: string): never => {
    throw new ConfigurationError(code, 'blocks', message, { index });
  };
  const path = checkPath('blocks', block.path, 'a disk', index);
  const blockSize = block.blockSize ?? SECTOR_BYTES;
  if (!Number.isSafeInteger(blockSize) || blockSize <= 0 || blockSize % SECTOR_BYTES !== 0) {
    fail(
      'INVALID_VALUE',
      `the block size has to be a multiple of ${SECTOR_BYTES} bytes, which ${blockSize} is not`,
    );
  }
  if (blockSize > MAX_BLOCK_SIZE || !isPowerOfTwo(blockSize)) {
    fail(
      'OUT_OF_RANGE',
      `the block size has to be a power of two from 512 to ${MAX_BLOCK_SIZE}, not ${blockSize}`,
    );
  }
  if (block.id !== undefined) {
    const bytes = Buffer.byteLength(block.id);
    if (bytes > MAX_BLOCK_ID_BYTES) {
      fail(
        'OUT_OF_RANGE',
        `the id ${quote(block.id)} has ${bytes} bytes; at most ${MAX_BLOCK_ID_BYTES} are possible`,
      );
    }
    if (block.id.includes('\0')) fail('INVALID_VALUE', 'the id must not contain a NUL character');
  }
  return {
    path,
    readOnly: block.readOnly ?? false,
    root: block.root ?? false,
    sparse: block.sparse ?? true,
    id: block.id,
    blockSize,
    direct: block.direct ?? false,
    lock: block.lock ?? true,
    packedQueue: block.packedQueue ?? false,
    asyncExecutor: checkWord(
      'blocks',
      block.asyncExecutor ?? executor,
      ASYNC_EXECUTORS,
      'the async executor',
      index,
    ),
    guestName: blockDeviceName(index),
  };
}

function resolveParams(params: readonly string[], blocks: readonly ResolvedBlock[]): readonly string[] {
  const root = blocks.find((block) => block.root);
  const all =
    root === undefined ? params : [...params, `root=/dev/${root.guestName} ${root.readOnly ? 'ro' : 'rw'}`];
  for (const [index, param] of params.entries()) {
    // The kernel would take anything else as it is; these end or split what it reads.
    if (/[\0\r\n]/.test(param)) {
      throw new ConfigurationError(
        'INVALID_VALUE',
        'params',
        `the kernel parameter ${quote(param)} contains a line break or NUL; remove it`,
        { index },
      );
    }
  }
  const bytes = Buffer.byteLength(all.join(' '));
  if (bytes > MAX_PARAMS_BYTES) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'params',
      `the kernel parameters have ${bytes} bytes together; at most ${MAX_PARAMS_BYTES} are possible`,
    );
  }
  return all;
}

function resolveMemory(
  { sizeMiB = DEFAULT_MEMORY_MIB, initialMiB = sizeMiB }: MemoryConfiguration,
  hasBalloon: boolean,
): ResolvedConfiguration['memory'] {
  if (!Number.isSafeInteger(sizeMiB) || sizeMiB < MIN_MEMORY_MIB) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'memory',
      `${sizeMiB} MiB of memory are too few for a kernel to start in; give at least ${MIN_MEMORY_MIB} MiB (the default is ${DEFAULT_MEMORY_MIB})`,
    );
  }
  if (sizeMiB > MAX_MEMORY_MIB) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'memory',
      `${sizeMiB} MiB of memory are too many; the size is in MiB and at most ${MAX_MEMORY_MIB} are possible`,
    );
  }
  if (!Number.isSafeInteger(initialMiB) || initialMiB < MIN_MEMORY_MIB || initialMiB > sizeMiB) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'memory',
      `the guest has from ${MIN_MEMORY_MIB} to all of its ${sizeMiB} MiB of memory at first; ${initialMiB} MiB are not possible`,
    );
  }
  if (initialMiB < sizeMiB && !hasBalloon) {
    throw new ConfigurationError(
      'CONFLICT',
      'memory',
      'only with a balloon can the guest have less than all of its memory at first: give it one, or less memory',
    );
  }
  return { sizeMiB, initialMiB };
}

function resolveCpus(count: number): number {
  if (!Number.isSafeInteger(count) || count < 1 || count > MAX_CPUS) {
    throw new ConfigurationError(
      'OUT_OF_RANGE',
      'cpus',
      `a machine has from 1 to ${MAX_CPUS} CPUs; ${count} are not possible`,
    );
  }
  return count;
}

function resolveBalloon(balloon: boolean | BalloonConfiguration): ResolvedConfiguration['balloon'] {
  if (balloon === false) return undefined;
  return { pageReporting: balloon !== true && (balloon.pageReporting ?? false) };
}

function resolveName(name: string | undefined): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (name !== undefined && (name === '' || /[\0-\x1f\x7f]/.test(name))) {
    throw new ConfigurationError(
      'INVALID_VALUE',
      'name',
      'the name must be printable text that is not empty',
    );
  }
  return name;
}

function resolveHypervisor(hypervisor: HypervisorConfiguration): HypervisorConfiguration {
  checkWord('hypervisor', hypervisor.kind, HYPERVISORS, 'the hypervisor');
  if (hypervisor.kind !== 'kvm') return { kind: hypervisor.kind };
  return { kind: 'kvm', device: checkPath('hypervisor', hypervisor.device ?? '/dev/kvm', 'the KVM device') };
}

/** @param hasConsole the machine has a console beside these */
function resolveSerials(
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
  return [...byPort.values()].sort((a, b) => a.hardware.localeCompare(b.hardware) || a.num - b.num);
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
      serial.path === undefined ? undefined : checkPath('serials', serial.path, "a console's path", index),
    input:
      serial.input === undefined ? undefined : checkPath('serials', serial.input, "a console's input", index),
    inputUnixStream: serial.inputUnixStream ?? false,
    stdin: serial.stdin ?? false,
    debugconPort: serial.debugconPort ?? DEBUGCON_PORT,
    name: serial.name,
    pciAddress: serial.pciAddress,
    size: serial.size,
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
  { hardware, name, pciAddress, size }: ResolvedSerial,
  fail: (code: ConfigurationErrorCode, message: string) => never,
): void {
  const isPlain = name === undefined && pciAddress === undefined && size === undefined;
  if (hardware !== 'virtio-console' && !isPlain) {
    fail('CONFLICT', `only a virtio-console has a name, a PCI address or a size, not a ${hardware}`);
  }
  if (size !== undefined) checkConsoleSize(size);
  if (name === undefined) return;
  if (pciAddress !== undefined || size !== undefined) {
    fail(
      'CONFLICT',
      'consoles with names are ports of one device, which has no address or size of their choice',
    );
  }
  // It becomes the name of a file where the guest has udev.
  if (!/^[\w.:+-]{1,255}$/.test(name)) {
    fail('INVALID_VALUE', `the name ${quote(name)} is not 1 to 255 letters, digits, and any of . _ : + -`);
  }
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

function checkOneOf<T>(
  option: ConfigurationOption,
  items: readonly T[],
  is: (item: T) => boolean,
  message: string,
): void {
  const first = items.findIndex(is);
  const index = first < 0 ? -1 : items.findIndex((item, at) => at > first && is(item));
  if (index >= 0) throw new ConfigurationError('DUPLICATE', option, message, { index });
}

/** For callers whose configuration is not type-checked, such as a JSON file. */
function checkWord<T extends string>(
  option: ConfigurationOption,
  word: T,
  words: readonly T[],
  what: string,
  index?: number,
): T {
  if (!words.includes(word)) {
    throw new ConfigurationError(
      'INVALID_VALUE',
      option,
      `${what} is one of ${words.join(', ')}, not ${quote(word)}`,
      index === undefined ? {} : { index },
    );
  }
  return word;
}

function checkPath(option: ConfigurationOption, path: string, what: string, index?: number): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new ConfigurationError(
      'INVALID_VALUE',
      option,
      `${what} needs the path of a file`,
      index === undefined ? {} : { index },
    );
  }
  return path;
}

/** Opens and closes the file at `path`; returns its size in bytes (0 for a device). */
async function checkFile(
  option: ConfigurationOption,
  path: string,
  what: string,
  flags: number,
  kind: 'file' | 'disk',
  index?: number,
): Promise<number> {
  const details = index === undefined ? {} : { index };
  const unusable = (reason: string, cause?: unknown) =>
    new ConfigurationError('FILE_UNUSABLE', option, `${what} ${quote(path)} ${reason}`, {
      ...details,
      cause,
    });
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw unusable(`is a directory; name a file in it`);
    // Opening a FIFO would wait for its other end.
    if (status.isFIFO() || status.isSocket() || status.isCharacterDevice()) {
      throw unusable(`is neither a file nor a block device`);
    }
    await using _file = await open(path, flags);
    if (kind === 'file' && status.isFile() && status.size === 0) throw unusable('is empty');
    return status.size;
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        throw new ConfigurationError(
          'FILE_NOT_FOUND',
          option,
          `${what} ${quote(path)} does not exist; check the path`,
          { ...details, cause: error },
        );
      case 'EACCES':
      case 'EPERM':
        throw unusable(
          `may not be ${flags === constants.O_RDONLY ? 'read' : 'written'}; check its mode`,
          error,
        );
      case 'EROFS':
        throw unusable('is on a read-only file system; attach it read-only', error);
      default:
        throw unusable(`cannot be opened: ${(error as Error).message}`, error);
    }
  }
}

/** As messages show a value. */
function quote(text: string): string {
  return JSON.stringify(text);
}

function toMiB(bytes: number): string {
  return (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}

function nextPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}
