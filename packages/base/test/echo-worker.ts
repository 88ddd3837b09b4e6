import { workerData } from 'node:worker_threads';
import { EventFd } from '../src/index.ts';

using request = EventFd.fromDescriptor(workerData.request);
using answer = EventFd.fromDescriptor(workerData.answer);
for (let count = request.wait(); count < 1000; count = request.wait()) answer.signal(count + 1);
