export { type AccessSize, Bus, type BusAccess, type BusDevice, createBusAccess, readAllOnes } from './bus.ts';
export { DeviceError, type DeviceErrorCode } from './errors.ts';
export {
  createWiredOrState,
  type InterruptLine,
  type MsiSender,
  UNCONNECTED_LINE,
  WiredOrLine,
} from './interrupt.ts';
export { SharedMutex } from './lock.ts';
export { ByteRing } from './serial/byte-ring.ts';
export { SerialInput } from './serial/serial-input.ts';
export { SerialOutput, type SerialOutputOptions } from './serial/serial-output.ts';
export { DiscardSink, FileSink, type SerialSink, StreamSink, UnixStreamSink } from './serial/sinks.ts';
export {
  describeUart16550,
  UART16550_LENGTH,
  Uart16550,
  type Uart16550Descriptor,
} from './serial/uart16550.ts';
