import { parentPort, workerData } from 'node:worker_threads';
import { EventFd } from '../src/index.ts';

EventFd.fromDescriptor(workerData).onReadable(() => {});
parentPort?.postMessage('watching');
