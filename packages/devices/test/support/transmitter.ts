// A vCPU thread that writes bytes to a UART's THR as fast as it can.
import { parentPort, workerData } from 'node:worker_threads';
import {
  ByteRing,
  createBusAccess,
  Uart16550,
  type Uart16550Descriptor,
  UNCONNECTED_LINE,
} from '../../src/index.ts';

const { descriptor, count, direct } = workerData as {
  descriptor: Uart16550Descriptor;
  count: number;
  /** Past the UART, as firmware's debug console is written. */
  direct?: boolean;
};
const ring = new ByteRing(descriptor.output);
const uart = new Uart16550(descriptor, UNCONNECTED_LINE);
const access = createBusAccess();
access.offset = 0;
access.size = 1;
for (let i = 0; i < count; i++) {
  access.low = i % 251;
  if (direct) while (!ring.push(i % 251)) ring.waitForRoom();
  else uart.write(access);
}
parentPort?.postMessage('done');
