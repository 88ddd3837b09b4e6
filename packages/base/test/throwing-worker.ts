import { EventFd } from '../src/index.ts';

const event = EventFd.create(1);
event.onReadable(() => {
  throw new Error('thrown by the callback');
});
