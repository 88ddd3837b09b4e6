import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { Duplex } from 'node:stream';
import { defaultCacheDirectory } from '../../packages/guest-image/src/index.ts';
import { LabError } from './errors.ts';
import { labModules } from './initramfs.ts';
import type { Lab } from './lab.ts';
import { MarkedStream } from './marked-stream.ts';
import type { LabArchitecture } from './platform.ts';
import { shellWords } from './shell-words.ts';

export interface Level1Options {
  /** MiB of memory, 3072 without it. */
  readonly memory?: number;
  /** Further arguments for QEMU: devices to pass on to a guest. */
  readonly emulatorArguments?: readonly string[];
  /** Gets what L1's kernel prints, which is kept for errors otherwise. */
  readonly onConsole?: (data: Buffer) => void;
}

export interface CommandOptions {
  /** Where the command is started in L1; `/` without it. */
  readonly directory?: string;
  /** What its environment has besides the lab's. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly onStdout?: (data: Buffer) => void;
  readonly onStderr?: (data: Buffer) => void;
}

/** A command that has ended in L1. */
export interface CommandResult {
  /** As the shell has it: above 128 for a signal. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The descriptors that QEMU has the virtio serial ports of `guest/serve` on. */
const PORTS = { control: 3, stdout: 4, stderr: 5, channel: 6 } as const;
/** Guests that the host has fetched are found in L1. */
const COMMON_ENVIRONMENT = {
  HOME: '/root',
  LANG: 'C.UTF-8',
  XDG_CACHE_HOME: dirname(defaultCacheDirectory()),
};
/** Of the console, for errors; bytes. */
const KEPT_OF_CONSOLE = 4096;
/** Size of L1's disk in memory, which takes as much as was written to it. */
const RAM_DISK_KIB = 131_072;

/**
 * A host with KVM: an emulated machine whose kernel has a real /dev/kvm. It serves one command after the other.
 * It ends when disposed, and with this process, however that ends.
 */
export class Level1 implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #qemu: ChildProcess;
  readonly #control: Duplex;
  /** What a command that opens the port `$LAB_CHANNEL` says and hears; one command at a time can. */
  readonly channel: Duplex;
  readonly #stdout = new MarkedStream();
  readonly #stderr = new MarkedStream();
  readonly #ended = new AbortController();
  #console = Buffer.alloc(0);
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(lab: Lab, { memory = 3072, emulatorArguments = [], onConsole }: Level1Options) {
    this.#lab = lab;
    const parameters = [...machine(lab, memory), ...emulatorArguments];
    this.#qemu = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...lab.emulator, ...parameters], {
      stdio: ['ignore', 'pipe', 'pipe', ...Object.values(PORTS).map(() => 'pipe' as const)],
    });
    const keep = (data: Buffer) => {
      onConsole?.(data);
      this.#console = Buffer.concat([this.#console, data]).subarray(-KEPT_OF_CONSOLE);
    };
    this.#qemu.stdout?.on('data', keep);
    this.#qemu.stderr?.on('data', keep);
    this.#qemu.once('error', (cause) => this.#end(`${lab.emulator[0]} cannot be started`, cause));
    this.#qemu.once('close', (status, signal) => this.#end(`it ended with ${signal ?? `status ${status}`}`));
    this.#control = this.#port('control');
    this.channel = this.#port('channel');
    this.#port('stdout').on('data', (chunk: Buffer) => this.#stdout.push(chunk));
    this.#port('stderr').on('data', (chunk: Buffer) => this.#stderr.push(chunk));
  }

  get architecture(): LabArchitecture {
    return this.#lab.platform.architecture;
  }

  /** Path of Node in L1. */
  get node(): string {
    return this.#lab.node;
  }

  /**
   * Boots an L1 and waits until it serves commands.
   * @throws {LabError} BOOT_FAILED
   * @throws the reason of `signal` when it is aborted
   */
  static async start(lab: Lab, options: Level1Options = {}, signal?: AbortSignal): Promise<Level1> {
    signal?.throwIfAborted();
    await using starting = new AsyncDisposableStack();
    const level1 = starting.use(new Level1(lab, options));
    const ended = level1.#ended.signal;
    await once(level1.#control, 'data', {
      signal: AbortSignal.any([ended, ...(signal ? [signal] : [])]),
    }).catch((error) => {
      signal?.throwIfAborted();
      throw ended.aborted ? level1.#failure('BOOT_FAILED', 'L1 did not boot') : error;
    });
    level1.#control.resume();
    for (const [index, path] of lab.shared.entries()) await level1.#share(shareTag(index), path);
    if (lab.companion) await level1.#keepInBackground(lab.companion);
    starting.move();
    return level1;
  }

  /**
   * Runs a program in L1, after those that were asked for before.
   * @throws {LabError} ENDED when L1 ends meanwhile
   */
  async run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const turn = this.#turn.then(() => this.#run(command, options));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Takes the machine away, as a power failure would: nothing of it lasts. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#qemu.exitCode !== null || this.#qemu.signalCode !== null || this.#qemu.pid === undefined)
      return;
    const closed = once(this.#qemu, 'close');
    this.#qemu.kill('SIGKILL');
    await closed;
  }

  async #run(command: readonly string[], options: CommandOptions): Promise<CommandResult> {
    const { directory = '/', environment = {}, onStdout, onStderr } = options;
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const mark = `\u0001${randomUUID()}`;
    const variables = { ...COMMON_ENVIRONMENT, ...this.#lab.environment, ...environment };
    const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    const words = shellWords(['env', ...assignments, ...command]);
    const { signal } = this.#ended;
    try {
      signal.throwIfAborted();
      this.#control.write(`${mark} cd ${shellWords([directory])} && exec ${words}\n`);
      const [status] = await Promise.all([
        this.#stdout.readTo(mark, (data) => (onStdout ? onStdout(data) : stdout.push(data)), signal),
        this.#stderr.readTo(mark, (data) => (onStderr ? onStderr(data) : stderr.push(data)), signal),
      ]);
      const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString();
      return { status: Number(status), stdout: text(stdout), stderr: text(stderr) };
    } catch (error) {
      throw signal.aborted ? this.#failure('ENDED', `L1 ended while '${command[0]}' ran in it`) : error;
    }
  }

  /** The shell that starts it ends at once, and with it what the host waits for. */
  async #keepInBackground(command: readonly string[]): Promise<void> {
    const script = '"$@" </dev/null >/dev/null 2>&1 &';
    await this.run(['sh', '-c', script, 'companion', ...command]);
  }

  /** Mounts what the host shares where it is on the host, so that paths and links mean the same. */
  async #share(tag: string, path: string): Promise<void> {
    const layer = `/run/lab/${tag}`;
    const script = `
      set -e
      mkdir -p "$2" "$3"
      /run/lab/busybox mount -t tmpfs -o mode=755 layer "$3"
      mkdir "$3/lower" "$3/upper" "$3/work"
      /run/lab/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose "$1" "$3/lower"
      /run/lab/busybox mount -t overlay -o "lowerdir=$3/lower,upperdir=$3/upper,workdir=$3/work" overlay "$2"`;
    const { status, stderr } = await this.run(['sh', '-c', script, 'share', tag, path, layer]);
    if (status !== 0) throw new LabError('BOOT_FAILED', `L1 cannot mount ${path}: ${stderr}`);
  }

  #port(name: keyof typeof PORTS): Duplex {
    const ends: readonly unknown[] = this.#qemu.stdio;
    const port = ends[PORTS[name]];
    if (!(port instanceof Duplex)) throw new TypeError(`Node made no socket for the port ${name}.`);
    // The machine's end is told by the process.
    return port.on('error', () => {});
  }

  #end(reason: string, cause?: Error): void {
    this.#ended.abort(new Error(reason, { cause }));
  }

  #failure(code: 'BOOT_FAILED' | 'ENDED', what: string): LabError {
    const reason: Error = this.#ended.signal.reason;
    const words = this.#console.toString().trim() || 'nothing';
    return new LabError(code, `${what}: ${reason.message}. Its console showed:\n${words}`, { cause: reason });
  }
}

function shareTag(index: number): string {
  return `share${index}`;
}

/** QEMU's arguments for the machine around the CPU: memory, kernel, 9p exports, the ports of `guest/serve`. */
function machine({ platform, kernel, initramfs, root, shared }: Lab, memory: number): string[] {
  const share = (path: string, tag: string) => [
    '-virtfs',
    `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
  ];
  const port = (name: keyof typeof PORTS, number: number) => [
    ...['-chardev', `socket,id=${name},fd=${PORTS[name]}`],
    ...['-device', `virtserialport,chardev=${name},nr=${number}`],
  ];
  // A console that says little, no mitigations that an emulated CPU pays for, and an end in place of a dead kernel.
  const quiet = ['quiet', 'panic=-1', 'mitigations=off', 'nokaslr'];
  const ramDisk = ['brd.rd_nr=1', `brd.rd_size=${RAM_DISK_KIB}`];
  const { console, kernelParameters } = platform;
  const modules = labModules(platform).join();
  return [
    ...['-accel', 'tcg,thread=multi', '-smp', `${platform.cpus}`, '-m', `${memory}`],
    ...['-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ...['-kernel', kernel, '-initrd', initramfs],
    ...[
      '-append',
      [`console=${console}`, ...quiet, ...ramDisk, ...kernelParameters, `lab.modules=${modules}`].join(' '),
    ],
    ...share(root, 'root'),
    ...shared.flatMap((path, index) => share(path, shareTag(index))),
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...(['control', 'stdout', 'stderr', 'channel'] as const).flatMap((name, index) => port(name, index + 1)),
  ];
}
