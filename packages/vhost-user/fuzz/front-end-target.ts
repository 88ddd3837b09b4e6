import { type FileDescriptor, MemFd, type UnixSocket } from '@tsvmm/base';
import type { FuzzTarget } from '../../../tools/fuzz/target.ts';
import {
  decode,
  describeProgram,
  encode,
  mutateProgram,
  Op,
  type Step,
  step,
} from '../../devices/fuzz/guest/program.ts';
import { VhostUserError } from '../src/index.ts';
import {
  type Answer,
  BackEnd,
  message,
  REPLY,
  Request,
  u64,
  usual,
  VERSION,
} from '../test/support/back-end.ts';
import { DriverMemory, DriverQueue, FEATURES } from '../test/support/driver.ts';
import { checkNoDescriptorLeft, isKindOf } from './oracles.ts';

/** Milliseconds after which an answer does not come. */
const TIME_LIMIT = 40;

const PLACES = [1, 2, 5, 8, 12, 20, 24, 256, 4096, 4097].map(BigInt);

/**
 * The front end against a back end that answers by a program: each step is one answer, those of the operation `turn` are as
 * they should be.
 */
export const frontEndTarget: FuzzTarget = {
  seeds: async () => seeds().map(encode),
  mutate: (input, other, random) => mutateProgram(input, other, random, PLACES),
  describe: describeProgram,
  async exercise(bytes) {
    await checkNoDescriptorLeft(async () => {
      const errors: unknown[] = [];
      await converse(decode(bytes), errors);
      for (const error of errors) isKindOf(error, [VhostUserError]);
    });
  },
};

/** A device's life: everything that a front end asks. */
async function converse(answers: readonly Step[], errors: unknown[]): Promise<void> {
  using driver = new DriverMemory();
  using queue = new DriverQueue(driver, 0);
  let next = 0;
  using backEnd = new BackEnd((request, socket) => {
    const answer = answers[next++];
    return answer && answerBy(answer, request, socket);
  });
  try {
    await using frontEnd = await backEnd.open(driver, TIME_LIMIT);
    await frontEnd.activate(FEATURES, [queue.queue]);
    for (const { op, b, e } of answers.slice(next)) {
      if (op === Op.host) say(backEnd, message(b, u64(BigInt(e)), VERSION));
    }
    await new Promise(setImmediate);
    await frontEnd.writeConfig(0, new Uint8Array(4));
    await frontEnd.stopQueue(0);
    await frontEnd.startQueue(queue.queue);
    await frontEnd.reset();
  } catch (error) {
    errors.push(error);
  }
  errors.push(...backEnd.device.failures);
}

/** Says something unasked, if the front end still listens. */
function say({ channel }: BackEnd, text: Uint8Array): void {
  if (channel) trySend(channel, text);
}

function trySend(socket: UnixSocket, text: Uint8Array, descriptors: readonly FileDescriptor[] = []): void {
  try {
    socket.trySendMessage(text, descriptors);
  } catch {
    // The front end has ended the connection.
  }
}

/** The answer of a step: `a` says what kind, the other fields what is in it. */
function answerBy({ op, a, b, c, d, e, f }: Step, request: number, socket: UnixSocket): ReturnType<Answer> {
  switch (op % 8) {
    case 0:
      return undefined;
    case 1:
      return message(request, u64(d));
    case 2:
      return message(a % 2 === 0 ? request : b, u64(d), (VERSION | REPLY) ^ (e & 0xff));
    case 3:
      return message(request, new Uint8Array(c % 300).fill(f), VERSION | REPLY, e === 0 ? c % 300 : e);
    case 4: {
      // The usual with something changed.
      const answer = usual(request, f & 8);
      if (answer === 'nothing') return answer;
      const bytes = Buffer.from(answer);
      if (bytes.length > 0) bytes[b % bytes.length] = c & 0xff;
      return bytes;
    }
    case 5: {
      // With descriptors that nobody asked for, or too many.
      using file = MemFd.create({ name: 'answer', size: 4096 });
      trySend(
        socket,
        request === Request.GET_INFLIGHT_FD
          ? message(request, Buffer.concat([u64(d), u64(BigInt(e)), u64(BigInt(f))]))
          : Buffer.from(message(request, u64(d))),
        new Array(a % 4).fill(file.descriptor),
      );
      return 'nothing';
    }
    case 6:
      socket.shutdown('send');
      return 'nothing';
    default:
      return Buffer.concat([message(request, u64(d)), message(request, u64(d))]);
  }
}

function seeds(): Step[][] {
  const kinds = Array.from({ length: 8 }, (_, kind) => kind);
  const usualUntil = (count: number) => Array.from({ length: count }, () => step(Op.turn));
  return [
    usualUntil(30),
    ...kinds.map((kind) => [...usualUntil(kind), step(Op.writePci, { d: 0x1_4000_0000n })]),
    ...kinds.map((kind) => [
      ...usualUntil(6),
      { ...step(Op.turn, { b: 2, d: 1n, e: 1 }), op: KINDS[kind] ?? Op.turn },
    ]),
    [...usualUntil(12), step(Op.host, { b: 2 }), step(Op.host, { b: 99, e: 5 })],
    // A record of requests in flight.
    [...usualUntil(8), step(Op.writeCommon, { a: 1, d: 4096n, f: 1 })],
  ];
}

const KINDS = [
  Op.turn,
  Op.writePci,
  Op.readPci,
  Op.writeBar,
  Op.readBar,
  Op.writeCommon,
  Op.negotiate,
  Op.setUpQueue,
];
