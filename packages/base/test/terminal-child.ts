// Descriptor 9 is a terminal, the standard streams are not. Enters raw mode, says so, and ends in the way its argument names.
import { readSync } from 'node:fs';
import { RawMode } from '../src/index.ts';

const ending = process.argv[2];
if (ending === 'handled') {
  process.on('SIGTERM', () => {
    process.stdout.write('handled\n');
  });
}
const mode = new RawMode(9, { keepSignals: ending === 'keep-signals' });
process.stdout.write('raw\n');
// A WebAssembly trap: on Linux a SIGSEGV that V8 takes for itself, and no end.
const outOfBounds = Buffer.from(
  '0061736d01000000010401600000030201000503010001070801046c6f616400000a0c010a00417f2802ffff031a0b',
  'hex',
);
if (ending === 'trap') {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(outOfBounds));
  try {
    (exports.load as () => void)();
  } catch (error) {
    process.stdout.write(`${(error as Error).name}\n`);
  }
}
readSync(0, new Uint8Array(1));
switch (ending) {
  case 'dispose':
    mode[Symbol.dispose]();
    mode[Symbol.dispose]();
    process.stdout.write('disposed\n');
    readSync(0, new Uint8Array(1));
    break;
  case 'exit':
    process.exit(3);
    break;
  case 'throw':
    throw new Error('an exception nobody catches');
  case 'abort':
    process.abort();
    break;
  case 'return':
    break;
  default:
    setInterval(() => {}, 1000);
}
