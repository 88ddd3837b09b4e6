import { workerData } from 'node:worker_threads';
import { FileDescriptor, setNonBlocking, writeFully } from '../src/index.ts';

using writer = new FileDescriptor(workerData);
setNonBlocking(writer.number, true);
writeFully(writer.number, new Uint8Array(1_000_100), 50, 1_000_000);
