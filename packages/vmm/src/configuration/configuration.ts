/**
 * What a virtual machine is made of, as plain data: it can be written as JSON, sent to a worker, compared and stored.
 *
 * `VirtualMachineConfiguration` is what callers write; everything but the kernel has a default.
 * `validateConfiguration` checks the rules that span several fields, fills in the defaults, and returns a
 * `ResolvedConfiguration` in which nothing is left open. It looks at no file: `checkConfigurationFiles` does.
 */
import {
  ASYNC_EXECUTORS,
  type AsyncExecutor,
  type BlockConfiguration,
  type ResolvedBlock,
  resolveBlock,
} from './block.ts';
import { type BoardConfiguration, type ResolvedBoard, resolveBoard } from './board.ts';
import { checkPath, checkWord, quote } from './checks.ts';
import { rootParameters } from './disks.ts';
import { ConfigurationError } from './error.ts';
import { type InputConfiguration, type ResolvedInput, resolveInputs } from './input.ts';
import { type PmemConfiguration, type ResolvedPmem, resolvePmem } from './pmem.ts';
import { resolveSandbox, type SandboxConfiguration } from './sandbox.ts';
import { type ResolvedScsiDisk, resolveScsiDisk, type ScsiDiskConfiguration } from './scsi.ts';
import { type ResolvedSerial, resolveSerials, type SerialConfiguration } from './serial.ts';
import { type ResolvedUsb, resolveUsb, type UsbConfiguration } from './usb.ts';
import { type ResolvedVhostUser, resolveVhostUser, type VhostUserConfiguration } from './vhost-user.ts';

const ARCHITECTURES = ['x86_64', 'aarch64', 'riscv64'] as const;
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
/** Longest kernel command line in bytes that is accepted before the board has added its own parameters. */
export const MAX_PARAMS_BYTES = 4096;

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
  /** Disks of a SCSI adapter. */
  readonly scsiDisks?: readonly ScsiDiskConfiguration[];
  /** Files in the guest's memory. */
  readonly pmems?: readonly PmemConfiguration[];
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
  /** Have a USB controller; default true, with nothing plugged in. */
  readonly usb?: boolean | UsbConfiguration;
  /** How the processes of virtio devices are confined; `false`: devices are served by a thread of this process. */
  readonly sandbox?: SandboxConfiguration | false;
  /** A name for people and tools. */
  readonly name?: string;
  /** Default `{ kind: 'auto' }`. */
  readonly hypervisor?: HypervisorConfiguration;
  /** Default: the one the kernel image is made for; with firmware, the host's. */
  readonly architecture?: Architecture;
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
  readonly scsiDisks: readonly ResolvedScsiDisk[];
  readonly pmems: readonly ResolvedPmem[];
  /** COM1 to COM4 first, in order, then the virtio-consoles by number. */
  readonly serials: readonly ResolvedSerial[];
  readonly rng: boolean;
  readonly sandbox: SandboxConfiguration | false;
  readonly inputs: readonly ResolvedInput[];
  readonly vhostUser: readonly ResolvedVhostUser[];
  readonly vhostUserConnectTimeLimit: number;
  readonly balloon: Required<BalloonConfiguration> | undefined;
  readonly usb: ResolvedUsb | undefined;
  readonly name: string | undefined;
  readonly hypervisor: HypervisorConfiguration;
  /** Undefined: the one the kernel image is made for. */
  readonly architecture: Architecture | undefined;
}

/** The fields of a configuration, for `ConfigurationError.option`. */
export type ConfigurationOption = keyof VirtualMachineConfiguration;

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
  const scsiDisks = (configuration.scsiDisks ?? []).map((disk, index) =>
    resolveScsiDisk(disk, index, executor),
  );
  const pmems = (configuration.pmems ?? []).map(resolvePmem);
  const root = rootParameters([
    ['blocks', blocks],
    ['scsiDisks', scsiDisks],
    ['pmems', pmems],
  ]);
  return {
    ...resolveBoard(configuration),
    kernel:
      configuration.kernel === undefined
        ? undefined
        : checkPath('kernel', configuration.kernel, 'the kernel needs the path of a file'),
    initrd:
      configuration.initrd === undefined
        ? undefined
        : checkPath('initrd', configuration.initrd, 'the initrd needs the path of a file'),
    params: resolveParams(configuration.params ?? [], root),
    memory: resolveMemory(configuration.memory ?? {}, configuration.balloon !== false),
    cpus: { count: resolveCpus(configuration.cpus?.count ?? 1) },
    blocks,
    scsiDisks,
    pmems,
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
    usb: resolveUsb(configuration.usb ?? true),
    name: resolveName(configuration.name),
    hypervisor: resolveHypervisor(configuration.hypervisor ?? { kind: 'auto' }),
    architecture:
      configuration.architecture === undefined
        ? undefined
        : checkWord('architecture', configuration.architecture, ARCHITECTURES, 'the architecture'),
  };
}

function resolveParams(params: readonly string[], root: readonly string[]): readonly string[] {
  const all = [...params, ...root];
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
  return {
    kind: 'kvm',
    device: checkPath(
      'hypervisor',
      hypervisor.device ?? '/dev/kvm',
      'the KVM device needs the path of a file',
    ),
  };
}
