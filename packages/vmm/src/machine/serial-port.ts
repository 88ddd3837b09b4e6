import type { SerialPlacement } from '@tsvmm/arch';
import {
  attachPl011,
  attachUart16550,
  type BusEntry,
  type ByteRing,
  type DeviceEnvironment,
  describePl011,
  describeUart16550,
  PL011_LENGTH,
  UART16550_LENGTH,
} from '@tsvmm/devices';

/** A serial port of a board, connected. */
export interface SerialPort {
  readonly entry: BusEntry;
  /** To be called when bytes have been put into its input. */
  readonly inputArrived: () => void;
}

/** How Linux calls its ports of a kind, and `earlycon=` their registers. */
export interface SerialPortNames {
  /** e.g. `ttyS0`, for `console=`. */
  readonly device: string;
  readonly earlycon: string;
}

/** Makes the UART that a board has at a place. */
export function createSerialPort(
  { kind, address, source }: SerialPlacement,
  rings: { readonly output: ByteRing; readonly input: ByteRing | undefined },
  wire: SharedArrayBuffer | undefined,
  environment: DeviceEnvironment,
): SerialPort {
  const { output, input } = rings;
  const options = { output, ...(input && { input }), interrupt: source };
  if (kind === 'pl011') {
    const device = describePl011(options);
    const inputArrived = input ? attaching(() => attachPl011(device, environment)) : noInput;
    return { entry: { start: address, length: PL011_LENGTH, device }, inputArrived };
  }
  const device = describeUart16550({ ...options, ...(wire && { wire }) });
  const inputArrived = input ? attaching(() => attachUart16550(device, environment)) : noInput;
  return { entry: { start: address, length: UART16550_LENGTH, device }, inputArrived };
}

/** What the kernel calls the port with an index. */
export function serialPortNames({ kind, space, address }: SerialPlacement, index: number): SerialPortNames {
  const at = `0x${address.toString(16)}`;
  if (kind === 'pl011') return { device: `ttyAMA${index}`, earlycon: `pl011,mmio32,${at}` };
  const access = space === 'pio' ? 'io' : 'mmio';
  return { device: `ttyS${index}`, earlycon: `uart8250,${access},${at}` };
}

function attaching(attach: () => { inputArrived(): void }): () => void {
  const registers = attach();
  return () => registers.inputArrived();
}

function noInput(): void {}
