import { parentPort, workerData } from 'node:worker_threads';
import { FileDescriptor, UnixSocket } from '../src/index.ts';

using socket = new UnixSocket(new FileDescriptor(workerData));
const buffer = new Uint8Array(5000);
let length = 0;
let sum = 0;
let descriptors = 0;
for (;;) {
  const message = socket.receiveMessage(buffer, 8);
  if (!message?.length) break;
  length += message.length;
  descriptors += message.descriptors.length;
  for (let i = 0; i < message.length; i++) sum += buffer[i] ?? 0;
  for (const descriptor of message.descriptors) descriptor[Symbol.dispose]();
}
parentPort?.postMessage({ length, sum, descriptors });
