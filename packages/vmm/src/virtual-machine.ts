import { readFile } from 'node:fs/promises';
import type { BootRegisters, PlatformDevices } from '@tsvmm/arch';
import { programUrl } from '@tsvmm/base';
import {
  type ConsoleSize,
  type DeviceCommand,
  type DeviceEnvironment,
  type DeviceReply,
  IoWorker,
  type PciTopology,
  PvpanicEvent,
  type SerialInput,
} from '@tsvmm/devices';
import { selectHypervisor, type VcpuStop, type Vm } from '@tsvmm/hypervisor';
import { Balloon } from './balloon.ts';
import {
  type ResolvedConfiguration,
  type VirtualMachineConfiguration,
  validateConfiguration,
} from './configuration/configuration.ts';
import { ConfigurationError } from './configuration/error.ts';
import { checkConfigurationFiles } from './configuration/files.ts';
import type { SandboxConfiguration } from './configuration/sandbox.ts';
import { checkConsoleSize } from './configuration/serial.ts';
import { Doorbells } from './doorbells.ts';
import { VirtualMachineError } from './errors.ts';
import type { IoEnvironmentData } from './io-worker.ts';
import type { Log, LogRecord } from './log.ts';
import { boardFor } from './machine/boards.ts';
import { architectureOf, openBootImage } from './machine/boot-image.ts';
import { type Consoles, createConsoles } from './machine/consoles.ts';
import { DeviceProcesses } from './machine/device-processes.ts';
import { createDevices, type DeviceParts, type Devices } from './machine/devices.ts';
import { openFlash, placeFlash, readFwCfgFiles } from './machine/firmware.ts';
import { checkIrqchip, checkLimits, irqchipOptions } from './machine/hypervisor-limits.ts';
import { createInputs } from './machine/inputs.ts';
import { openPersistentMemory } from './machine/persistent-memory.ts';
import { createUsb } from './machine/usb.ts';
import { PanicWatch } from './panic-watch.ts';
import { VcpuThread } from './vcpu-thread.ts';
import type { VcpuWorkerData } from './vcpu-worker.ts';

const MIB = 2 ** 20;

export interface CreateOptions {
  /** Ends creation, which then throws the signal's reason. A machine that exists is ended with {@link VirtualMachine.stop}. */
  readonly signal?: AbortSignal;
  /** Gets what the machine has to say. */
  readonly log?: Log;
}

/** How a machine ended. */
export interface VmExit {
  /**
   * - `stop`: powered off by the guest, or by {@link VirtualMachine.stop}
   * - `reset`: the guest asked for a reboot
   * - `crash`: the guest, or a vCPU, cannot go on
   * - `panic`: the guest's kernel panicked
   * - `watchdog`: the guest's watchdog expired
   */
  readonly kind: 'stop' | 'reset' | 'crash' | 'panic' | 'watchdog';
  /** For people. */
  readonly reason: string;
}

/** The console that takes standard input. */
export interface VmConsole {
  readonly input: {
    /** Resolves when the guest has taken enough for the last byte to fit: await it before writing more. */
    write(bytes: Uint8Array): Promise<void>;
  };
  /**
   * Tells the guest that the terminal has another size. Only there for a virtio-console that was given one.
   *
   * @throws ConfigurationError OUT_OF_RANGE
   * @throws VirtualMachineError INVALID_STATE when the machine does not run
   */
  resize?(size: ConsoleSize): Promise<void>;
}

interface Parts {
  /** Of vCPU 0. */
  readonly bootThread: VcpuThread;
  readonly configuration: ResolvedConfiguration;
  readonly vm: Vm;
  readonly consoles: Consoles;
  readonly devices: Devices;
  /** Undefined when a thread of this process serves the devices. */
  readonly processes: DeviceProcesses | undefined;
  readonly platform: PlatformDevices;
  /** Of every vCPU, and beside these of vCPU 0. */
  readonly vcpuRegisters: BootRegisters;
  readonly bootRegisters: BootRegisters;
  readonly watch: PanicWatch;
  readonly log: Log;
  readonly cleanup: AsyncDisposableStack;
}

/**
 * A virtual machine: made from plain data, started once, run to its end.
 *
 * ```ts
 * await using vm = await VirtualMachine.create({ kernel: 'Image' });
 * await vm.start();
 * const { kind, reason } = await vm.exit;
 * ```
 *
 * Disposing ends the guest if it runs, and releases everything in the reverse order of its creation.
 */
export class VirtualMachine implements AsyncDisposable {
  /** Resolves when the guest has ended; rejects with VirtualMachineError THREAD_FAILED when a thread of the machine failed. */
  readonly exit: Promise<VmExit>;
  /** Undefined when the machine has none. */
  readonly balloon: Balloon | undefined;
  readonly #parts: Parts;
  readonly #resolveExit: (exit: VmExit) => void;
  readonly #rejectExit: (error: unknown) => void;
  readonly #threads: VcpuThread[] = [];
  /** Undefined before the start. */
  #io: Promise<IoWorker> | undefined;
  #started = false;
  #ended = false;

  private constructor(parts: Parts) {
    this.#parts = parts;
    const { devices, vm } = parts;
    const { balloon } = devices;
    if (balloon !== undefined) {
      this.balloon = new Balloon(vm.memory.size, (command) => this.#command(balloon, command));
    }
    const { promise, resolve, reject } = Promise.withResolvers<VmExit>();
    this.exit = promise;
    this.exit.catch(() => {});
    this.#resolveExit = resolve;
    this.#rejectExit = reject;
  }

  /**
   * Builds a machine up to the point where its vCPUs can start.
   *
   * @throws ConfigurationError for a configuration that cannot become a machine
   * @throws HypervisorError, DeviceError, MachineError, KernelImageError from the parts; each says what to do
   */
  static async create(
    configuration: VirtualMachineConfiguration,
    options: CreateOptions = {},
  ): Promise<VirtualMachine> {
    const { signal, log = () => {} } = options;
    const resolved = validateConfiguration(configuration);
    await checkConfigurationFiles(resolved);
    signal?.throwIfAborted();

    await using cleanup = new AsyncDisposableStack();
    const bootThread = cleanup.use(new VcpuThread(0));
    await using images = new AsyncDisposableStack();
    const image = await openBootImage(resolved, images);
    const architecture = resolved.architecture ?? (await architectureOf(image));
    const device = resolved.hypervisor.kind === 'kvm' ? resolved.hypervisor.device : undefined;
    const BoardOfArchitecture = await boardFor(architecture);
    const { hypervisor, reason } = await selectHypervisor(resolved.hypervisor.kind, architecture, {
      ...(device !== undefined && { kvmDevice: device }),
    });
    cleanup.use(hypervisor);
    log({ level: 'info', target: 'hypervisor', message: `the guest runs on ${reason}` });
    checkLimits(resolved, hypervisor);
    checkIrqchip(resolved, hypervisor);
    const { pflash, fwCfg } = resolved;
    const flash = pflash && cleanup.use(openFlash(pflash));
    const board = new BoardOfArchitecture({
      ramSize: resolved.memory.sizeMiB * MIB,
      vcpuCount: resolved.cpus.count,
      addressBits: hypervisor.addressBits,
      ...(image.kind === 'firmware' && { firmwareSize: image.source.size }),
      ...(flash && { flashSize: flash.size }),
      ...(fwCfg && { fwCfgFiles: await readFwCfgFiles(fwCfg) }),
      ...(resolved.pci && { pci: resolved.pci }),
      ...(resolved.smbios && { smbios: resolved.smbios }),
      platform: resolved.platform,
      ...irqchipOptions(resolved.irqchip),
      ...(resolved.nested && { nested: resolved.nested }),
      ...(resolved.acpiTables.length > 0 && {
        acpiTables: await Promise.all(resolved.acpiTables.map((path) => readFile(path))),
      }),
    });
    // Back ends in other processes map the guest's memory.
    const sharedMemory = resolved.sandbox !== false || resolved.vhostUser.length > 0;
    const persistentMemory = cleanup.use(openPersistentMemory(resolved.pmems, board.pci.highWindow));
    const { regions } = persistentMemory;
    const vm = cleanup.use(await hypervisor.createVm({ ...board.vm, sharedMemory, regions }));

    const watch = new PanicWatch();
    const environment: DeviceEnvironment = { interrupts: vm.interrupts };
    const onFailure = (error: unknown): void => {
      log({ level: 'error', target: 'devices', message: String(error) });
    };
    const consoles = cleanup.use(
      await createConsoles(resolved.serials, board.serialPorts, environment, watch, log),
    );
    const platform = cleanup.use(board.createPlatformDevices(environment, onFailure));
    const mmio = [...platform.mmio];
    if (flash && board.flash) mmio.push(placeFlash(flash, pflash, board.flash, vm));
    const processes = resolved.sandbox === false ? undefined : startProcesses(resolved.sandbox, log);
    cleanup.use(processes);
    const inputs = cleanup.use(await createInputs(resolved.inputs, log));
    const usb = resolved.usb && cleanup.use(await createUsb(resolved.usb, log));
    const buses = { mmio, pio: platform.pio };
    const parts: DeviceParts = { buses, consoles, inputs, persistentMemory, usb };
    const devices = cleanup.use(await createDevices(resolved, board, parts, processes));
    signal?.throwIfAborted();

    const bootRegisters = await board.boot(vm.memory, {
      image,
      parameters: ['panic=-1', ...consoles.parameters, ...resolved.params],
      standardOutput: consoles.standardOutput,
      pciInterrupts: pciInterrupts(devices.pci),
      platform: vm.platform,
    });
    signal?.throwIfAborted();
    return new VirtualMachine({
      bootThread,
      configuration: resolved,
      vm,
      consoles,
      devices,
      processes,
      platform,
      vcpuRegisters: board.vcpuRegisters,
      bootRegisters,
      watch,
      log,
      cleanup: cleanup.move(),
    });
  }

  /** Undefined when no console has standard input. */
  get console(): VmConsole | undefined {
    const input: SerialInput | undefined = this.#parts.consoles.standardInput;
    if (input === undefined) return undefined;
    const { terminal } = this.#parts.devices;
    if (terminal < 0) return { input };
    const resize = async (size: ConsoleSize): Promise<void> => {
      checkConsoleSize(size);
      await this.#command(terminal, { kind: 'resize-console', size });
    };
    return { input, resize };
  }

  /**
   * Starts the threads, the vCPUs first: until its drivers look for their devices, the guest needs no back end. Resolves when all
   * of them are there; the guest may have ended by then.
   *
   * @throws VirtualMachineError INVALID_STATE when it was started before
   * @throws DeviceError, DeviceProcessError when a device's back end cannot be opened
   * @throws JailError when the processes of devices cannot be confined: NO_NAMESPACES says what to change on this host
   */
  async start(): Promise<void> {
    if (this.#started) {
      throw new VirtualMachineError('INVALID_STATE', 'a virtual machine is started once: create another one');
    }
    this.#started = true;
    const { vm, devices, consoles, vcpuRegisters, bootRegisters, cleanup, log, configuration } = this.#parts;
    const { bootThread, processes } = this.#parts;
    void processes?.failure.then(({ message }) => this.#end({ kind: 'crash', reason: message }));
    const environment: IoEnvironmentData = {
      memory: vm.memory.descriptor(),
      interrupts: vm.interruptsDescriptor(),
    };
    // After the vCPUs have ended.
    cleanup.defer(() => this.#endIo());
    const shared: Omit<VcpuWorkerData, 'vcpu' | 'registers'> = {
      interrupts: environment.interrupts,
      memory: environment.memory,
      mmio: devices.mmio,
      pio: devices.pio,
      debugConsole: consoles.debugConsole,
    };
    const doorbells = new Doorbells(vm, devices.pci);
    const moveDoorbells = (): void => {
      if (!this.#ended) doorbells.update();
    };
    for (let id = 0; id < configuration.cpus.count; id++) {
      const data = { ...shared, registers: { ...vcpuRegisters, ...(id === 0 && bootRegisters) } };
      // They end before their machine does; to dispose of the first one twice does no harm.
      const thread = cleanup.use(id === 0 ? bootThread : new VcpuThread(id));
      this.#threads.push(thread);
      thread.start(vm.createVcpu(id), data, moveDoorbells);
      thread.stopped.then(
        (stop) => this.#stopped(stop),
        (error: unknown) => this.#fail(error),
      );
    }
    this.#io = IoWorker.start({
      devices: devices.pci.virtioDevices,
      usbControllers: devices.pci.usbControllers,
      program: programUrl('io-worker', import.meta.url),
      environment,
      onBroken: ({ device, message }) => {
        log({ level: 'error', target: 'devices', message: `${device} stopped: ${message}` });
      },
      onLog: (message) => log({ level: 'info', target: 'devices', message }),
      onFailure: (error) => this.#end({ kind: 'crash', reason: error.message }),
    });
    // When a process is missing, so is what the I/O thread connects to: the process's reason says more.
    for (const result of await Promise.allSettled([processes?.ready(), this.#io])) {
      if (result.status === 'rejected') throw result.reason;
    }
    const { sizeMiB, initialMiB } = configuration.memory;
    try {
      if (initialMiB < sizeMiB) await this.balloon?.set((sizeMiB - initialMiB) * MIB);
    } catch (error) {
      // A guest that has ended has no memory to give.
      if (!this.#ended) throw error;
    }
  }

  /**
   * Presses the machine's power button. The guest is told, and turns itself off if it likes: that is its {@link exit}.
   *
   * @throws VirtualMachineError UNSUPPORTED when a machine of this architecture has none
   */
  pressPowerButton(): void {
    const { platform, vm } = this.#parts;
    if (platform.pressPowerButton === undefined) {
      throw new VirtualMachineError(
        'UNSUPPORTED',
        `machines of ${vm.architecture} have no power button: ask the guest to turn itself off, or stop the machine`,
      );
    }
    platform.pressPowerButton();
  }

  /**
   * Changes the size of a disk, which the guest is told of.
   *
   * @param index of the disk in the configuration
   * @param size bytes; what it shows is rounded down to sectors of 512
   * @throws VirtualMachineError INVALID_STATE when the machine does not run
   * @throws ConfigurationError INVALID_VALUE when there is no such disk
   * @throws DeviceError BACKEND_FAILED when the disk is read-only, or its format or device has a fixed size
   */
  async resizeDisk(index: number, size: number): Promise<void> {
    const { configuration, devices } = this.#parts;
    if (configuration.blocks[index] === undefined) {
      throw new ConfigurationError('INVALID_VALUE', 'blocks', `there is no disk ${index}`, { index });
    }
    await this.#command(devices.firstDisk + index, { kind: 'resize-disk', size });
  }

  /** Ends the guest as if its power were cut; {@link exit} then resolves with the kind `stop`. */
  async stop(): Promise<void> {
    this.#end({ kind: 'stop', reason: 'the virtual machine was stopped' });
    await this.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end({ kind: 'stop', reason: 'the virtual machine was disposed' });
    await this.#parts.cleanup.disposeAsync();
  }

  /** @param device index in `PciTopology.virtioDevices` */
  async #command(device: number, command: DeviceCommand): Promise<DeviceReply> {
    if (this.#io === undefined || this.#ended) {
      throw new VirtualMachineError('INVALID_STATE', 'only the devices of a running machine do anything');
    }
    const { processes } = this.#parts;
    return await (processes?.has(device) ? processes : await this.#io).command(device, command);
  }

  #stopped(stop: VcpuStop): void {
    const kinds = {
      shutdown: 'stop',
      reset: 'reset',
      crash: 'crash',
      error: 'crash',
      stopped: 'stop',
    } as const;
    this.#end({ kind: kinds[stop.reason], reason: stop.detail });
  }

  /** The first end counts. */
  #end(exit: VmExit): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#quiesce().then(
        () => this.#resolveExit(this.#withPanic(exit)),
        (error: unknown) => this.#rejectExit(error),
      );
    }
  }

  #fail(error: unknown): void {
    if (!this.#ended) {
      this.#ended = true;
      const reject = () => this.#rejectExit(error);
      this.#quiesce().then(reject, reject);
    }
  }

  /** Stops all vCPUs, has devices serve what the guest asked for, and carries what it wrote to where it goes. */
  async #quiesce(): Promise<void> {
    const { processes, consoles } = this.#parts;
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()));
    try {
      await this.#endIo();
      await processes?.[Symbol.asyncDispose]();
    } finally {
      await consoles.drain();
    }
  }

  /** Has the I/O thread finish, unless it did not start, which {@link start} tells of. */
  async #endIo(): Promise<void> {
    const [io] = await Promise.allSettled([this.#io]);
    if (io.status === 'fulfilled') await io.value?.[Symbol.asyncDispose]();
  }

  /** A kernel that panics reboots: what it told pvpanic, or wrote before, tells the two apart. */
  #withPanic(exit: VmExit): VmExit {
    const { watch, devices } = this.#parts;
    const hasTold = (devices.pvpanic.events & PvpanicEvent.panicked) !== 0;
    if (!hasTold && (exit.kind !== 'reset' || watch.panic === undefined)) return exit;
    return { kind: 'panic', reason: watch.panic ?? 'it gave no reason on the console' };
  }
}

function startProcesses(sandbox: SandboxConfiguration, log: Log): DeviceProcesses {
  const tell = (level: LogRecord['level']) => (message: string) => log({ level, target: 'devices', message });
  return new DeviceProcesses({
    sandbox,
    onBroken: tell('error'),
    onBlockedCall: tell('warn'),
    onLog: tell('debug'),
  });
}

function pciInterrupts(pci: PciTopology) {
  return pci.interruptRoutes.map(({ address, pin, source }) => ({
    device: address.device,
    function: address.function,
    pin,
    source,
  }));
}
