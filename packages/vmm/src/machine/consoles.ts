import type { AddressSpace, SerialPlacement } from '@tsvmm/arch';
import {
  type BusEntry,
  ByteRing,
  createWiredOrState,
  DEBUGCON_LENGTH,
  type DeviceEnvironment,
  type DeviceError,
  describeDebugcon,
  type PciAddress,
  type PortStreams,
  SerialInput,
  SerialOutput,
  type SerialSink,
  VirtioPciDevice,
} from '@tsvmm/devices';
import { ConfigurationError } from '../configuration/error.ts';
import type { ResolvedSerial } from '../configuration/serial.ts';
import type { Log } from '../log.ts';
import type { PanicWatch } from '../panic-watch.ts';
import { openSerialBackEnd } from './serial-back-end.ts';
import { createSerialPort, serialPortNames } from './serial-port.ts';

/** A virtio console and its place on PCI bus 0: the first that is free unless it has one. */
export interface PlacedConsole {
  readonly device: VirtioPciDevice;
  readonly address: PciAddress | undefined;
}

/** The consoles of a machine: ports for the bus, devices for PCI, and what is connected to them on this thread. */
export interface Consoles extends AsyncDisposable {
  /** Serial ports, by the bus they are on. */
  readonly busEntries: Readonly<Record<AddressSpace, readonly BusEntry[]>>;
  readonly virtioDevices: readonly PlacedConsole[];
  /** The one that has standard input and a size. */
  readonly terminal: VirtioPciDevice | undefined;
  /** `console=` and `earlycon=` for the kernel. */
  readonly parameters: readonly string[];
  /** Index of the serial port that is the kernel's standard output. */
  readonly standardOutput: number | undefined;
  /** Input of the console that has standard input. */
  readonly standardInput: SerialInput | undefined;
  /** Where the firmware's debug console goes: to the port that is the console, if any. */
  readonly debugConsole: SharedArrayBuffer | undefined;
  /** Carries what the guest wrote to the end, once it has stopped. */
  drain(): Promise<void>;
}

interface Connection {
  readonly output: SerialOutput;
  readonly input: SerialInput | undefined;
}

/**
 * Makes the consoles and starts to carry their output.
 *
 * @throws DeviceError when a file or socket cannot be opened
 */
export async function createConsoles(
  serials: readonly ResolvedSerial[],
  ports: readonly SerialPlacement[],
  environment: DeviceEnvironment,
  watch: PanicWatch,
  log: Log,
): Promise<Consoles> {
  await using cleanup = new AsyncDisposableStack();
  const outputs: SerialOutput[] = [];
  const busEntries: Record<AddressSpace, BusEntry[]> = { mmio: [], pio: [] };
  const wires = sharedWires(ports);
  const virtioDevices: PlacedConsole[] = [];
  /** They share a device, which comes after those of the others: as Linux numbers the terminals. */
  const namedPorts: PortStreams[] = [];
  let terminals = 0;
  let terminal: VirtioPciDevice | undefined;
  const parameters: string[] = [];
  let standardOutput: number | undefined;
  let standardInput: SerialInput | undefined;
  let debugConsole: SharedArrayBuffer | undefined;

  for (const serial of serials) {
    const output = ByteRing.create();
    const input =
      serial.stdin || serial.input !== undefined || serial.inputUnixStream ? ByteRing.create() : undefined;
    let arrived = (): void => {};
    let device: string;
    if (serial.hardware === 'serial') {
      const index = serial.num - 1;
      const port = ports[index];
      if (port === undefined) {
        // The ports that a configuration leaves out are there to discard what is written to them, where there are as many.
        if (serial.type === 'sink') continue;
        throw new ConfigurationError(
          'CONFLICT',
          'serials',
          `this machine has no serial port ${serial.num}, but ${ports.length}: choose one of these, or hardware virtio-console`,
        );
      }
      const names = serialPortNames(port, index);
      device = names.device;
      const created = createSerialPort(port, { output, input }, wires.get(port.source), environment);
      busEntries[port.space].push(created.entry);
      arrived = created.inputArrived;
      if (serial.console) {
        standardOutput = index;
      }
      if (serial.earlycon) {
        parameters.push(`earlycon=${names.earlycon}`);
      }
    } else if (serial.hardware === 'debugcon') {
      device = 'debugcon';
      busEntries.pio.push(debugcon(serial, ports, output));
    } else {
      const { name, console, pciAddress: address, size, maxQueueSizes: queueSizes } = serial;
      device = name === undefined || console ? `hvc${terminals++}` : name;
      if (name === undefined) {
        const options = {
          inputAfterOutput: console,
          ...(size && { size }),
          ...(queueSizes && { queueSizes }),
        };
        const virtioDevice = cleanup.use(VirtioPciDevice.console(output, input, options));
        virtioDevices.push({ device: virtioDevice, address });
        if (serial.stdin && size !== undefined) terminal = virtioDevice;
      } else {
        namedPorts.push({ name, console, output, input });
      }
    }
    if (serial.console) {
      parameters.push(`console=${device}`);
      debugConsole = output.state;
    }
    const watched = serial.console ? watch : undefined;
    const connection = await connect(serial, device, output, input, arrived, watched, log);
    cleanup.use(connection.output);
    outputs.push(connection.output);
    cleanup.defer(() => connection.input?.close());
    if (serial.stdin) {
      standardInput = connection.input;
    }
  }

  if (namedPorts.length > 0) {
    const device = cleanup.use(VirtioPciDevice.multiportConsole(namedPorts));
    virtioDevices.push({ device, address: undefined });
  }
  const owned = cleanup.move();
  return {
    busEntries,
    virtioDevices,
    terminal,
    parameters,
    standardOutput,
    standardInput,
    debugConsole,
    drain: async () => {
      await Promise.all(outputs.map((output) => output.finish()));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** @throws ConfigurationError CONFLICT on boards without I/O ports */
function debugcon(
  { debugconPort }: ResolvedSerial,
  ports: readonly SerialPlacement[],
  output: ByteRing,
): BusEntry {
  if (!ports.some(({ space }) => space === 'pio')) {
    throw new ConfigurationError(
      'CONFLICT',
      'serials',
      'a debugcon is at an I/O port, and only x86_64 machines have these: use hardware serial',
    );
  }
  return { start: debugconPort, length: DEBUGCON_LENGTH, device: describeDebugcon({ output }) };
}

/** The state of the wires that several ports drive, by interrupt source. */
function sharedWires(ports: readonly SerialPlacement[]): ReadonlyMap<number, SharedArrayBuffer> {
  const sources = ports.map(({ source }) => source);
  const shared = sources.filter((source, index) => sources.indexOf(source) < index);
  return new Map(shared.map((source) => [source, createWiredOrState()]));
}

async function connect(
  serial: ResolvedSerial,
  device: string,
  output: ByteRing,
  input: ByteRing | undefined,
  arrived: () => void,
  watch: PanicWatch | undefined,
  log: Log,
): Promise<Connection> {
  const serialInput = input && new SerialInput(input, arrived);
  const warn = (message: string): void => {
    log({ level: 'warn', target: 'devices', message: `${device}: ${message}` });
  };
  const sink = await openSerialBackEnd(serial, serialInput, warn);
  const onError = (error: DeviceError): void => warn(error.message);
  return {
    output: new SerialOutput(output, watch === undefined ? sink : watched(sink, watch), { onError }),
    input: serialInput,
  };
}

/** A sink that lets the watch read along. */
function watched(sink: SerialSink, watch: PanicWatch): SerialSink {
  return {
    name: sink.name,
    write: (bytes) => {
      watch.push(bytes);
      return sink.write(bytes);
    },
    [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
  };
}
